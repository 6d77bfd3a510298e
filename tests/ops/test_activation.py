"""What the operation table cannot say of activations: extreme values, conventions, PyTorch's numbers."""

import math

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, backends
from minicnn.errors import OptionError, ShapeError
from minicnn.nn import functional as F
from minicnn.ops.special import erfc_of_positive, normal_cdf

INF, NAN = math.inf, math.nan


def value_and_slope(function, numbers, dtype=np.float64):
    x = Tensor(np.array(numbers, dtype), requires_grad=True)
    y = function(x)
    y.backward(np.ones(y.shape, dtype))
    assert y.dtype == x.grad.dtype == dtype
    return y.array, x.grad.array


# -- the error function ----------------------------------------------------------------------


def test_erfc_has_the_digits_it_promises():
    z = np.concatenate([np.linspace(0, 6, 1501), np.linspace(6, 30, 500), [1e300, INF]])
    exact = np.array([math.erfc(v) for v in z])
    result = erfc_of_positive(np, z)
    assert np.abs(result - exact).max() <= 5e-16
    np.testing.assert_allclose(result[z <= 10], exact[z <= 10], rtol=2e-14)


def test_normal_cdf_is_symmetric_and_keeps_float32():
    x = np.linspace(-5, 5, 101, dtype=np.float32)
    p = normal_cdf(np, x)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p + p[::-1], 1, rtol=3e-7)
    assert np.isnan(normal_cdf(np, np.array([NAN])))


# -- PyTorch's numbers -----------------------------------------------------------------------

# torch 2.13, float64: y = f(x), y.sum().backward() for x = -3, -½, 0, ½, 3; rounded to 15 places.
TORCH = {
    "relu": (F.relu, [0, 0, 0, 0.5, 3], [0, 0, 0, 1, 1]),
    "leaky_relu": (F.leaky_relu, [-0.03, -0.005, 0, 0.5, 3], [0.01, 0.01, 0.01, 1, 1]),
    "relu6": (F.relu6, [0, 0, 0, 0.5, 3], [0, 0, 0, 1, 1]),
    "hardtanh": (lambda x: F.hardtanh(x, -0.5, 0.5), [-0.5, -0.5, 0, 0.5, 0.5], [0, 0, 1, 0, 0]),
    "elu": (
        lambda x: F.elu(x, 0.5),
        [-0.475106465816068, -0.196734670143683, 0, 0.5, 3],
        [0.024893534183932, 0.303265329856317, 0.5, 1, 1],
    ),
    "softplus": (
        lambda x: F.softplus(x, 2, 1),
        [0.001237842568865, 0.156630843759111, 0.346573590279973, 0.656630843759111, 3],
        [0.002472623156635, 0.268941421369995, 0.5, 0.731058578630005, 1],
    ),
    "silu": (
        F.silu,
        [-0.1422776195327, -0.188770334399073, 0, 0.311229665600927, 2.8577223804673],
        [-0.08810410601517, 0.260038812697348, 0.5, 0.739961187302652, 1.088104106015169],
    ),
    "gelu": (
        F.gelu,
        [-0.00404969409489, -0.154268769362993, 0, 0.345731230637007, 2.99595030590511],
        [-0.011945647204184, 0.132504875343837, 0.5, 0.867495124656163, 1.011945647204184],
    ),
    "gelu, tanh": (
        lambda x: F.gelu(x, approximate="tanh"),
        [-0.003637392081773, -0.154285990174856, 0, 0.345714009825144, 2.996362607918227],
        [-0.01158416663097, 0.132630096465358, 0.5, 0.867369903534642, 1.01158416663097],
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_values_and_slopes_are_those_of_pytorch(name):
    function, values, slopes = TORCH[name]
    y, g = value_and_slope(function, [-3, -0.5, 0, 0.5, 3])
    np.testing.assert_allclose(y, values, rtol=0, atol=2e-15)
    np.testing.assert_allclose(g, slopes, rtol=0, atol=2e-15)


# -- extreme values --------------------------------------------------------------------------

EXTREMES = [-INF, -3e38, -1e4, 1e4, 3e38, INF, NAN]
LIMITS = {  # values and slopes at EXTREMES; warnings are errors
    "relu": (F.relu, [0, 0, 0, 1e4, 3e38, INF, NAN], [0, 0, 0, 1, 1, 1, 0]),
    "elu": (F.elu, [-1, -1, -1, 1e4, 3e38, INF, NAN], [0, 0, 0, 1, 1, 1, NAN]),
    "silu": (F.silu, [0, 0, 0, 1e4, 3e38, INF, NAN], [0, 0, 0, 1, 1, 1, NAN]),
    "gelu": (F.gelu, [0, 0, 0, 1e4, 3e38, INF, NAN], [0, 0, 0, 1, 1, 1, NAN]),
    "gelu, tanh": (
        lambda x: F.gelu(x, "tanh"),
        [0, 0, 0, 1e4, 3e38, INF, NAN],
        [0, 0, 0, 1, 1, 1, NAN],
    ),
    "softplus": (F.softplus, [0, 0, 0, 1e4, 3e38, INF, NAN], [0, 0, 0, 1, 1, 1, NAN]),
    "softplus, beta": (lambda x: F.softplus(x, 9), [0, 0, 0, 1e4, 3e38, INF, NAN], [0, 0, 0, 1, 1, 1, NAN]),
    "sigmoid": (F.sigmoid, [0, 0, 0, 1, 1, 1, NAN], [0, 0, 0, 0, 0, 0, NAN]),
    "tanh": (F.tanh, [-1, -1, -1, 1, 1, 1, NAN], [0, 0, 0, 0, 0, 0, NAN]),
    "hardtanh": (F.hardtanh, [-1, -1, -1, 1, 1, 1, NAN], [0] * 7),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LIMITS)
def test_extreme_values_go_to_the_limits(name, dtype):
    function, values, slopes = LIMITS[name]
    y, g = value_and_slope(function, EXTREMES, dtype)
    np.testing.assert_array_equal(y, np.array(values, dtype))
    np.testing.assert_array_equal(g, np.array(slopes, dtype))


def test_sigmoid_keeps_the_digits_of_its_tails():
    y = F.sigmoid(Tensor(np.array([-80.0, -40.0]))).array
    np.testing.assert_allclose(y, [math.exp(-80), math.exp(-40)], rtol=1e-15)


# -- softmax ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 100, 1e4, 1e38])
def test_softmax_rows_sum_to_one(rng, scale):
    x = (scale * rng.uniform(-3, 3, (200, 10))).astype(np.float32)
    p = F.softmax(Tensor(x), dim=1)
    assert p.dtype == np.float32
    assert p.array.min() >= 0
    np.testing.assert_allclose(p.array.sum(1), 1, rtol=0, atol=1e-6)
    best = F.log_softmax(Tensor(x), dim=1).array.max(1)
    assert best.max() <= 0 and best.min() >= -np.log(10) - 1e-6


@pytest.mark.parametrize(
    ("row", "probabilities", "logarithms"),
    [
        ([3e38, -3e38, 3e38], [0.5, 0, 0.5], [-math.log(2), -INF, -math.log(2)]),
        ([-3e38, -3e38, -INF], [0.5, 0.5, 0], [-math.log(2), -math.log(2), -INF]),
        ([-INF, 0, -INF], [0, 1, 0], [-INF, 0, -INF]),
        ([1e4, 0, -1e4], [1, 0, 0], [0, -1e4, -2e4]),
        ([INF, 0, 0], [NAN] * 3, [NAN] * 3),
        ([-INF] * 3, [NAN] * 3, [NAN] * 3),
        ([NAN, 0, 0], [NAN] * 3, [NAN] * 3),
    ],
)
def test_softmax_of_extremes(row, probabilities, logarithms):
    x = Tensor(np.array([row, [0, 0, 0]], np.float32))  # the second row stays what it is
    third = math.log(3)
    np.testing.assert_allclose(F.softmax(x, 1).array, [probabilities, [1 / 3] * 3], rtol=1e-6)
    np.testing.assert_allclose(F.log_softmax(x, 1).array, [logarithms, [-third] * 3], rtol=1e-6)


def test_softmax_gradient_is_finite_for_extremes():
    for function in (F.softmax, F.log_softmax):
        x = Tensor(np.array([3e38, -3e38, -INF, 1e4], np.float32), requires_grad=True)
        function(x, dim=0)[0].backward()
        np.testing.assert_array_equal(x.grad.array, [0, 0, 0, 0])


def test_softmax_does_not_see_a_shift(rng):
    x = rng.standard_normal((4, 5))
    np.testing.assert_allclose(
        F.softmax(Tensor(x + 1000), 1).array, F.softmax(Tensor(x), 1).array, rtol=1e-12
    )


@pytest.mark.parametrize(("shape", "dim"), [((3,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 2, 2), 1)])
def test_softmax_without_dim_follows_pytorchs_old_rule(rng, shape, dim):
    x = Tensor(rng.standard_normal(shape))
    np.testing.assert_array_equal(F.softmax(x).array, F.softmax(x, dim).array)


def test_softmax_takes_negative_dims_and_another_dtype(rng):
    x = Tensor(rng.standard_normal((2, 3)).astype(np.float32))
    np.testing.assert_array_equal(F.softmax(x, -1).array, F.softmax(x, 1).array)
    assert F.softmax(x, 1, dtype=np.float64).dtype == np.float64
    assert F.log_softmax(minicnn.tensor([1, 2]), 0, dtype=np.float32).dtype == np.float32
    with pytest.raises(ShapeError, match="a dimension from -2 to 1, got 2"):
        F.softmax(x, 2)


# -- the rest --------------------------------------------------------------------------------


def test_inplace_leaves_the_input_alone():
    x = minicnn.tensor([-1.0, 8.0])
    for function in (F.relu, F.leaky_relu, F.elu, F.silu, F.hardtanh, F.relu6):
        assert function(x, inplace=True).array is not x.array
    assert x.tolist() == [-1.0, 8.0]


def test_integers_become_float32_where_pytorch_converts_them():
    x = minicnn.tensor([0, 1])
    assert F.sigmoid(x).dtype == F.tanh(x).dtype == np.float32
    assert F.relu(minicnn.tensor([-2, 3])).tolist() == [0, 3]


def test_numpy_numbers_as_options_keep_float32():
    x, number = minicnn.tensor([-1.0, 2.0]), np.float64(0.5)
    results = (
        F.leaky_relu(x, number),
        F.elu(x, number),
        F.hardtanh(x, -number, number),
        F.softplus(x, number),
    )
    assert {result.dtype for result in results} == {np.dtype(np.float32)}


def test_softplus_refuses_beta_0():
    with pytest.raises(OptionError, match="softplus: expected beta above 0"):
        F.softplus(minicnn.ones(2), beta=0)


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("function", [F.relu, F.relu6, F.hardtanh])
def test_where_nothing_flows_infinities_from_above_do_not_matter(function, backend):
    if backends.unavailable(backend):
        pytest.skip(backends.unavailable(backend))
    x = Tensor([-9.0, 0.5, -9.0], requires_grad=True)
    with backends.use_backend(backend):
        function(x).backward(Tensor([INF, INF, NAN]))
    assert x.grad.tolist() == [0.0, INF, 0.0]
