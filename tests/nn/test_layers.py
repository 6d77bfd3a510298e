"""Every layer, checked alike: one row of layers.json each. PyTorch's answers stand in the rows.

``tests/record_torch_signatures.py`` fills them in. Layers are thin, so these tests are about what
they pass on: the arguments, the mode, the parameters; the formulas are tested with the operations.
"""

import copy
import json
import pathlib

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.core.device import MetaArray
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError, ShapeError

ROWS = json.loads((pathlib.Path(__file__).parent / "layers.json").read_text())
IDS = [row["layer"] + (" labels" if row.get("target") == "labels" else "") for row in ROWS]
NAMES = {**vars(nn), "tensor": minicnn.tensor}

# In evaluation mode these do not treat each sample by itself.
MIX_SAMPLES = ("Flatten(0, 1)", "track_running_stats=False", "Loss")


def filled(shape, start=0.0):
    return np.sin(start + 0.7 * np.arange(int(np.prod(shape)))).reshape(shape)


def digest(array):
    return float((array.astype(np.float64) * np.cos(np.arange(array.size)).reshape(array.shape)).sum())


def make(row, dtype=np.float64):
    module = eval(row["layer"], NAMES).to(dtype)
    for place, (name, tensor) in enumerate(module.state_dict().items()):
        if tensor.dtype.kind == "f":
            values = filled(tensor.shape, place + 1.0)
            tensor.write_(abs(values) + 0.5 if name.endswith("var") else values)
    return module


def inputs(row, dtype=np.float64, samples=None):
    shape = tuple(row["input"])
    chosen = slice(samples)
    x = filled(shape).astype(dtype)[chosen]
    if "target" not in row:
        return (Tensor(x),)
    if row["target"] == "labels":
        return Tensor(x), Tensor((np.arange(shape[0]) % shape[1])[chosen])
    return Tensor(x), Tensor((abs(filled(shape, 2.0)) + 0.1).astype(dtype)[chosen])


def first(result):
    return result[0] if isinstance(result, tuple) else result


def rows_without(*words):
    """Those rows whose layer's text has none of the words."""
    pairs = zip(ROWS, IDS, strict=True)
    return [pytest.param(row, id=name) for row, name in pairs if not any(word in name for word in words)]


@pytest.fixture(params=ROWS, ids=IDS)
def row(request):
    return request.param


def test_text_is_pytorchs(row):
    ours = repr(eval(row["layer"], NAMES))
    assert ours.replace("'", "") == row["torch"]["repr"].replace("'", "")


@pytest.mark.parametrize("row", rows_without("Loss", "Sequential"))  # theirs leaves things out
def test_text_makes_the_same_layer(row):
    module = eval(row["layer"], NAMES)
    again = eval(repr(module), NAMES)
    assert type(again) is type(module)
    assert repr(again) == repr(module)


def test_state_is_named_and_shaped_like_pytorchs(row):
    state = eval(row["layer"], NAMES).state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == row["torch"]["state"]
    assert list(state) == list(row["torch"]["state"])


def test_numbers_are_pytorchs_and_inputs_are_left_alone(row):
    module = make(row)
    for mode in ("eval", "train"):
        x, *target = inputs(row)
        x.requires_grad_()
        for given in (x, *target):
            given.array.setflags(write=False)
        before = [given.array.copy() for given in (x, *target)]
        y = first(module.train(mode == "train")(x, *target))
        expected = row["torch"][mode]
        assert list(y.shape) == expected["shape"]
        y.backward(filled(y.shape, 3.0))
        assert digest(y.array) == pytest.approx(expected["output"], rel=1e-6, abs=1e-6)
        assert digest(x.grad.array) == pytest.approx(expected["gradient"], rel=1e-6, abs=1e-6)
        assert all((a == b.array).all() for a, b in zip(before, (x, *target), strict=True))
    for name, buffer in module.named_buffers():
        assert digest(buffer.array) == pytest.approx(row["torch"]["buffers"][name], rel=1e-6, abs=1e-9)


def test_gradient_reaches_every_parameter(row):
    module = make(row)
    y = first(module(*inputs(row)))
    if y.requires_grad:
        y.backward(filled(y.shape, 3.0))
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.array.any(), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(row, dtype):
    module = make(row, dtype)
    for mode in (True, False):
        assert first(module.train(mode)(*inputs(row, dtype))).dtype == dtype
    assert all(t.dtype in (dtype, np.int64) for t in module.state_dict().values())


@pytest.mark.parametrize("row", rows_without(*MIX_SAMPLES))
def test_one_sample_is_treated_as_in_a_batch(row):
    module = make(row).eval()
    whole = first(module(*inputs(row))).array
    one = first(module(*inputs(row, samples=1))).array
    assert one.shape == (1, *whole.shape[1:])
    assert one == pytest.approx(whole[:1], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("row", rows_without(*MIX_SAMPLES))
def test_an_empty_batch_gives_an_empty_result(row):
    y = first(make(row).eval()(*inputs(row, samples=0)))
    assert list(y.shape) == [0, *row["torch"]["eval"]["shape"][1:]]


def test_state_round_trip_is_bitwise(row):
    module = make(row)
    other = eval(row["layer"], NAMES).to(np.float64)
    other.load_state_dict(module.state_dict())
    for name, tensor in module.state_dict().items():
        assert tensor.array.tobytes() == other.state_dict()[name].array.tobytes()
    a, b = (first(m.eval()(*inputs(row))).array for m in (module, other))
    assert (a == b).all()


def test_evaluation_repeats_itself_and_changes_nothing(row):
    module = make(row).eval()
    before = {name: tensor.array.copy() for name, tensor in module.state_dict().items()}
    a = first(module(*inputs(row))).array
    assert not module.training
    module.train()
    assert module.training
    b = first(module.eval()(*inputs(row))).array
    assert (a == b).all()
    assert all((before[name] == tensor.array).all() for name, tensor in module.state_dict().items())


def test_a_copy_is_the_same_layer(row):
    module = make(row).eval()
    twin = copy.deepcopy(module)
    assert repr(twin) == repr(module)
    assert (first(twin(*inputs(row))).array == first(module(*inputs(row))).array).all()


def test_layout_in_memory_does_not_matter(row):
    x, *target = inputs(row)
    strided = np.asfortranarray(np.repeat(x.array, 2, axis=-1))[..., ::2]
    module = make(row).eval()
    a, b = (first(module(given, *target)).array for given in (x, Tensor(strided)))
    assert a == pytest.approx(b, rel=1e-12, abs=1e-12)


def test_nan_does_not_vanish(row):
    x, *target = inputs(row)
    x.array[...] = np.nan
    assert np.isnan(first(make(row).eval()(x, *target)).array).any()


@pytest.mark.parametrize("row", rows_without("Loss"))
def test_abstract_run_gives_the_same_shape(row):
    module = make(row).eval()
    real = first(module(*inputs(row)))
    abstract = first(module(Tensor.wrap(MetaArray(tuple(row["input"]), np.float64))))
    assert isinstance(abstract.array, MetaArray)
    assert (abstract.shape, abstract.dtype) == (real.shape, real.dtype)


def test_every_layer_has_a_row():
    layers = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    layers -= {"Module", "Parameter", "ModuleList", "ModuleDict", "ParameterList"}
    assert layers <= {row["layer"].partition("(")[0] for row in ROWS}


# -- what constructors refuse ----------------------------------------------------------------

REFUSED = {
    "Linear(0, 3)": "Linear: expected in_features = an integer of at least 1, got 0",
    "Linear(3, 2.0)": "out_features = an integer of at least 1, got 2.0",
    "Linear(True, 3)": "in_features",
    "Unflatten(1, (2, 'x'))": "unflattened_size",
    "Conv2d(0, 1, 3)": "in_channels = an integer of at least 1, got 0",
    "Conv2d(1, -1, 3)": "out_channels",
    "Conv2d(1, 1, 0)": "kernel_size = an integer of at least 1 or two of them, got 0",
    "Conv2d(1, 1, (3, 3, 3))": "kernel_size",
    "Conv2d(1, 1, 3, stride=0)": "stride",
    "Conv2d(1, 1, 3, padding=-1)": "padding",
    "Conv2d(1, 1, 3, padding='half')": "padding out of 'valid', 'same', got 'half'",
    "Conv2d(1, 1, 3, 2, padding='same')": "stride 1 with padding='same'",
    "Conv2d(1, 1, 3, dilation=0)": "dilation",
    "Conv2d(1, 1, 3, groups=0)": "groups",
    "Conv2d(4, 6, 3, groups=4)": "in_channels and out_channels divisible by groups = 4, got 4 and 6",
    "Conv2d(1, 1, 3, padding_mode='mirror')": "padding_mode out of 'zeros', 'reflect', .*'circular'",
    "ConvTranspose2d(1, 1, 3, padding='same')": "padding in pixels",
    "ConvTranspose2d(1, 1, 3, output_padding=-1)": "output_padding",
    "ConvTranspose2d(1, 1, 3, padding_mode='reflect')": "padding_mode",
    "MaxPool2d(0)": "kernel_size",
    "MaxPool2d(2, 0)": "stride",
    "MaxPool2d(2, padding=2)": "padding of at most half of kernel_size = 2",
    "MaxPool2d(2, dilation=0)": "dilation",
    "AvgPool2d((2, 2, 2))": "kernel_size",
    "AvgPool2d(2, divisor_override=0)": "divisor_override",
    "AdaptiveAvgPool2d(0)": "output_size",
    "AdaptiveMaxPool2d((1, 2, 3))": "output_size",
    "ZeroPad2d((1, 2))": "one integer or four",
    "ZeroPad2d(-1)": "padding = an integer of at least 0, got -1",
    "BatchNorm2d(0)": "num_features",
    "BatchNorm2d(1, eps=-1.0)": "eps = a number of at least 0, got -1.0",
    "BatchNorm2d(1, momentum=1.5)": r"momentum = a number in \[0, 1\], got 1.5",
    "InstanceNorm2d('3')": "InstanceNorm2d: expected num_features",
    "LayerNorm((3, 0))": "normalized_shape",
    "LayerNorm(3, eps=float('nan'))": "eps",
    "GroupNorm(0, 6)": "num_groups",
    "GroupNorm(4, 6)": "num_channels divisible by num_groups = 4, got 6",
    "LeakyReLU('x')": "negative_slope = a number, got 'x'",
    "ELU(None)": "alpha",
    "GELU('fast')": "approximate out of 'none', 'tanh', got 'fast'",
    "Softplus(0.0)": "beta above 0",
    "Softplus(1.0, None)": "threshold",
    "Hardtanh(1.0, 1.0)": "min_val below max_val",
    "Softmax('x')": "dim = an integer or None",
    "Dropout(1.5)": r"Dropout: expected p = a number in \[0, 1\], got 1.5",
    "Dropout2d(-0.1)": "Dropout2d: expected p",
    "L1Loss(reduction='avg')": "reduction out of 'none', 'mean', 'sum', got 'avg'",
    "MSELoss(reduction='batchmean')": "reduction",
    "SmoothL1Loss(beta=-1.0)": "beta",
    "HuberLoss(delta=0.0)": "delta above 0",
    "CrossEntropyLoss(label_smoothing=2.0)": "label_smoothing",
}


@pytest.mark.parametrize("layer", REFUSED)
def test_constructors_refuse(layer):
    with pytest.raises(OptionError, match=REFUSED[layer]):
        eval(layer, {**NAMES, "float": float})


def test_sizes_may_be_numpy_integers():
    layer = nn.Linear(np.prod((2, 3)), np.int64(4))
    assert repr(layer) == "Linear(in_features=6, out_features=4, bias=True)"
    assert nn.Conv2d(1, 1, np.int64(3)).kernel_size == (3, 3)


# -- what the table cannot say ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "match"),
    [
        ("BatchNorm2d(3)", (2, 3), r"input of shape \(N, C, H, W\), got \(2, 3\)"),
        ("BatchNorm1d(3)", (2, 3, 4, 5), r"\(N, C\) or \(N, C, L\)"),
        ("BatchNorm2d(3)", (2, 4, 5, 5), "batch_norm"),
        ("Unflatten(5, (1, 2))", (2, 2), "a dimension 5"),
        ("Linear(3, 2)", (2, 4), "linear"),
    ],
)
def test_calls_refuse_and_change_nothing(layer, shape, match):
    module = eval(layer, NAMES)
    before = {name: tensor.array.copy() for name, tensor in module.state_dict().items()}
    with pytest.raises(ShapeError, match=match) as caught:
        module(minicnn.ones(*shape))
    assert str(caught.value).startswith(type(module).__name__ + ": ")
    assert all((before[name] == tensor.array).all() for name, tensor in module.state_dict().items())


def test_batch_norm_counts_batches_and_forgets():
    norm = nn.BatchNorm1d(1, momentum=None)
    for value in (1.0, 3.0):
        norm(minicnn.tensor([[value - 1], [value + 1]]))
    assert norm.num_batches_tracked.item() == 2
    assert norm.running_mean.item() == pytest.approx(2.0)
    assert norm.running_var.item() == pytest.approx(2.0)  # of n - 1
    norm.reset_running_stats()
    assert [t.item() for t in norm.buffers()] == [0.0, 1.0, 0]


def test_batch_norm_switched_to_no_tracking_uses_the_batch():
    norm = nn.BatchNorm1d(1)
    norm.num_batches_tracked = None
    norm(minicnn.tensor([[1.0], [3.0]]))
    assert norm.running_mean.item() == 0.0


def test_conv_transpose_output_size():
    up = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
    x = minicnn.zeros(1, 1, 4, 4)
    assert up(x).shape == (1, 1, 7, 7)
    assert up(x, output_size=[8, 7]).shape == (1, 1, 8, 7)
    assert up(x, output_size=(1, 1, 7, 8)).shape == (1, 1, 7, 8)
    for size in ((9, 7), (7, 9), (6, 7)):
        with pytest.raises(ShapeError, match=r"output_size between \[7, 7\] and \[8, 8\], got"):
            up(x, output_size=size)


def test_dropout_follows_the_seed_and_the_mode():
    layer = nn.Dropout(0.25)
    x = minicnn.ones(2000)
    minicnn.manual_seed(0)
    a = layer(x).array
    minicnn.manual_seed(0)
    assert (layer(x).array == a).all()
    assert set(np.unique(a)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 400 < (a == 0).sum() < 600
    assert (layer.eval()(x).array == 1).all()


def test_softmax_without_a_dimension_follows_pytorch():
    assert nn.Softmax()(minicnn.ones(2, 3, 4)).array.sum(0) == pytest.approx(1.0)
    assert nn.LogSoftmax()(minicnn.ones(2, 3)).exp().array.sum(1) == pytest.approx(1.0)


def test_layers_take_device_and_dtype():
    assert nn.Conv2d(1, 1, 3, dtype=minicnn.float64).weight.dtype == np.float64
    assert nn.BatchNorm2d(2, device="meta").running_var.device.type == "meta"
    assert nn.LayerNorm(2, dtype=minicnn.float64).bias.dtype == np.float64


def test_indices_of_pooling_are_returned():
    x = minicnn.arange(16.0).reshape(1, 1, 4, 4)
    y, where = nn.MaxPool2d(2, return_indices=True)(x)
    assert where.flatten().tolist() == y.flatten().tolist() == [5, 7, 13, 15]


def test_the_same_seed_makes_the_same_layer():
    layers = []
    for _ in range(2):
        minicnn.manual_seed(11)
        layers.append(nn.Sequential(nn.Linear(2, 3), nn.Conv2d(1, 2, 3)))
    a, b = (layer.state_dict() for layer in layers)
    assert all((a[name].array == b[name].array).all() for name in a)
