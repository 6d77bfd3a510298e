"""Initial values: distributions, gains, fans, and where the random numbers come from."""

import math

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.core import random
from minicnn.errors import OptionError, ShapeError
from minicnn.nn import functional as F
from minicnn.nn import init

SHAPE = (64, 16, 3, 3)  # fan in 144, fan out 576
COUNT = math.prod(SHAPE)

# Function, bound of a uniform distribution or None, standard deviation.
DISTRIBUTIONS = {
    "xavier_uniform": (lambda w: init.xavier_uniform_(w, gain=2.0), 2 * math.sqrt(6 / 720)),
    "xavier_normal": (lambda w: init.xavier_normal_(w, gain=2.0), None, 2 * math.sqrt(2 / 720)),
    "kaiming_uniform": (lambda w: init.kaiming_uniform_(w, a=1.0), math.sqrt(3 / 144)),
    "kaiming_uniform_out": (
        lambda w: init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu"),
        math.sqrt(6 / 576),
    ),
    "kaiming_normal": (lambda w: init.kaiming_normal_(w, nonlinearity="tanh"), None, 5 / 3 / 12),
    "kaiming_normal_out": (lambda w: init.kaiming_normal_(w, mode="fan_out"), None, math.sqrt(2 / 576)),
    "uniform": (lambda w: init.uniform_(w, -0.5, 0.5), 0.5),
    "normal": (lambda w: init.normal_(w, 0.0, 3.0), None, 3.0),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distribution(name):
    fill, bound, *rest = DISTRIBUTIONS[name]
    std = rest[0] if rest else bound / math.sqrt(3)
    minicnn.manual_seed(1)
    weight = minicnn.empty(*SHAPE)
    assert fill(weight) is weight
    values = weight.array.astype(np.float64)
    assert abs(values.mean()) < 5 * std / math.sqrt(COUNT)
    assert values.std() == pytest.approx(std, rel=0.02)
    if bound:
        assert 0.999 * bound < abs(values).max() <= bound * (1 + 1e-6)
    else:
        assert 3.5 * std < abs(values).max() < 7 * std


def test_normal_and_uniform_are_shifted():
    minicnn.manual_seed(2)
    assert init.normal_(minicnn.empty(1000), 10.0, 0.1).mean().item() == pytest.approx(10.0, abs=0.02)
    values = init.uniform_(minicnn.empty(1000), 3.0, 4.0)
    assert 3.0 <= values.min().item() < 3.05 < 3.95 < values.max().item() <= 4.0


def test_trunc_normal_stays_inside_and_keeps_its_shape():
    minicnn.manual_seed(3)
    values = init.trunc_normal_(minicnn.empty(20000), mean=1.0, std=2.0, a=0.0, b=4.0).array
    assert values.min() >= 0.0
    assert values.max() <= 4.0
    # Mean of a normal distribution between two bounds: μ + σ·(φ(α) - φ(β)) / (Φ(β) - Φ(α)).
    assert values.mean() == pytest.approx(1.7126, abs=0.03)
    with pytest.raises(OptionError, match="0.1 %"):
        init.trunc_normal_(minicnn.empty(2), 0.0, 1.0, 5.0, 6.0)


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (3, 2, 2, 2)])
def test_orthogonal(shape):
    minicnn.manual_seed(4)
    w = init.orthogonal_(minicnn.empty(*shape, dtype=minicnn.float64), gain=2.0).array.reshape(shape[0], -1)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    assert gram == pytest.approx(4.0 * np.eye(len(gram)))


def test_constants():
    assert init.constant_(minicnn.empty(2), 3.0).tolist() == [3.0, 3.0]
    assert init.ones_(minicnn.empty(2)).tolist() == [1.0, 1.0]
    assert init.zeros_(minicnn.ones(2)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [
        ("linear", None, 1.0),
        ("conv2d", None, 1.0),
        ("sigmoid", None, 1.0),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / 1.0001)),
        ("leaky_relu", 1.0, 1.0),
        ("selu", None, 0.75),
    ],
)
def test_calculate_gain(name, param, gain):
    assert init.calculate_gain(name, param) == pytest.approx(gain)


def test_bad_options_are_refused():
    w = minicnn.zeros(2, 2)
    with pytest.raises(OptionError, match="a nonlinearity out of"):
        init.calculate_gain("softmax")
    with pytest.raises(OptionError, match="'fan_in' or 'fan_out', got 'fan_avg'"):
        init.kaiming_normal_(w, mode="fan_avg")
    with pytest.raises(ShapeError, match="two or more dimensions"):
        init.xavier_uniform_(minicnn.zeros(2))
    with pytest.raises(ShapeError, match="two or more dimensions"):
        init.orthogonal_(minicnn.zeros(2))
    assert not w.array.any()


def test_fans():
    assert init._calculate_fan_in_and_fan_out(minicnn.empty(7, 5)) == (5, 7)
    assert init._calculate_fan_in_and_fan_out(minicnn.empty(8, 4, 3, 2)) == (24, 48)


def test_precisions_start_from_the_same_values():
    minicnn.manual_seed(5)
    single = init.kaiming_uniform_(minicnn.empty(4, 4))
    minicnn.manual_seed(5)
    double = init.kaiming_uniform_(minicnn.empty(4, 4, dtype=minicnn.float64))
    assert (double.array.astype(np.float32) == single.array).all()


def test_the_generator_in_force_is_used():
    state = random.get_state()
    with random.use_generator(random.new_generator(9)):
        a = nn.Linear(3, 3)
    assert random.get_state() == state
    b = init.uniform_(minicnn.empty(3, 3), -1 / math.sqrt(3), 1 / math.sqrt(3), random.new_generator(9))
    assert (a.weight.array == b.array).all()


@pytest.mark.parametrize("fill", [init.uniform_, init.normal_, init.orthogonal_, init.kaiming_uniform_])
def test_what_is_no_generator_is_refused(fill):
    tensor = minicnn.zeros(3, 3)
    with pytest.raises(OptionError, match="a generator of minicnn or NumPy, got 42"):
        fill(tensor, generator=42)
    assert not tensor.array.any()


def test_parameters_can_be_filled_and_meta_tensors_are_left_alone():
    layer = nn.Linear(3, 3)
    assert init.zeros_(layer.weight) is layer.weight
    assert not layer.weight.array.any()
    state = random.get_state()
    meta = nn.Linear(3, 3, device="meta")
    assert meta.weight.device.type == "meta"
    assert random.get_state() == state


@pytest.mark.parametrize(
    ("layer", "bound"),
    [
        ("Linear(16, 200)", 1 / 4),
        ("Conv2d(8, 64, 3, groups=2)", 1 / 6),
        ("ConvTranspose2d(64, 8, 3, groups=2)", 1 / 6),  # fan in as PyTorch counts it: O / groups
    ],
)
def test_layers_start_like_pytorchs(layer, bound):
    minicnn.manual_seed(6)
    module = eval(layer, vars(nn))
    weight = abs(module.weight.array)
    assert 0.97 * bound < weight.max() <= bound * (1 + 1e-6)
    assert weight.mean() == pytest.approx(bound / 2, rel=0.1)
    assert 0.5 * bound < abs(module.bias.array).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_what_is_empty_stays_empty(shape):
    for name in ("kaiming_normal_", "kaiming_uniform_", "xavier_normal_", "xavier_uniform_", "orthogonal_"):
        assert getattr(init, name)(minicnn.empty(*shape)).shape == shape
    assert minicnn.zeros(*shape).fill_(1.0).normal_().add_(1).shape == shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: init.trunc_normal_(x, std=0.0), "trunc_normal_: expected std above 0, got 0.0"),
        (lambda x: init.trunc_normal_(x, std=-1.0), "std above 0"),
        (lambda x: init.normal_(x, std=-1), "normal_: expected std of at least 0, got -1"),
        (lambda x: init.normal_(x, std=float("nan")), "std of at least 0"),
        (lambda x: init.uniform_(x, 0, float("inf")), "uniform_: expected finite bounds"),
        (lambda x: init.uniform_(x, 1, 0), "a <= b, got a=1, b=0"),
        (lambda x: minicnn.arange(0, 1, float("nan")), "arange: expected a step"),
        (lambda x: minicnn.arange(float("inf")), "arange: expected a step"),
        (lambda x: minicnn.arange(float("nan"), 1), "arange: expected a step"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(call, message):
    x = minicnn.zeros(3)
    with pytest.raises(OptionError, match=message):
        call(x)
    assert x.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("groups", "channels", "size"), [(1, (4, 4), 3), (1, (6, 3), 5), (2, (6, 3), 3)])
def test_dirac_hands_the_channels_on(groups, channels, size):
    c_out, c_in = channels
    w = init.dirac_(minicnn.empty(c_out, c_in, size, size), groups)
    x = minicnn.randn(2, groups * c_in, 7, 7)
    y = F.conv2d(x, w, padding=size // 2, groups=groups).numpy()
    for group in range(groups):
        ours, rows = x.numpy()[:, group * c_in :][:, :c_in], c_out // groups
        theirs = y[:, group * rows :][:, :rows]
        kept = min(rows, c_in)
        np.testing.assert_array_equal(theirs[:, :kept], ours[:, :kept])
        np.testing.assert_array_equal(theirs[:, kept:], 0)


@pytest.mark.parametrize(("shape", "groups"), [((2, 2), 1), ((3, 2, 3), 2), ((4, 2, 3), 0)])
def test_dirac_refuses_other_shapes(shape, groups):
    w = minicnn.full(shape, 7.0)
    with pytest.raises(ShapeError, match="C_out a multiple"):
        init.dirac_(w, groups)
    assert (w.numpy() == 7).all()
