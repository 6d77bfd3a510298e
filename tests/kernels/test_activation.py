"""The kernels of one number at a time: digits over all float32 numbers, every tail, any number of threads."""

import numpy as np
import pytest

from minicnn.core import dispatch

# Attributes, and the most that forward may be wrong, in units in the last place; a tenth above the measured.
KERNELS = {
    "exp": ({}, 1.2),
    "log": ({}, 1.2),
    "relu": ({}, 0),
    "leaky_relu": ({"negative_slope": 0.125}, 0.5),
    "hardtanh": ({"min_val": -0.5, "max_val": 2.0}, 0),
    "elu": ({"alpha": 1.0}, 1.2),
    "sigmoid": ({}, 2.6),
    "tanh": ({}, 2.8),
    "softplus": ({"beta": 1.0, "threshold": 20.0}, 2.2),
    "silu": ({}, 3.3),
    "gelu": ({"approximate": "none"}, 4.8),
}
SMOOTH = [*KERNELS, "gelu_tanh"]
SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1e-45,
    -1e-45,
    1.17549435e-38,
    -1e-38,
    3.4028235e38,
    -3.4028235e38,
]


def attrs_of(name):
    return {"approximate": "tanh"} if name == "gelu_tanh" else KERNELS[name][0]


def kernel_of(name, suffix=""):
    return dispatch.kernels[name.removesuffix("_tanh") + suffix]


def function_of(native, name, direction):
    return getattr(native, f"{name.removesuffix('_tanh')}_{direction}")


def sweep():
    """Numbers of all sizes and signs, dense where the functions are curved, and all that is special."""
    patterns = np.arange(0, 2**32, 20011, dtype=np.uint64).astype(np.uint32).view(np.float32)
    dense = [np.linspace(-a, a, 200_001, dtype=np.float32) for a in (1, 20, 105)]
    return np.concatenate([patterns, *dense, np.array(SPECIAL, np.float32)])


def in_float64(kernel, *operands, **attrs):
    """The reference's results on float64 numbers."""
    with np.errstate(all="ignore"):
        wide = [np.asarray(x, np.float64) if isinstance(x, np.ndarray) else x for x in operands]
        return kernel.reference(np, *wide, **attrs)


# -- digits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KERNELS)
def test_digits_over_all_numbers(name, native, level):
    attrs, most = KERNELS[name]
    x = sweep()
    y = np.empty_like(x)
    function_of(native, name, "forward")(y, x, **attrs)
    exact = in_float64(kernel_of(name), x, **attrs)[0]
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        unit = np.maximum(np.spacing(np.abs(rounded)), np.float32(2**-149)).astype(np.float64)
        if name in ("silu", "gelu"):  # x times a gate that may be subnormal: no more digits than it has
            unit = np.maximum(unit, np.abs(x.astype(np.float64)) * 2.0**-149)
        wrong = np.abs(y - exact) / unit
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(y[~finite], rounded[~finite])
    worst = np.argmax(np.where(finite, wrong, 0))
    assert wrong[worst] <= most, f"{wrong[worst]:.2f} at {x[worst]!r}: {y[worst]!r}, exact {exact[worst]!r}"


@pytest.mark.parametrize("name", SMOOTH)
def test_backward_over_all_numbers(name, native, level):
    x = sweep()
    kernel, attrs = kernel_of(name), attrs_of(name)
    gy = np.where(np.arange(x.size) % 2, np.float32(1.5), np.float32(-0.75))
    with np.errstate(all="ignore"):
        saved = kernel.reference(np, x, **attrs)[1]
        exact = in_float64(
            kernel_of(name, ".backward"), gy, [s.astype(float) for s in saved], (True,), **attrs
        )[0]
    gx = np.empty_like(x)
    function_of(native, name, "backward")(gx, gy, saved[0], **attrs)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(gx, exact.astype(np.float32), rtol=4e-6, atol=4e-7)


@pytest.mark.parametrize("name", SMOOTH)
def test_infinite_gradients_and_nan_are_as_in_the_reference(name, native, level):
    numbers = np.array([*SPECIAL, 1.0, -1.0, 0.25, 30.0], np.float32)
    x, gy = (np.ascontiguousarray(a).ravel() for a in np.meshgrid(numbers, numbers))
    kernel, attrs = kernel_of(name), attrs_of(name)
    with np.errstate(all="ignore"):
        y, saved = kernel.reference(np, x, **attrs)
        expected = kernel_of(name, ".backward").reference(np, gy, saved, (True,), **attrs)[0]
    found, gx = np.empty_like(x), np.empty_like(x)
    function_of(native, name, "forward")(found, x, **attrs)
    function_of(native, name, "backward")(gx, gy, saved[0], **attrs)
    np.testing.assert_allclose(found, y, rtol=2e-6, atol=1e-43)
    np.testing.assert_allclose(gx, expected, rtol=4e-6, atol=4e-7)


# -- tails and threads ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMOOTH)
def test_every_tail(name, native, level, rng, guarded):
    x, gy = rng.standard_normal((2, 40)).astype(np.float32)
    attrs = attrs_of(name)
    forward, backward = (function_of(native, name, direction) for direction in ("forward", "backward"))
    y, gx = np.empty_like(x), np.empty_like(x)
    forward(y, np.abs(x), **attrs)
    backward(gx, gy, x, **attrs)
    for n in range(x.size):
        np.testing.assert_array_equal(
            guarded(lambda out, n=n: forward(out, np.abs(x[:n]), **attrs), (n,)), y[:n]
        )
        np.testing.assert_array_equal(
            guarded(lambda out, n=n: backward(out, gy[:n], x[:n], **attrs), (n,)), gx[:n]
        )


@pytest.mark.parametrize("name", SMOOTH)
def test_same_bits_for_any_number_of_threads(name, native, level, rng, steady):
    x, gy = np.abs(rng.standard_normal((2, 100_003)).astype(np.float32))
    attrs = attrs_of(name)

    def call():
        y, gx = np.full_like(x, -1), np.full_like(x, -1)
        function_of(native, name, "forward")(y, x, **attrs)
        function_of(native, name, "backward")(gx, gy, x, **attrs)
        return y, gx

    exact = in_float64(kernel_of(name), x, **attrs)[0]
    np.testing.assert_allclose(steady(call)[0], exact, rtol=1e-6, atol=1e-7)
