"""The models: sizes, PyTorch's numbers, building by name, and the digits they are to learn."""

import json
import pathlib

import numpy as np
import pytest

import minicnn
from minicnn import models, nn
from minicnn.core.tensor import Tensor
from minicnn.datasets import Digits
from minicnn.errors import OptionError, ShapeError
from minicnn.nn import functional as F
from minicnn.optim import Adam
from minicnn.optim.lr_scheduler import CosineAnnealingLR

TORCH = json.loads((pathlib.Path(__file__).parent / "torch_models.json").read_text())
PARAMETERS = {
    "mlp": 235_146,
    "lenet5": 61_706,
    "digits_cnn": 25_978,
    "vgg_small": 814_122,
    "resnet20": 269_722,
    "depthwise_small": 67_914,
}


def filled(shape, start=0.0):
    return np.sin(start + 0.7 * np.arange(int(np.prod(shape)))).reshape(shape)


def digest(array):
    return float((array * np.cos(np.arange(array.size)).reshape(array.shape)).sum())


def without_dropout(module):
    if isinstance(module, nn.Dropout):
        module.p = 0.0


def test_names():
    assert sorted(models.names()) == sorted(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters(name):
    model = models.build(name)
    assert sum(parameter.array.size for parameter in model.parameters()) == PARAMETERS[name]
    assert model.training


@pytest.mark.parametrize("name", TORCH)
def test_state_and_numbers_are_pytorchs(name):
    row = TORCH[name]
    model = models.build(name).double()
    state = model.state_dict()
    assert {key: list(tensor.shape) for key, tensor in state.items()} == row["state"]
    for place, (key, tensor) in enumerate(state.items()):
        if tensor.dtype.kind == "f":
            values = filled(tensor.shape, place + 1.0)
            tensor.write_(abs(values) + 0.5 if key.endswith("var") else values)
    for mode in ("eval", "train"):
        x = Tensor(filled(row["input"]), requires_grad=True)
        y = model.train(mode == "train").apply(without_dropout)(x)
        y.backward(filled(y.shape, 3.0))
        assert digest(y.array) == pytest.approx(row[mode]["output"], rel=1e-6)
        assert digest(x.grad.array) == pytest.approx(row[mode]["gradient"], rel=1e-6)


def test_a_pytorch_file_loads(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    from minicnn.io.safetensors import load_file

    shapes = TORCH["lenet5"]["state"]  # the names that PyTorch's state_dict has
    arrays = {key: filled(shape).astype(np.float32) for key, shape in shapes.items()}
    safetensors.save_file(arrays, tmp_path / "lenet5.safetensors")
    tensors, _ = load_file(tmp_path / "lenet5.safetensors")
    model = models.lenet5()
    assert model.load_state_dict(tensors) == ([], [])
    assert all((tensor.array == arrays[key]).all() for key, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp", (3, 5, 7)),
        ("mlp", (20,)),
        ("lenet5", (3, 32, 32)),
        ("lenet5", (1, 12, 17)),
        ("digits_cnn", (1, 28, 28)),
        ("digits_cnn", (2, 7, 4)),
        ("vgg_small", (1, 28, 28)),
        ("vgg_small", (3, 8, 17)),
        ("resnet20", (1, 9, 11)),
        ("resnet20", (3, 1, 1)),
        ("depthwise_small", (2, 7, 5)),
    ],
)
def test_models_fit_the_data(name, shape):
    model = models.build(name, num_classes=4, in_shape=shape).eval()
    assert model(minicnn.zeros(2, *shape)).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "shape", "match"),
    [
        ("lenet5", (1, 11, 28), "lenet5: expected images of at least 12 x 12 pixels, got 11 x 28"),
        ("lenet5", (1, 28, 11), "at least 12 x 12 pixels, got 28 x 11"),
        ("vgg_small", (3, 7, 7), "at least 8 x 8 pixels, got 7 x 7"),
        ("digits_cnn", (1, 3, 8), "at least 4 x 4"),
        ("resnet20", (28, 28), r"in_shape = \(C, H, W\), got \(28, 28\)"),
        ("lenet5", (0, 28, 28), "in_shape = an integer of at least 1, got 0"),
    ],
)
def test_images_that_do_not_fit_are_refused(name, shape, match):
    with pytest.raises(OptionError, match=match):
        models.build(name, in_shape=shape)


def test_a_bad_number_of_classes_is_refused():
    with pytest.raises(OptionError, match="num_classes"):
        models.build("mlp", num_classes=0)
    with pytest.raises(OptionError, match="in_features"):
        models.mlp(in_features=0)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(OptionError, match="a model out of mlp, lenet5, .*; did you mean 'resnet20'?"):
        models.build("resnet18")
    with pytest.raises(OptionError) as caught:
        models.default_shape("xyz")
    assert "did you mean" not in str(caught.value)


def test_wrong_images_name_the_layer():
    with pytest.raises(ShapeError, match=r"^features.0: Conv2d: conv2d: "):
        models.lenet5()(minicnn.zeros(1, 3, 28, 28))
    with pytest.raises(ShapeError, match=r"^classifier.1: Linear: linear: "):
        models.lenet5()(minicnn.zeros(1, 1, 32, 32))
    with pytest.raises(ShapeError, match=r"^conv1: Conv2d: conv2d: .*N, H, W, C"):
        models.resnet20()(minicnn.zeros(1, 32, 32, 3))


def test_block_keeps_its_shortcut():
    block = models.resnet.BasicBlock(4, 8, stride=2).eval()
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = minicnn.rand(1, 4, 5, 5)
    y = block(x).array
    assert (y[:, 2:6] == x.array[:, :, ::2, ::2]).all()
    assert not y[:, [0, 1, 6, 7]].any()


@pytest.mark.parametrize("name", ["lenet5", "digits_cnn", "vgg_small", "resnet20", "depthwise_small"])
def test_models_learn_one_batch(name):
    minicnn.manual_seed(0)
    channels = models.default_shape(name)[0]
    model = models.build(name, num_classes=3, in_shape=(channels, 12, 12))
    x = minicnn.randn(6, channels, 12, 12)
    y = minicnn.tensor([0, 1, 2, 0, 1, 2])
    optimizer = Adam(model.parameters(), lr=0.003)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_digits_cnn_learns_the_digits():
    """At least 98 % of the test images after a few seconds."""
    train, test = Digits(train=True), Digits(train=False)
    scale = float(train.data.max())
    x, labels = (train.pixels[:, None] / scale).astype(np.float32), train.labels
    minicnn.manual_seed(0)
    model = models.digits_cnn()
    optimizer = Adam(model.parameters(), lr=0.003)
    schedule = CosineAnnealingLR(optimizer, 6)
    order = np.random.default_rng(0)
    for _ in range(6):
        for batch in np.array_split(order.permutation(len(x)), len(x) // 32):
            optimizer.zero_grad()
            F.cross_entropy(model(Tensor(x[batch])), Tensor(labels[batch])).backward()
            optimizer.step()
        schedule.step()
    model.eval()
    with minicnn.no_grad():
        logits = model(Tensor((test.pixels[:, None] / scale).astype(np.float32)))
    accuracy = (logits.array.argmax(1) == np.asarray(test.targets)).mean()
    assert accuracy >= 0.98, accuracy


def test_completion_offers_models_only():
    assert dir(models) == sorted(models.__all__)
