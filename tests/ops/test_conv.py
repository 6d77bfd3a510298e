"""Convolution: what the operation table cannot say."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.core.device import MetaArray
from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.nn.functional.conv import conv2d, conv_transpose2d
from minicnn.ops import conv as ops
from minicnn.ops.windows import col2im, im2col
from minicnn.oracles import conv as oracle

quick = settings(max_examples=60, deadline=None, derandomize=True)


def integers(rng, *shape, dtype=np.float32):
    """Small integers: sums of their products are exact in float32."""
    return rng.integers(-3, 4, shape).astype(dtype)


def run(x, w, b=None, **attrs):
    """conv2d of arrays, under PyTorch's signature."""
    return conv2d(Tensor(x), Tensor(w), None if b is None else Tensor(b), **attrs).array


# -- the article's formula -------------------------------------------------------------------


def test_article_formula_is_flipped_kernel_with_top_left_padding(rng):
    x, w, b = integers(rng, 6, 5), integers(rng, 3, 2), integers(rng, 6)
    literal = oracle.literal_convolution(x, w, b)
    ours = run(x[None, None], w[None, None, ::-1, ::-1], padding=((2, 0), (1, 0)))
    assert np.array_equal(ours[0, 0] + b[:, None], literal)  # its bias goes with the row, not the channel


def test_article_formula_on_the_valid_region_is_convolution_not_correlation(rng):
    x, w = integers(rng, 6, 5), np.array([[1.0, 2.0], [3.0, 5.0]], np.float32)
    valid = oracle.literal_convolution(x, w, np.zeros(6))[1:, 1:]
    assert np.array_equal(run(x[None, None], w[None, None, ::-1, ::-1])[0, 0], valid)
    assert not np.array_equal(run(x[None, None], w[None, None])[0, 0], valid)


def test_article_formula_pads_at_the_top_left_not_around(rng):
    x, w = integers(rng, 6, 5), np.array([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0], [2.0, 0.0, 1.0]], np.float32)
    centred = run(x[None, None], w[None, None, ::-1, ::-1], padding=1)[0, 0]
    literal = oracle.literal_convolution(x, w, np.zeros(6))
    assert literal.shape == centred.shape and not np.array_equal(literal, centred)
    assert np.array_equal(literal[1:, 1:], centred[:-1, :-1])


# -- relations that need no oracle, exact on integers ----------------------------------------


@pytest.mark.parametrize("stride", [(2, 1), (1, 3), (3, 2)])
def test_stride_keeps_every_nth_output(rng, stride):
    x, w = integers(rng, 2, 3, 9, 8), integers(rng, 4, 3, 3, 2)
    every = run(x, w, padding=1)
    assert np.array_equal(run(x, w, stride=stride, padding=1), every[:, :, :: stride[0], :: stride[1]])


def test_dilation_is_a_kernel_with_zeros_between(rng):
    x, w = integers(rng, 2, 3, 9, 8), integers(rng, 4, 3, 3, 2)
    stuffed = np.zeros((4, 3, 7, 3), np.float32)
    stuffed[:, :, ::3, ::2] = w
    assert np.array_equal(run(x, w, dilation=(3, 2), padding=2), run(x, stuffed, padding=2))


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_groups_are_a_block_diagonal_weight(rng, groups):
    x, w = integers(rng, 2, 6, 5, 4), integers(rng, 12, 6 // groups, 2, 3)
    full = np.zeros((12, 6, 2, 3), np.float32)
    for group in range(groups):
        rows = slice(group * 12 // groups, (group + 1) * 12 // groups)
        full[rows, group * 6 // groups : (group + 1) * 6 // groups] = w[rows]
    assert np.array_equal(run(x, w, groups=groups), run(x, full))


def test_depthwise_works_channel_by_channel(rng):
    x, w = integers(rng, 2, 3, 5, 4), integers(rng, 3, 1, 2, 3)
    alone = [run(x[:, c : c + 1], w[c : c + 1]) for c in range(3)]
    assert np.array_equal(run(x, w, groups=3), np.concatenate(alone, axis=1))


def test_permuted_channels_give_the_same(rng):
    x, w = integers(rng, 2, 5, 6, 6), integers(rng, 3, 5, 3, 3)
    order = [3, 0, 4, 1, 2]
    assert np.array_equal(run(x[:, order], w[:, order]), run(x, w))
    assert np.array_equal(run(x, w[[2, 0, 1]]), run(x, w)[:, [2, 0, 1]])


def test_shifted_image_gives_shifted_output(rng):
    x, w = np.zeros((1, 2, 9, 9), np.float32), integers(rng, 3, 2, 3, 3)
    x[:, :, 2:5, 2:5] = integers(rng, 1, 2, 3, 3)
    shifted = np.roll(x, (2, 1), (2, 3))
    assert np.array_equal(run(shifted, w, padding=1), np.roll(run(x, w, padding=1), (2, 1), (2, 3)))


def test_batch_can_be_split(rng):
    x, w = integers(rng, 5, 2, 6, 6), integers(rng, 3, 2, 3, 3)
    assert np.array_equal(np.concatenate([run(x[:2], w), run(x[2:], w)]), run(x, w))


def test_nan_reaches_only_the_windows_that_hold_it(rng):
    x, w = integers(rng, 2, 1, 6, 6), np.ones((2, 1, 3, 3), np.float32)
    x[0, 0, 4, 1] = np.nan
    expected = np.zeros((2, 2, 4, 4), bool)
    expected[0, :, 2:, :2] = True
    assert np.array_equal(np.isnan(run(x, w)), expected)


# -- against the loops, over configurations --------------------------------------------------


@st.composite
def geometries(draw):
    """Shapes and attributes of a convolution that fits."""
    small = st.integers(1, 3)
    groups = draw(st.integers(1, 3))
    kernel = draw(st.tuples(small, small))
    attrs = {
        "stride": draw(st.tuples(small, small)),
        "padding": draw(st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2)),
        "dilation": draw(st.tuples(small, small)),
        "groups": groups,
    }
    least = [
        max(1, d * (k - 1) + 1 - sum(p))
        for k, d, p in zip(kernel, attrs["dilation"], attrs["padding"], strict=True)
    ]
    height, width = (draw(st.integers(n, n + 3)) for n in least)
    x_shape = (draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), height, width)
    w_shape = (groups * draw(st.integers(1, 2)), x_shape[1] // groups, *kernel)
    return x_shape, w_shape, attrs, draw(st.integers(0, 999))


@quick
@given(geometries())
def test_convolution_and_its_gradients_equal_the_loops(geometry):
    x_shape, w_shape, attrs, seed = geometry
    rng = np.random.default_rng(seed)
    x, w, b = integers(rng, *x_shape), integers(rng, *w_shape), integers(rng, w_shape[0])
    y, saved = ops.conv2d.run([x, w, b], attrs)
    gy = integers(rng, *y.shape)
    gx, gw, gb = ops.conv2d.run_backward(gy, saved, (True, True, True), attrs)
    assert np.array_equal(y, oracle.conv2d(x, w, b, **attrs))
    assert np.array_equal(gx, oracle.conv2d_input_gradient(gy, x, w, **attrs))
    assert np.array_equal(gw, oracle.conv2d_weight_gradient(gy, x, w, **attrs))
    assert np.array_equal(gb, oracle.conv2d_bias_gradient(gy))


@quick
@given(geometries(), st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_transposed_convolution_equals_the_loops_and_is_the_adjoint(geometry, extra):
    x_shape, w_shape, attrs, seed = geometry
    limits = [max(s, d) for s, d in zip(attrs["stride"], attrs["dilation"], strict=True)]
    attrs = attrs | {"output_padding": tuple(min(e, n - 1) for e, n in zip(extra, limits, strict=True))}
    rng = np.random.default_rng(seed)
    w = integers(rng, *w_shape)
    x = integers(rng, x_shape[0], w_shape[0], *x_shape[2:])
    try:
        y, saved = ops.conv_transpose2d.run([x, w], attrs)
    except ShapeError:  # all of the output would be cut off
        return
    gy = integers(rng, *y.shape)
    gx, gw = ops.conv_transpose2d.run_backward(gy, saved, (True, True), attrs)
    assert np.array_equal(y, oracle.conv_transpose2d(x, w, **attrs))
    assert (y * gy).sum() == (x * gx).sum() == (w * gw).sum()


def test_transposed_convolution_is_the_backward_of_convolution(rng):
    x, w = integers(rng, 2, 4, 9, 8), integers(rng, 6, 2, 3, 2)
    attrs = {"stride": (2, 3), "padding": ((1, 1), (0, 0)), "dilation": (1, 1), "groups": 2}
    y, saved = ops.conv2d.run([x, w], attrs)
    gx, _ = ops.conv2d.run_backward(y, saved, (True, False), attrs)
    # Output padding tells which of the sizes with this output it was: 8 columns, of which 2 are unseen.
    up = ops.conv_transpose2d(Tensor(y), Tensor(w), output_padding=(0, 0), **attrs).array
    assert up.shape == (2, 4, 9, 8) and np.array_equal(up, gx)


# -- PyTorch's conventions -------------------------------------------------------------------


def test_recorded_values_of_pytorch():
    """torch 2.13: x = arange(24).reshape(1, 2, 3, 4) - 10, w = arange(24).reshape(2, 2, 2, 3) % 7 - 3."""
    x = Tensor(np.arange(24.0).reshape(1, 2, 3, 4) - 10, requires_grad=True)
    w = Tensor(np.arange(24.0).reshape(2, 2, 2, 3) % 7 - 3, requires_grad=True)
    b = Tensor(np.array([1.0, -2.0]), requires_grad=True)
    y = conv2d(x, w, b, stride=(1, 2), padding=(1, 0))
    y.backward(np.arange(8.0).reshape(y.shape))
    assert y.tolist() == [[[[-22], [35], [15], [-18]], [[11], [-28], [-32], [59]]]]
    assert x.grad.tolist()[0][0] == [[-1, 9, -16, 0], [-4, 10, -18, 0], [-7, 11, -20, 0]]
    assert w.grad.tolist()[0] == [[[-28, -22, -16], [-10, -7, -4]], [[44, 50, 56], [26, 29, 32]]]
    assert b.grad.tolist() == [6, 22]


def test_recorded_values_of_pytorch_transposed():
    x = Tensor(np.arange(6.0).reshape(1, 2, 1, 3) - 2)
    w = Tensor(np.arange(16.0).reshape(2, 2, 2, 2) % 5 - 2)
    y = conv_transpose2d(x, w, None, (2, 1), (0, 1), (1, 0), 1)
    assert y.tolist() == [[[[8, 8], [-7, -9], [0, 0]], [[3, 4], [3, 2], [0, 0]]]]


def test_same_padding_of_an_even_kernel_adds_more_at_the_bottom_right():
    x, w = np.arange(1.0, 5.0).reshape(1, 1, 2, 2), np.arange(4.0).reshape(1, 1, 2, 2)
    assert run(x, w, padding="same").tolist() == [[[[20, 8], [4, 0]]]]  # torch 2.13


@pytest.mark.parametrize("kernel, dilation", [((3, 3), 1), ((4, 2), 1), ((3, 4), (2, 3)), ((1, 6), (3, 1))])
def test_same_padding_keeps_the_size(rng, kernel, dilation):
    x, w = integers(rng, 1, 2, 7, 5), integers(rng, 3, 2, *kernel)
    assert run(x, w, padding="same", dilation=dilation).shape == (1, 3, 7, 5)


def test_paddings_that_mean_the_same(rng):
    x, w = integers(rng, 1, 2, 6, 5), integers(rng, 3, 2, 3, 3)
    assert np.array_equal(run(x, w, padding="valid"), run(x, w))
    assert np.array_equal(run(x, w, padding=[1, 1]), run(x, w, padding=1))
    assert np.array_equal(run(x, w, padding=[[1, 1], [2, 2]]), run(x, w, padding=(1, 2)))
    assert np.array_equal(run(x, w, padding=((1, 0), (0, 2))), run(x, w, padding=2)[:, :, 1:-2, 2:])


def test_arguments_stand_in_the_order_of_pytorch(rng):
    x, w, b = (Tensor(integers(rng, *shape)) for shape in [(1, 4, 7, 7), (2, 2, 2, 2), (2,)])
    named = conv2d(x, w, b, stride=3, padding=1, dilation=2, groups=2)
    assert np.array_equal(conv2d(x, w, b, 3, 1, 2, 2).array, named.array)
    w, b = Tensor(integers(rng, 4, 1, 2, 2)), Tensor(integers(rng, 2))
    named = conv_transpose2d(x, w, b, stride=3, padding=1, output_padding=2, groups=2, dilation=4)
    assert np.array_equal(conv_transpose2d(x, w, b, 3, 1, 2, 2, 4).array, named.array)


@pytest.mark.parametrize("function", [conv2d, conv_transpose2d])
def test_single_image_is_a_batch_of_one(rng, function):
    x, w = Tensor(integers(rng, 2, 5, 4), requires_grad=True), Tensor(integers(rng, 2, 2, 3, 3))
    y = function(x, w)
    y.sum().backward()
    assert np.array_equal(y.array, function(Tensor(x.array[None]), w).array[0])
    assert x.grad.shape == (2, 5, 4)


def test_abstract_run_gives_shape_and_dtype():
    x, w = (Tensor.wrap(MetaArray(shape, np.float64)) for shape in [(2, 3, 32, 32), (8, 3, 5, 5)])
    y = conv2d(x, w, stride=2, padding=2)
    assert (y.shape, y.dtype) == ((2, 8, 16, 16), np.float64)
    assert conv_transpose2d(y, w, stride=2, padding=2, output_padding=1).shape == (2, 3, 32, 32)


# -- what is refused -------------------------------------------------------------------------


def test_wrong_channels_are_refused_with_both_shapes():
    with pytest.raises(ShapeError) as caught:
        run(np.zeros((8, 3, 32, 32)), np.zeros((16, 4, 3, 3)))
    assert str(caught.value) == (
        "conv2d: expected w.shape[1] = C / groups = 3 / 1, got w of shape (16, 4, 3, 3) "
        "for x of shape (8, 3, 32, 32); this weight takes images of 4 channels"
    )
    assert caught.value.op == "conv2d"


def test_channels_last_image_is_recognised():
    with pytest.raises(ShapeError, match=r"looks like \(N, H, W, C\): use x.permute\(0, 3, 1, 2\)"):
        run(np.zeros((8, 32, 32, 3)), np.zeros((16, 3, 3, 3)))


def test_channels_last_single_image_is_recognised():
    with pytest.raises(ShapeError, match=r"looks like"):
        run(np.zeros((32, 32, 3)), np.zeros((16, 3, 3, 3)))


@pytest.mark.parametrize("x, w", [(np.int64, np.int64), (np.float32, np.float64), (np.float16, np.float16)])
def test_other_types_are_refused(x, w):
    with pytest.raises(DTypeError, match="expected x, w of type float32 or float64, all the same"):
        run(np.zeros((1, 1, 4, 4), x), np.zeros((1, 1, 3, 3), w))


@pytest.mark.parametrize(
    "options, match",
    [
        ({"padding": "same", "stride": 2}, r'stride 1 with padding="same", got stride \(2, 2\)'),
        ({"padding": "full"}, "padding = an integer or a pair of them, got 'full'"),
        ({"padding": ((1, 1), (1, 1), (1, 1))}, "padding = an integer or a pair of them"),
        ({"stride": 1.5}, "stride = an integer or a pair of them, got 1.5"),
        ({"stride": (1, 1, 1)}, "stride = an integer or a pair of them"),
        ({"dilation": 0}, "dilation = two integers of at least 1"),
    ],
)
def test_options_without_meaning_are_refused(options, match):
    with pytest.raises(OptionError, match=f"^conv2d: expected {match}"):
        run(np.zeros((1, 1, 4, 4)), np.zeros((1, 1, 3, 3)), **options)


def test_sizes_beyond_any_memory_do_not_wrap():
    with pytest.raises((ShapeError, MemoryError)):
        run(np.zeros((1, 1, 4, 4)), np.zeros((1, 1, 3, 3)), padding=2**40)
    assert ops.conv2d.output_shape(
        MetaArray((1, 1, 2**62, 4), "float32"),
        MetaArray((1, 1, 3, 3), "float32"),
        padding=((2**62,) * 2, (0, 0)),
    ) == (1, 1, 3 * 2**62 - 2, 2)


# -- how it is computed ----------------------------------------------------------------------


def test_columns_hold_the_windows():
    x = np.arange(24.0).reshape(2, 1, 3, 4)
    cols = im2col(np, x, (2, 2), (1, 2), (1, 1))
    assert cols.shape == (4, 2 * 2 * 2)
    assert cols[:, 1].tolist() == [2, 3, 6, 7] and cols[:, -1].tolist() == [18, 19, 22, 23]


def test_col2im_is_the_adjoint_of_im2col(rng):
    x, geometry = integers(rng, 2, 3, 7, 6), ((3, 2), (2, 1), (2, 3))
    cols = im2col(np, x, *geometry)
    other = integers(rng, *cols.shape)
    assert (cols * other).sum() == (x * col2im(np, other, x.shape, *geometry)).sum()


@pytest.mark.parametrize("workspace", [1, 1500, 4000])
def test_work_in_blocks_gives_the_same(rng, monkeypatch, workspace):
    operands = [integers(rng, 5, 4, 9, 7), integers(rng, 6, 2, 3, 2), integers(rng, 6)]
    attrs = {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "dilation": (2, 3), "groups": 2}

    def everything():
        y, saved = ops.conv2d.run(operands, attrs)
        return [y, *ops.conv2d.run_backward(y, saved, (True, True, True), attrs)]

    whole = everything()
    monkeypatch.setattr(ops, "WORKSPACE", workspace)
    assert all(np.array_equal(a, b) for a, b in zip(everything(), whole, strict=True))


@pytest.mark.parametrize("shape", [(1, 16, 128, 256), (64, 4, 64, 32)], ids=["one image", "many images"])
def test_columns_are_never_all_in_memory(shape):
    """All columns, 25 times the images, would take 52 MB."""
    x, w = np.ones(shape, np.float32), np.ones((1, shape[1], 5, 5), np.float32)
    tracemalloc.start()
    try:
        y, saved = ops.conv2d.run([x, w], ops.conv2d.defaults)
        ops.conv2d.run_backward(y, saved, (True, True), ops.conv2d.defaults)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * x.nbytes + y.nbytes + 4 * ops.WORKSPACE


def test_only_operands_are_kept_for_backward(rng):
    x, w = integers(rng, 1, 2, 5, 5), integers(rng, 3, 2, 3, 3)
    _, saved = ops.conv2d.run([x, w], ops.conv2d.defaults)
    assert saved[0] is x and saved[1] is w and len(saved) == 2
