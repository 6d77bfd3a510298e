"""Pooling: what the operation table cannot say."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minicnn.core import dispatch
from minicnn.core.device import MetaArray
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError, ShapeError
from minicnn.nn.functional.pooling import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d
from minicnn.ops import pooling as ops
from minicnn.oracles import pooling as oracle

quick = settings(max_examples=60, deadline=None, derandomize=True)


def integers(rng, *shape, dtype=np.float32):
    """Small integers: many ties, and exact sums."""
    return rng.integers(-3, 4, shape).astype(dtype)


def gradient(function, x, gy=None):
    """dL/dx of function(x), for dL/dy = gy or all ones."""
    x = Tensor(x, requires_grad=True)
    y = function(x)
    y.backward(np.ones(y.shape) if gy is None else gy)
    return x.grad.array


# -- the article's formula -------------------------------------------------------------------


def test_article_formula_keeps_the_size(rng):
    x = integers(rng, 6, 5)
    assert oracle.literal_max_pooling(x, (2, 2)).shape == x.shape


def test_article_formula_is_stride_one_with_top_left_padding(rng):
    x = integers(rng, 6, 5)
    ours = max_pool2d(Tensor(x[None, None]), 2, stride=1, padding=((1, 0), (1, 0)))
    assert np.array_equal(ours.array[0, 0], oracle.literal_max_pooling(x, (2, 2)))


def test_reduction_of_size_comes_from_the_stride(rng):
    x = integers(rng, 6, 9)
    literal = oracle.literal_max_pooling(x, (2, 3))
    pooled = max_pool2d(Tensor(x[None, None]), (2, 3)).array[0, 0]
    assert pooled.shape == (3, 3) and np.array_equal(pooled, literal[1::2, 2::3])


def test_pooling_has_no_parameters():
    assert ops.max_pool2d.operands == ops.avg_pool2d.operands == ("x",)


# -- max pooling -----------------------------------------------------------------------------


def test_tie_goes_to_the_first_in_row_major_order():
    x = np.array([[1.0, 2.0, 2.0], [2.0, 1.0, 2.0]])[None, None]
    assert gradient(lambda t: max_pool2d(t, (2, 3)), x).tolist() == [[[[0, 1, 0], [0, 0, 0]]]]
    assert gradient(lambda t: adaptive_max_pool2d(t, 1), x).tolist() == [[[[0, 1, 0], [0, 0, 0]]]]


@pytest.mark.parametrize("backend", ["numpy", dispatch.active().name])
def test_of_zeros_the_first_is_the_largest_with_its_sign(backend):
    x = Tensor(np.array([-0.0, 0.0, 0.0, -0.0], np.float32).reshape(1, 1, 1, 4))
    with dispatch.use_backend(backend):
        for y in (max_pool2d(x, (1, 2)), adaptive_max_pool2d(x, (1, 2))):
            assert np.signbit(y.numpy()).ravel().tolist() == [True, False]


def test_backward_conserves_the_sum(rng):
    x = integers(rng, 2, 3, 9, 8)
    for options in [(2,), (3, 1, 1), (3, 2, 1, 1, True), (2, 1, 1, 2)]:
        gy = integers(rng, *max_pool2d(Tensor(x), *options).shape)
        assert gradient(lambda t, o=options: max_pool2d(t, *o), x, gy).sum() == gy.sum()


def test_nan_is_the_largest_and_the_first_one_counts():
    x = np.array([[1.0, np.nan, 9.0, np.nan], [1.0, 2.0, 3.0, 4.0]])[None, None]
    y, index = max_pool2d(Tensor(x), (1, 4), return_indices=True)
    assert np.isnan(y.array[0, 0, 0, 0]) and y.array[0, 0, 1, 0] == 4
    assert index.tolist() == [[[[1], [7]]]]
    y, index = adaptive_max_pool2d(Tensor(x), (2, 1), return_indices=True)
    assert np.isnan(y.array[0, 0, 0, 0]) and index.tolist() == [[[[1], [7]]]]


def test_padding_never_wins_against_minus_infinity():
    x = np.full((1, 1, 3, 3), -np.inf)
    y, index = max_pool2d(Tensor(x), 3, 2, 1, return_indices=True)
    assert np.array_equal(y.array, np.full((1, 1, 2, 2), -np.inf))
    assert index.tolist() == [[[[0, 1], [3, 4]]]]
    assert gradient(lambda t: max_pool2d(t, 3, 2, 1), x).sum() == 4


def test_negative_images_do_not_see_zeros_at_the_border():
    y = max_pool2d(Tensor(np.full((1, 1, 4, 4), -5.0)), 3, 2, 1)
    assert np.array_equal(y.array, np.full((1, 1, 2, 2), -5.0))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_max_keeps_the_type(rng, dtype):
    x = rng.integers(0, 200, (1, 2, 5, 5)).astype(dtype)
    for y in (max_pool2d(Tensor(x), 3, 2, 1), adaptive_max_pool2d(Tensor(x), 2)):
        assert y.dtype == dtype
    expected = oracle.max_pool2d(x, kernel_size=(3, 3), stride=(2, 2), padding=((1, 1), (1, 1)))
    assert np.array_equal(max_pool2d(Tensor(x), 3, 2, 1).array, expected)


@pytest.mark.parametrize("size, dtype", [(16, np.uint8), (17, np.int32)])
def test_index_of_the_tap_is_as_small_as_it_can_be(size, dtype):
    x = np.arange(size * size, dtype=np.float32).reshape(1, 1, size, size)
    _, (index, shape) = ops.max_pool2d.call_with_saved(Tensor(x), kernel_size=(size, size), stride=(1, 1))
    assert index.dtype == dtype and index.item() == size * size - 1 and shape == x.shape


def test_indices_point_at_the_values(rng):
    x = integers(rng, 2, 3, 7, 6)
    for options in [(2,), (3, 2, 1), ((2, 3), (1, 2), ((1, 0), (0, 1)), (3, 1), True)]:
        y, index = max_pool2d(Tensor(x), *options, return_indices=True)
        flat = np.take_along_axis(x.reshape(2, 3, -1), index.array.reshape(2, 3, -1), 2)
        assert index.dtype == np.int64 and np.array_equal(flat.reshape(y.shape), y.array)


@st.composite
def geometries(draw):
    """An image's shape and the attributes of a pooling, which may not fit."""
    small = st.integers(1, 3)
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    attrs = {
        "kernel_size": kernel,
        "stride": draw(st.tuples(small, small)),
        "padding": tuple(draw(st.tuples(st.integers(0, k // 2), st.integers(0, k // 2))) for k in kernel),
        "ceil_mode": draw(st.booleans()),
    }
    shape = (
        draw(st.integers(1, 2)),
        draw(st.integers(1, 2)),
        draw(st.integers(1, 8)),
        draw(st.integers(1, 8)),
    )
    return shape, attrs, np.random.default_rng(draw(st.integers(0, 999)))


def forward_and_gradient(op, x, rng, attrs):
    try:
        y, saved = op.run([x], attrs)
    except (ShapeError, OptionError):
        assume(False)
    gy = integers(rng, *y.shape, dtype=x.dtype)
    return y, gy, op.run_backward(gy, saved, (True,), attrs)[0]


@quick
@given(geometries(), st.tuples(st.integers(1, 2), st.integers(1, 2)))
def test_max_pooling_and_its_gradient_equal_the_loops(geometry, dilation):
    shape, attrs, rng = geometry
    attrs["dilation"] = dilation
    x = integers(rng, *shape)
    y, gy, gx = forward_and_gradient(ops.max_pool2d, x, rng, attrs)
    assert np.array_equal(y, oracle.max_pool2d(x, **attrs))
    assert np.array_equal(gx, oracle.max_pool2d_gradient(gy, x, **attrs))
    assert gx.sum() == gy.sum()


@quick
@given(geometries(), st.booleans(), st.sampled_from([None, 4]))
def test_average_pooling_equals_the_loops_and_its_gradient_is_the_adjoint(geometry, include_pad, divisor):
    shape, attrs, rng = geometry
    attrs |= {"count_include_pad": include_pad, "divisor_override": divisor}
    x = integers(rng, *shape, dtype=np.float64)
    y, gy, gx = forward_and_gradient(ops.avg_pool2d, x, rng, attrs)
    np.testing.assert_allclose(y, oracle.avg_pool2d(x, **attrs), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose((y * gy).sum(), (x * gx).sum(), rtol=1e-12, atol=1e-12)


# -- average pooling and adaptive pooling ----------------------------------------------------


def test_average_of_a_constant_counts_only_what_it_should():
    x = np.ones((1, 1, 3, 3))
    inside = avg_pool2d(Tensor(x), 2, 2, 1, count_include_pad=False)
    assert inside.tolist() == [[[[1, 1], [1, 1]]]]
    assert avg_pool2d(Tensor(x), 2, 2, 1).tolist() == [[[[0.25, 0.5], [0.5, 1]]]]
    assert avg_pool2d(Tensor(x), 2, 2, ceil_mode=True).tolist() == [[[[1, 1], [1, 1]]]]
    assert avg_pool2d(Tensor(x), 2, 2, divisor_override=1).tolist() == [[[[4]]]]


def test_global_pooling_is_mean_and_maximum(rng):
    x = rng.standard_normal((2, 3, 5, 4))
    np.testing.assert_allclose(adaptive_avg_pool2d(Tensor(x), 1).array[..., 0, 0], x.mean((2, 3)), rtol=1e-14)
    assert np.array_equal(adaptive_max_pool2d(Tensor(x), 1).array[..., 0, 0], x.max((2, 3)))


def test_adaptive_pooling_of_a_multiple_is_plain_pooling(rng):
    x = integers(rng, 2, 3, 8, 6)
    assert np.array_equal(adaptive_avg_pool2d(Tensor(x), (4, 3)).array, avg_pool2d(Tensor(x), 2).array)
    assert np.array_equal(adaptive_max_pool2d(Tensor(x), (4, 2)).array, max_pool2d(Tensor(x), (2, 3)).array)


def test_adaptive_pooling_to_the_own_size_changes_nothing(rng):
    x = integers(rng, 2, 3, 5, 4)
    for function in (adaptive_avg_pool2d, adaptive_max_pool2d):
        assert np.array_equal(function(Tensor(x), (None, None)).array, x)
    assert adaptive_avg_pool2d(Tensor(x), (None, 2)).shape == (2, 3, 5, 2)


def test_overlapping_windows_of_adaptive_maximum_add_their_gradients():
    x = np.array([[1.0, 5.0, 2.0]])[None, None]  # the windows are columns 0-1 and 1-2
    assert gradient(lambda t: adaptive_max_pool2d(t, (1, 2)), x).tolist() == [[[[0, 2, 0]]]]


# -- PyTorch's conventions -------------------------------------------------------------------

# torch 2.13 on x = (arange(25) * 7 % 25).reshape(1, 1, 5, 5), its averages on 36 * x.
RECORDED = (np.arange(25.0) * 7 % 25).reshape(1, 1, 5, 5)


def test_recorded_maxima_of_pytorch():
    y, index = max_pool2d(Tensor(RECORDED), 3, 2, 1, 1, True, True)
    assert y.tolist() == [[[[17, 24, 21], [20, 24, 23], [22, 22, 18]]]]
    assert index.tolist() == [[[[6, 7, 3], [10, 7, 14], [21, 21, 24]]]]
    assert max_pool2d(Tensor(RECORDED), 2, 2, 0, 1, True).tolist() == [
        [[[17, 24, 13], [20, 19, 23], [22, 11, 18]]]
    ]


@pytest.mark.parametrize(
    "include_pad, twos, threes",
    [
        (True, [[0, 315], [225, 405]], [[136, 356, 172], [264, 424, 268], [216, 276, 152]]),
        (False, [[0, 630], [450, 405]], [[306, 534, 387], [396, 424, 402], [486, 414, 342]]),
    ],
)
def test_recorded_means_of_pytorch(include_pad, twos, threes):
    x = Tensor(36 * RECORDED)
    np.testing.assert_allclose(avg_pool2d(x, 2, 3, 1, True, include_pad).array[0, 0], twos, rtol=1e-15)
    np.testing.assert_allclose(avg_pool2d(x, 3, 2, 1, True, include_pad).array[0, 0], threes, rtol=1e-15)


@pytest.mark.parametrize(
    "size, kernel, stride, padding, count",
    [(5, 2, 2, 0, 3), (4, 2, 3, 0, 2), (3, 2, 3, 0, 1), (4, 3, 3, 1, 2), (4, 2, 3, 1, 2), (2, 3, 2, 0, 1)],
)
def test_last_window_of_ceil_mode_starts_inside_image_or_padding_before(size, kernel, stride, padding, count):
    x = Tensor(np.zeros((1, 1, size, kernel)))
    sides = ((padding, padding), (0, 0))
    for pool in (max_pool2d, avg_pool2d):
        assert pool(x, kernel, stride, sides, ceil_mode=True).shape[2] == count  # torch 2.13


def test_window_larger_than_the_image_needs_ceil_mode():
    with pytest.raises(ShapeError, match="a window that fits into the padded image of 2 x 3"):
        max_pool2d(Tensor(np.zeros((1, 1, 2, 3))), 3, 2)


def test_stride_is_the_window_unless_given(rng):
    x = Tensor(integers(rng, 1, 1, 6, 6))
    assert np.array_equal(max_pool2d(x, (2, 3)).array, max_pool2d(x, (2, 3), (2, 3)).array)
    assert np.array_equal(avg_pool2d(x, (2, 3)).array, avg_pool2d(x, (2, 3), (2, 3)).array)


def test_single_image_is_a_batch_of_one(rng):
    x = integers(rng, 3, 6, 6)
    functions = [
        lambda t: max_pool2d(t, 2, return_indices=True)[0],
        lambda t: max_pool2d(t, 2, return_indices=True)[1],
        lambda t: avg_pool2d(t, 2),
        lambda t: adaptive_avg_pool2d(t, 2),
        lambda t: adaptive_max_pool2d(t, (None, 2), return_indices=True)[1],
    ]
    for function in functions:
        assert np.array_equal(function(Tensor(x)).array, function(Tensor(x[None])).array[0])
    assert gradient(lambda t: max_pool2d(t, 2), x).shape == x.shape


def test_abstract_run_gives_shapes():
    x = Tensor.wrap(MetaArray((2, 3, 7, 7), np.float32))
    y, index = max_pool2d(x, 3, 2, 1, return_indices=True)
    assert y.shape == index.shape == (2, 3, 4, 4) and index.dtype == np.int64 and y.dtype == np.float32
    assert adaptive_max_pool2d(x, 2, return_indices=True)[1].shape == (2, 3, 2, 2)
    assert avg_pool2d(x, 2).shape == adaptive_avg_pool2d(x, 3).shape == (2, 3, 3, 3)


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda x: max_pool2d(x, 2.0), "^max_pool2d: expected kernel_size = an integer or a pair"),
        (lambda x: max_pool2d(x, 2, padding=2), "^max_pool2d: expected padding of at most half the window"),
        (
            lambda x: avg_pool2d(x, 3, padding=((0, 2), (0, 0))),
            "^avg_pool2d: expected padding of at most half",
        ),
        (lambda x: avg_pool2d(x, 3, divisor_override=0), "^avg_pool2d: expected divisor_override"),
        (lambda x: adaptive_avg_pool2d(x, (1, 2, 3)), "^adaptive_avg_pool2d: expected output_size"),
    ],
)
def test_options_without_meaning_are_refused(call, match):
    with pytest.raises(OptionError, match=match):
        call(Tensor(np.zeros((1, 1, 4, 4))))
