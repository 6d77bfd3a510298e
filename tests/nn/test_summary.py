"""summarize: exact counts, the same errors as a real run, and a model that is left alone."""

import numpy as np
import pytest

import minicnn
from minicnn import models, nn
from minicnn.core.op import observe
from minicnn.errors import ShapeError
from minicnn.nn import functional as F
from minicnn.nn.summary import summarize


class Tutorial(nn.Module):
    """Written as in many tutorials: functions between the layers, one layer used twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.again = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.fc = nn.Linear(2 * 8 * 8, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        x = self.again(self.again(x)) + x
        x = self.up(x).flatten(1)
        return self.drop(self.fc(x)) @ minicnn.eye(3, dtype=x.dtype)


def test_multiply_adds_are_exact():
    assert summarize(models.lenet5(), (1, 1, 28, 28)).macs == 416_520
    assert summarize(models.resnet20(), (1, 3, 32, 32)).macs == 40_551_040
    assert summarize(models.mlp(), (3, 784)).macs == 3 * (784 * 256 + 256 * 128 + 128 * 10)


def test_rows_of_a_model_with_functions_and_a_layer_used_twice():
    model = Tutorial()
    summary = summarize(model, (2, 1, 8, 8))
    rows = [(row.name, row.kind, row.output_shape, row.parameters, row.macs) for row in summary]
    assert rows == [
        ("conv", "Conv2d", (2, 4, 8, 8), 40, 2 * 4 * 64 * 9),
        ("again", "Conv2d", (2, 4, 4, 4), 72, 2 * 4 * 16 * 18),
        ("again", "Conv2d", (2, 4, 4, 4), 0, 2 * 4 * 16 * 18),
        ("up", "ConvTranspose2d", (2, 2, 8, 8), 34, 2 * 4 * 16 * 8),
        ("fc", "Linear", (2, 3), 387, 2 * 128 * 3),
        ("drop", "Dropout", (2, 3), 0, 0),
        ("", "Tutorial", (2, 3), 0, 2 * 3 * 3),
    ]
    assert summary.parameters == sum(parameter.array.size for parameter in model.parameters())
    assert summary.macs == sum(row.macs for row in summary)


def test_activation_bytes_are_those_of_a_real_run():
    model = Tutorial().eval()
    made = []
    with minicnn.no_grad(), observe(lambda op, arrays, attrs, y: made.append(0 if op.view else y.nbytes)):
        model(minicnn.zeros(2, 1, 8, 8))
    assert summarize(model, (2, 1, 8, 8)).activation_bytes == sum(made)
    assert summarize(model.double(), (2, 1, 8, 8)).activation_bytes == 2 * sum(made)


def test_scratch_is_the_columns_of_the_convolution():
    (row,) = summarize(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1)), (2, 3, 10, 10))
    assert row.scratch_bytes == 3 * 9 * 2 * 100 * 4
    (row,) = summarize(nn.Sequential(nn.ConvTranspose2d(3, 8, 2, stride=2)), (1, 3, 5, 5))
    assert row.scratch_bytes == 8 * 4 * 25 * 4
    (row,) = summarize(nn.Sequential(nn.Conv2d(64, 64, 3, padding=1)), (64, 64, 32, 32))
    assert row.scratch_bytes == 2**22


def test_the_model_is_left_alone():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    calls = []
    model[0].register_forward_hook(lambda m, x, y: calls.append("forward"))
    arrays = [tensor.array for tensor in model.state_dict().values()]
    before = [array.copy() for array in arrays]
    model[1].eval()
    state = minicnn.core.random.get_state()
    summarize(model, (1, 1, 5, 5))
    assert [tensor.array is array for tensor, array in zip(model.state_dict().values(), arrays, strict=True)]
    assert all((a == b).all() for a, b in zip(arrays, before, strict=True))
    assert [module.training for module in model] == [True, False, True]
    assert calls == []
    assert minicnn.core.random.get_state() == state
    model(minicnn.zeros(1, 1, 5, 5))
    assert calls == ["forward"]


def test_nothing_is_computed():
    huge = nn.Sequential(nn.Linear(10**4, 10**4, device="meta"), nn.ReLU())
    summary = summarize(huge, (10**9, 10**4))
    assert summary.parameters == 10**8 + 10**4
    assert summary.macs == 10**17


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (lambda: models.lenet5(), (1, 1, 20, 20)),
        (lambda: models.lenet5(), (1, 3, 28, 28)),
        (lambda: models.lenet5(), (1, 28, 28, 1)),
        (lambda: models.resnet20(), (1, 1, 32, 32)),
        (lambda: nn.Sequential(nn.Conv2d(1, 1, 5), nn.MaxPool2d(4)), (1, 1, 4, 4)),
        (lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(3)), (2, 3)),
    ],
)
def test_errors_are_those_of_a_real_run(model, shape):
    model = model().eval()
    with pytest.raises(ShapeError) as abstract:
        summarize(model, shape)
    with pytest.raises(ShapeError) as real:
        model(minicnn.zeros(*shape))
    assert str(abstract.value) == str(real.value)


@pytest.mark.parametrize("shape", [(1.5, 2), (-1, 2), "12"])
def test_a_bad_shape_is_refused(shape):
    with pytest.raises(ShapeError, match="a tuple of integers"):
        summarize(nn.Identity(), shape)


def test_table():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False))
    assert str(summarize(model, (2, 2, 2))).splitlines() == [
        "layer  kind     output  parameters  multiply-adds  activations  scratch",
        "-----------------------------------------------------------------------",
        "0      Flatten  (2, 4)           0              0          0 B      0 B",
        "1      Linear   (2, 3)          12             24         24 B      0 B",
        "-----------------------------------------------------------------------",
        "total                           12             24         24 B      0 B",
    ]
    big = str(summarize(nn.Sequential(nn.ReLU(), nn.ReLU()), (2**20, 2**10)))
    assert "8.0 GiB" in big
    assert "1.0 KiB" in str(summarize(nn.ReLU(), (256,)))
    assert "(model)" in str(summarize(nn.ReLU(), (256,)))


def test_dtype_of_the_input():
    summary = summarize(nn.ReLU(), (3,), dtype=np.float64)
    assert summary.activation_bytes == 24
    assert summarize(nn.ReLU(), (3,)).activation_bytes == 12
    assert summarize(nn.Sequential(), (3,)).scratch_bytes == 0


def test_a_parameter_that_two_layers_share_is_counted_once():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    rows = summarize(nn.Sequential(first, second), (2, 4))
    assert [row.parameters for row in rows] == [20, 4]
