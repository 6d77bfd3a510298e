"""The kernels of softmax and its logarithm: every length of a line, every tail of neighbouring lines."""

import itertools

import numpy as np
import pytest

from minicnn.core import dispatch

NAMES = ("softmax", "log_softmax")
# (outer, C, inner): lines shorter and longer than vectors and tiles, one line or more than a tile takes
SHAPES = [
    *itertools.product((1, 3, 17, 130), (1, 2, 10, 16, 31, 32), (1,)),
    *itertools.product((1, 3), (33, 34, 47, 48, 49, 63, 64, 65, 100), (1,)),
    *itertools.product((1, 2), (1, 3, 21, 140), (2, 3, 7, 8, 15, 16, 17, 33, 127, 128, 129, 260)),
    (0, 3, 1),
    (2, 0, 3),
    (2, 3, 0),
    (2, 0, 1),
]


def reference(name, *operands):
    """The reference's result on float64 numbers."""
    wide = [[a.astype(float) for a in o] if isinstance(o, list) else o.astype(float) for o in operands[:2]]
    with np.errstate(all="ignore"):
        return dispatch.kernels[name].reference(np, *wide, *operands[2:], dim=1)[0]


@pytest.mark.parametrize("name", NAMES)
def test_all_lengths_and_tails(name, native, level, rng, guarded):
    for shape in SHAPES:
        x = (5 * rng.standard_normal(shape)).astype(np.float32)
        gy = rng.standard_normal(shape).astype(np.float32)
        y = guarded(lambda out, x=x: getattr(native, f"{name}_forward")(out, x, 1), shape)
        np.testing.assert_allclose(y, reference(name, x), rtol=2e-6, atol=2e-6, err_msg=str(shape))
        gx = guarded(lambda out, y=y, gy=gy: getattr(native, f"{name}_backward")(out, gy, y, 1), shape)
        exact = reference(f"{name}.backward", gy, [y], (True,))
        scale = 1 + (np.abs(gy).sum(1).max() if gy.size else 0)
        np.testing.assert_allclose(gx, exact, atol=1e-6 * scale, rtol=0, err_msg=str(shape))


@pytest.mark.parametrize("dim", (0, 1, 2, 3))
def test_any_dimension(dim, native, rng):
    x = rng.standard_normal((3, 4, 5, 6)).astype(np.float32)
    y = np.empty_like(x)
    native.softmax_forward(y, x, dim)
    np.testing.assert_allclose(y, dispatch.kernels["softmax"].reference(np, x, dim=dim)[0], rtol=1e-6)


def test_a_dimension_that_does_not_exist_is_refused(native):
    x = np.zeros((2, 3), np.float32)
    for dim in (-1, 2):
        with pytest.raises(ValueError, match="dimension below 2"):
            native.softmax_forward(np.empty_like(x), x, dim)


@pytest.mark.parametrize("inner", (1, 3, 20))
@pytest.mark.parametrize("classes", (5, 40))
@pytest.mark.parametrize("name", NAMES)
def test_infinities_and_nan_spoil_their_own_line_only(name, classes, inner, native, level, rng):
    lines = rng.standard_normal((6, classes)).astype(np.float32)
    lines[0, 1] = np.inf
    lines[1, -1] = np.nan
    lines[2] = -np.inf
    lines[3, ::2] = -np.inf
    lines[4, 0], lines[4, 1:] = 3e38, -3e38
    x = np.repeat(lines[:, :, None], inner, axis=2)
    x[:, :, 1:] = rng.standard_normal((6, classes, inner - 1))
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    getattr(native, f"{name}_forward")(y, x, 1)
    with np.errstate(all="ignore"):
        expected = dispatch.kernels[name].reference(np, x, dim=1)[0]
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=1e-6)


def test_probabilities_of_large_scores_sum_to_1(native, level, rng):
    for shape, middle in itertools.product(((50, 10), (50, 1001), (3, 40, 33)), (0, 1e6, -1e6)):
        x = (1000 * rng.standard_normal(shape) + middle).astype(np.float32)
        y = np.empty_like(x)
        native.softmax_forward(y, x, 1)
        np.testing.assert_allclose(y.sum(1, dtype=float), 1, rtol=1e-6)


@pytest.mark.parametrize("shape", ((20_000, 10), (1000, 101), (3, 21, 5000)))
@pytest.mark.parametrize("name", NAMES)
def test_same_bits_for_any_number_of_threads(name, shape, native, level, rng, steady):
    x, gy = rng.standard_normal((2, *shape)).astype(np.float32)

    def call():
        y, gx = np.full_like(x, -1), np.full_like(x, -1)
        getattr(native, f"{name}_forward")(y, x, 1)
        getattr(native, f"{name}_backward")(gx, gy, y, 1)
        return y, gx

    steady(call)
