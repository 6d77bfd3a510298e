"""The pooling kernels: every geometry and tail on every CPU level, exactly where the operation is exact."""

import itertools

import numpy as np
import pytest

from minicnn.errors import MiniCNNError
from minicnn.ops.activation import relu
from minicnn.ops.adaptive_pooling import adaptive_avg_pool2d, adaptive_max_pool2d
from minicnn.ops.pooling import avg_pool2d, max_pool2d
from minicnn.testing.tolerance import compare, float32_bound

NONE = ((0, 0), (0, 0))
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 65]  # around multiples of all vectors' widths


def magnitude(array):
    """The largest absolute value."""
    return np.abs(array).max(initial=0.0)


def both(op, x, seed=0, **attrs):
    """Result, saved arrays and gradient, by the kernels and by the reference."""
    attrs = op.defaults | attrs
    results = []
    for forward, backward in (
        (op.forward_kernel.overlays["native"], op.backward_kernel.overlays["native"]),
        (op.forward_kernel.reference, op.backward_kernel.reference),
    ):
        y, saved = forward(np, x, **attrs)
        gy = np.random.default_rng(seed).integers(-4, 5, y.shape).astype(np.float32)
        (gx,) = backward(np, gy, saved, (True,), **attrs)
        results.append((y, *saved, gx))
    return results


def assert_same(op, x, **attrs):
    """The kernels' numbers are the reference's; the gradient of a maximum is a sum of small integers."""
    op.output_shape(x, **attrs)
    for actual, expected in zip(*both(op, x, **attrs), strict=True):
        if isinstance(expected, tuple):
            assert actual == expected
            continue
        exact = op in (max_pool2d, adaptive_max_pool2d)
        bound = 0.0 if exact else float32_bound(x.size + 1) * magnitude(expected)
        assert compare(actual, expected, bound) is None, (op.name, x.shape, attrs)
        assert actual.dtype == expected.dtype


def distinct(rng, *shape):
    return rng.permutation(int(np.prod(shape))).reshape(shape).astype(np.float32)


def few(rng, *shape):
    """Numbers with many ties."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def windows(kernel, stride, padding=NONE, **others):
    return {"kernel_size": kernel, "stride": stride, "padding": padding, **others}


@pytest.mark.parametrize("op", [max_pool2d, avg_pool2d])
@pytest.mark.parametrize("height", [2, 3, 4, 9])
def test_windows_of_2x2_at_any_width(op, height, level, rng):
    for width in range(2, 75):
        assert_same(op, few(rng, 3, 2, height, width), **windows((2, 2), (2, 2)))


@pytest.mark.parametrize("op", [max_pool2d, avg_pool2d])
def test_windows_of_3x3_at_any_width(op, level, rng):
    padded = ((1, 1), (1, 1))
    for width in range(1, 75):
        assert_same(op, few(rng, 2, 2, 5, width), **windows((3, 3), (2, 2), padded))
        assert_same(op, distinct(rng, 1, 3, 4, width), **windows((3, 3), (1, 1), padded))
        if width >= 3:
            assert_same(op, few(rng, 2, 2, 6, width), **windows((3, 3), (2, 2)))


@pytest.mark.parametrize("op", [max_pool2d, avg_pool2d])
@pytest.mark.parametrize("stride", [1, 2])
def test_windows_of_3x3_with_every_border(op, stride, level, rng):
    """Counts that differ from window to window, the two parities of the padding, and planes of two ways."""
    kinds = [{}] if op is max_pool2d else [{}, {"count_include_pad": False}, {"divisor_override": 5}]
    for i, padding in enumerate(itertools.product(range(2), repeat=4)):
        borders = (padding[:2], padding[2:])
        for attrs in kinds:
            shape = (1, 3, 65, 64) if i % 8 == 3 else (2, 3, 9, 14 + i)
            ceil_mode = bool(rng.integers(2))
            assert_same(
                op,
                few(rng, *shape),
                **windows((3, 3), (stride, stride), borders, ceil_mode=ceil_mode, **attrs),
            )


def random_windows(rng, op):
    """A geometry that fits, with every kind of border."""
    while True:
        shape = tuple(int(n) for n in (rng.integers(1, 4), rng.integers(1, 4), *rng.choice(SIZES, 2)))
        attrs = windows(
            tuple(int(n) for n in rng.choice([1, 2, 3, 3, 4, 5, 8, 17], 2)),
            tuple(int(n) for n in rng.choice([1, 1, 2, 2, 3, 4, 8, 40], 2)),
            tuple(tuple(int(n) for n in rng.integers(0, 4, 2)) for _ in range(2)),
            ceil_mode=bool(rng.integers(2)),
        )
        if op is max_pool2d:
            attrs["dilation"] = tuple(int(n) for n in rng.choice([1, 1, 1, 2, 3], 2))
        else:
            attrs["count_include_pad"] = bool(rng.integers(2))
            attrs["divisor_override"] = [None, None, 4, -3][rng.integers(4)]
        x = few(rng, *shape) if rng.integers(2) else distinct(rng, *shape)
        try:
            op.output_shape(x, **attrs)
        except MiniCNNError:
            continue
        return x, attrs


@pytest.mark.parametrize("op", [max_pool2d, avg_pool2d])
@pytest.mark.parametrize("seed", range(3))
def test_random_windows(op, seed, level):
    rng = np.random.default_rng(seed)
    for _ in range(120):
        x, attrs = random_windows(rng, op)
        assert_same(op, x, **attrs)


@pytest.mark.parametrize("op", [adaptive_max_pool2d, adaptive_avg_pool2d])
@pytest.mark.parametrize("seed", range(2))
def test_random_grids(op, seed, level):
    rng = np.random.default_rng(seed)
    for _ in range(120):
        height, width, rows, columns = (int(n) for n in rng.choice(SIZES, 4))
        size = [(1, 1), (rows, 1), (1, columns), (rows, columns)][rng.integers(4)]
        assert_same(op, few(rng, 2, int(rng.integers(1, 20)), height, width), output_size=size)


@pytest.mark.parametrize("op", [adaptive_max_pool2d, adaptive_avg_pool2d])
def test_global_pooling_of_any_number_of_planes_and_pixels(op, level, rng):
    for planes in (1, 3, 4, 5, 15, 16, 17, 33):
        for height, width in ((1, 1), (1, 2), (2, 2), (3, 5), (4, 4), (7, 7), (8, 8), (5, 13), (16, 17)):
            assert_same(op, distinct(rng, 1, planes, height, width), output_size=(1, 1))


def test_windows_larger_than_the_image(level, rng):
    for op in (max_pool2d, avg_pool2d):
        assert_same(op, distinct(rng, 2, 3, 1, 1), **windows((2, 2), (1, 1), ((1, 0), (0, 1))))
        assert_same(op, distinct(rng, 2, 3, 1, 2), **windows((3, 4), (2, 3), ((1, 1), (2, 1))))
    assert_same(
        max_pool2d, distinct(rng, 1, 2, 3, 3), **windows((3, 3), (1, 1), ((2, 2), (2, 2)), dilation=(2, 2))
    )


def test_more_taps_than_a_byte_counts(level, rng):
    for stride in ((1, 1), (2, 2), (4, 3)):
        x = distinct(rng, 2, 1, 20, 40)
        assert_same(max_pool2d, x, **windows((17, 18), stride))
        assert both(max_pool2d, x, **windows((17, 18), stride))[0][1].dtype == np.int32


@pytest.mark.parametrize("attrs", [windows((2, 2), (2, 2)), windows((3, 3), (2, 2), ((1, 1), (1, 1)))])
def test_nan_infinities_and_zeros_as_in_the_reference(attrs, level, rng):
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], np.float32)
    for _ in range(20):
        x = rng.choice(special, (2, 3, 8, int(rng.integers(4, 50))))
        assert_same(max_pool2d, x, **attrs)
        assert_same(adaptive_max_pool2d, x, output_size=(2, 3))
        assert_same(adaptive_max_pool2d, x, output_size=(1, 1))


def test_of_equal_values_the_first_wins(level):
    for value in (0.0, -np.inf, np.nan):
        x = np.full((1, 1, 6, 40), value, np.float32)
        for attrs in (windows((2, 2), (2, 2)), windows((3, 3), (2, 2), ((1, 1), (1, 1)))):
            assert_same(max_pool2d, x, **attrs)
        assert_same(adaptive_max_pool2d, x, output_size=(1, 1))
        assert_same(adaptive_max_pool2d, x, output_size=(2, 3))


def through_a_relu(native, guarded, x, gy, index, attrs):
    """Result, indices and gradient of the fused kernels; index: which one the backward pass is given."""
    geometry = [attrs[name] for name in ("kernel_size", "stride", "padding", "dilation")]
    found = np.empty_like(index)
    y = guarded(lambda y: native.max_pool2d_forward(y, found, x, *geometry, with_relu=True), gy.shape)
    gx = guarded(lambda gx: native.max_pool2d_backward(gx, gy, y, index, *geometry), x.shape)
    return y, found, gx


@pytest.mark.parametrize(
    "attrs",
    [
        windows((2, 2), (2, 2)),
        windows((3, 3), (2, 2), ((1, 1), (1, 1))),
        windows((5, 4), (3, 3)),
        windows((17, 18), (2, 2), ((3, 3), (3, 3))),
    ],
)
def test_max_pooling_through_a_relu(attrs, level, native, rng, guarded):
    attrs = max_pool2d.defaults | attrs
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1.0], np.float32)
    for width in (20, 33, 70):
        ties = few(rng, 2, 3, 18, width)
        for x in (ties - 1, ties - 2, rng.choice(special, ties.shape)):
            largest, (index, shape) = max_pool2d.forward_kernel.reference(np, x, **attrs)
            expected, saved = relu.forward_kernel.reference(np, largest)
            gy = few(rng, *expected.shape)
            (masked,) = relu.backward_kernel.reference(np, gy, saved, (True,))
            saved = (index, shape)
            (expected_gx,) = max_pool2d.backward_kernel.reference(np, masked, saved, (True,), **attrs)
            y, found, gx = through_a_relu(native, guarded, x, gy, index, attrs)
            assert compare(y, expected, 0.0) is None
            assert not np.signbit(y[y == 0]).any()
            assert (found == index).all()
            assert compare(gx, expected_gx, 0.0) is None


def test_no_images_and_no_channels(level):
    for shape in ((0, 3, 4, 4), (2, 0, 4, 4)):
        x = np.empty(shape, np.float32)
        for op in (max_pool2d, avg_pool2d):
            assert_same(op, x, **windows((2, 2), (2, 2)))
            assert_same(op, x, **windows((3, 3), (1, 1)))
        for op in (adaptive_max_pool2d, adaptive_avg_pool2d):
            assert_same(op, x, output_size=(1, 1))
            assert_same(op, x, output_size=(3, 2))


@pytest.mark.parametrize("op", [max_pool2d, avg_pool2d, adaptive_max_pool2d, adaptive_avg_pool2d])
def test_any_number_of_threads_gives_the_same_bits(op, level, native, rng):
    x = rng.standard_normal((9, 7, 33, 61), dtype=np.float32)
    if op in (max_pool2d, avg_pool2d):
        cases = [windows((2, 2), (2, 2)), windows((3, 3), (2, 2), ((1, 1), (1, 1))), windows((5, 4), (3, 3))]
    else:
        cases = [{"output_size": size} for size in ((1, 1), (11, 61), (5, 7))]
    for attrs in cases:
        results = []
        for threads in (1, 1, 2, 3, 4, 8, 8):
            native.set_threads(threads)
            y, *saved, gx = both(op, x, **attrs)[0]
            results.append([array.tobytes() for array in (y, *saved[:-1], gx)])
        assert all(found == results[0] for found in results[1:]), attrs


def test_strides_larger_than_the_image(level, rng):
    for op in (max_pool2d, avg_pool2d):
        for kernel in ((2, 2), (3, 3), (7, 30), (20, 9)):
            assert_same(op, distinct(rng, 2, 2, 20, 40), **windows(kernel, (10**9, 10**9)))
            assert_same(op, distinct(rng, 2, 2, 20, 40), **windows(kernel, (1, 10**9)))
            assert_same(op, distinct(rng, 1, 2, 50, 70), **windows(kernel, (21, 40)))


def test_wide_strides_are_declined(native, rng):
    x = distinct(rng, 1, 1, 4, 200)
    attrs = max_pool2d.defaults | windows((2, 2), (2, 65))
    declined = max_pool2d.forward_kernel.overlays["native"](np, x, **attrs)
    assert "stride of 65" in declined.reason


def test_places_beyond_31_bits_are_declined(native):
    x = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (1, 1, 2**16, 2**15), (0, 0, 0, 0))
    declined = adaptive_max_pool2d.forward_kernel.overlays["native"](np, x, output_size=(1, 1))
    assert "2147483648 pixels" in declined.reason
