"""Convolution of images (F1), its transpose, and the two rearrangements they are made of.

Three linear maps do all the work, each one matrix product per group of channels::

    _correlate         y = W · im2col(x)      forward of conv2d, backward of its transpose
    _spread            x = col2im(Wᵀ · y)     its adjoint in x: backward of conv2d, forward of its transpose
    _weight_gradient   W = y · im2col(x)ᵀ     its adjoint in W: backward of both
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minicnn.core.op import op
from minicnn.errors import OptionError, ShapeError
from minicnn.ops import windows as geometry
from minicnn.ops.rules import total
from minicnn.ops.windows import Padding, Pair, col2im, im2col
from minicnn.typing import Array, Shape

__all__ = ["col2im", "conv2d", "conv_transpose2d", "im2col"]

_ONE: Pair = (1, 1)
_NONE: Padding = ((0, 0), (0, 0))

# Columns are made for as many images, or rows of one image, as fit into this many bytes: they are
# KH·KW times as large as the images, and a matrix product is fastest while they stay in the cache.
WORKSPACE = 2**22


@op
def conv2d(xp, x, w, b=None, *, stride=_ONE, padding=_NONE, dilation=_ONE, groups=1):
    """Convolution of images with a bank of kernels (F1).

        y[n,o,i,j] = b[o] + Σ_{c,p,q} w[o,c,p,q] · x[n, c, S·i + D·p - P, S·j + D·q - P]

    Parameters
    ----------
    x : (N, C, H, W)
        Images, zero outside their borders.
    w : (O, C/groups, KH, KW)
        One kernel per output channel.
    b : (O,) or None
        One bias per output channel.
    stride, dilation : (int, int)
        S: step between windows; D: step between the pixels of a window; in pixels.
    padding : ((int, int), (int, int))
        Zeros added at ((top, bottom), (left, right)); P is top or left.
    groups : int
        The o-th kernel sees only the channels of its group; ``groups = C`` is a depthwise convolution.

    Returns
    -------
    y : (N, O, OH, OW)
        OH = ⌊(H + top + bottom - D·(KH - 1) - 1) / S⌋ + 1, and OW likewise.

    Raises
    ------
    ShapeError
        If w.shape[1] ≠ C / groups, a shape does not fit otherwise, or OH < 1 or OW < 1.
    DTypeError
        If the operands are not all float32 or all float64.
    OptionError
        If stride, padding, dilation or groups has no meaning.

    Notes
    -----
    The article writes (§3.1)  y_ij = Σ_{k,l} x_{i-k+1, j-l+1} · w_kl + b_i.  Literally that is

    * a true convolution: the kernel is flipped, ``w[..., ::-1, ::-1]`` here; like every framework,
      this is the cross-correlation, and a trained kernel does not care (F1a);
    * of one channel, with the indices outside the image at its top and left: a padding of
      ((KH - 1, 0), (KW - 1, 0)), not a centred one (F1b);
    * with one bias per row i of the output, where this has one per channel (F1c);
    * and x_{i-k+1, j-l+1} stands in row i-k+1, column j-l+1, not "row i, column j" (F1d).

    Saved: x, w.  Cost: 2·N·O·OH·OW·(C/groups)·KH·KW flop.
    Oracle: minicnn.oracles.conv.conv2d; minicnn.oracles.conv.literal_convolution is the article's own form.

    References
    ----------
    Article §3.1; Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.arange(9.0).reshape(1, 1, 3, 3)
    >>> edge = minicnn.tensor([[[[-1.0, 1.0]]]])
    >>> conv2d(x, edge).tolist()
    [[[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]]]
    """
    size = geometry.output_sizes(x.shape, w.shape[2:], stride, padding, dilation)
    y = _correlate(xp, x, w, size, stride, padding, dilation, groups)
    if b is not None:
        y += b[:, None, None]
    return y, (x, w)


@conv2d.backward
def conv2d_backward(xp, gy, saved, needs, *, stride, padding, dilation, groups):
    """The derivatives of the convolution (F1).

    dL/dx = col2im(Wᵀ · gy)         each pixel collects from all windows that saw it
    dL/dw = gy · im2col(x)ᵀ         each weight collects over all positions of its window
    dL/db[o] = Σ_{n,i,j} gy[n,o,i,j]
    """
    x, w = saved
    gx = gw = gb = None
    if needs[0]:
        gx = _spread(xp, gy, w, x.shape[2:], stride, padding, dilation, groups)
    if needs[1]:
        gw = _weight_gradient(xp, gy, x, w.shape, stride, padding, dilation, groups)
    if len(needs) > 2 and needs[2]:
        gb = total(xp, gy, (0, 2, 3))
    return (gx, gw, gb)[: len(needs)]


@conv2d.shape
def conv2d_shape(
    x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Shape:
    """(N, O, OH, OW), once everything fits."""
    _check(x, w, b, stride, padding, dilation, groups)
    (n, c, *_), (o, per_group, *kernel_size) = x.shape, w.shape
    if per_group * groups != c:
        raise ShapeError(
            expected=f"w.shape[1] = C / groups = {c} / {groups}",
            got=f"w of shape {tuple(w.shape)} for x of shape {tuple(x.shape)}",
            hint=_channels_hint(x.shape, per_group * groups),
        )
    if o % groups:
        raise ShapeError(expected=f"O a multiple of groups = {groups}", got=f"w of shape {tuple(w.shape)}")
    _check_bias(b, o)
    size = geometry.output_sizes(x.shape, tuple(kernel_size), stride, padding, dilation)
    geometry.check_fit(size, x.shape, tuple(kernel_size), padding, dilation)
    return (n, o, *size)


@op
def conv_transpose2d(
    xp, x, w, b=None, *, stride=_ONE, padding=_NONE, output_padding=(0, 0), dilation=_ONE, groups=1
):
    """Transposed convolution: the adjoint of :func:`conv2d` in x, which grows images.

        y[n,o,r,s] = b[o] + Σ w[c,o,p,q] · x[n,c,i,j]   over all c, p, q, i, j
                     with S·i + D·p - P = r and S·j + D·q - P = s

    Parameters
    ----------
    x : (N, C, H, W)
    w : (C, O/groups, KH, KW)
        The shape of the weight of the convolution, from O channels to C, that it transposes.
    b : (O,) or None
    stride, dilation : (int, int)
        S and D of that convolution, in pixels.
    padding : ((int, int), (int, int))
        Its padding, ((top, bottom), (left, right)): as much is cut off here.
    output_padding : (int, int)
        Rows and columns more at the bottom and right: which of the image sizes that the strided
        convolution maps to (H, W) is meant. Less than stride or dilation.
    groups : int

    Returns
    -------
    y : (N, O, OH, OW)
        OH = (H - 1)·S - top - bottom + D·(KH - 1) + 1 + output_padding, and OW likewise.

    Raises
    ------
    ShapeError, DTypeError, OptionError
        As for :func:`conv2d`; also if output_padding is too large.

    Notes
    -----
    Saved: x, w.  Cost: 2·N·C·H·W·(O/groups)·KH·KW flop.  Oracle: minicnn.oracles.conv.conv_transpose2d

    References
    ----------
    Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016, §4.

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.tensor([[[[1.0, 2.0]]]])
    >>> conv_transpose2d(x, minicnn.ones(1, 1, 1, 2), stride=(1, 2)).tolist()
    [[[[1.0, 1.0, 2.0, 2.0]]]]
    """
    size = _transposed_size(x.shape, w.shape[2:], stride, padding, output_padding, dilation)
    y = _spread(xp, x, w, size, stride, padding, dilation, groups)
    if b is not None:
        y += b[:, None, None]
    return y, (x, w)


@conv_transpose2d.backward
def conv_transpose2d_backward(xp, gy, saved, needs, *, stride, padding, output_padding, dilation, groups):
    """The derivatives: the convolution that was transposed, and its gradient with x and gy exchanged.

    dL/dx = W · im2col(gy),   dL/dw = x · im2col(gy)ᵀ,   dL/db[o] = Σ_{n,r,s} gy[n,o,r,s]
    """
    x, w = saved
    gx = gw = gb = None
    if needs[0]:
        gx = _correlate(xp, gy, w, x.shape[2:], stride, padding, dilation, groups)
    if needs[1]:
        gw = _weight_gradient(xp, x, gy, w.shape, stride, padding, dilation, groups)
    if len(needs) > 2 and needs[2]:
        gb = total(xp, gy, (0, 2, 3))
    return (gx, gw, gb)[: len(needs)]


@conv_transpose2d.shape
def conv_transpose2d_shape(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    stride: Pair,
    padding: Padding,
    output_padding: Pair,
    dilation: Pair,
    groups: int,
) -> Shape:
    """(N, O, OH, OW), once everything fits."""
    _check(x, w, b, stride, padding, dilation, groups)
    geometry.check_pairs(0, output_padding=output_padding)
    limits = [max(s, d) for s, d in zip(stride, dilation, strict=True)]
    if output_padding[0] >= limits[0] or output_padding[1] >= limits[1]:
        raise OptionError(
            expected=f"output_padding less than stride {stride} or dilation {dilation}",
            got=str(output_padding),
        )
    (n, c, *_), (in_channels, per_group, *kernel_size) = x.shape, w.shape
    if in_channels != c:
        raise ShapeError(
            expected=f"w.shape[0] = C = {c}",
            got=f"w of shape {tuple(w.shape)} for x of shape {tuple(x.shape)}",
            hint=_channels_hint(x.shape, in_channels),
        )
    if c % groups:
        raise ShapeError(expected=f"C a multiple of groups = {groups}", got=f"x of shape {tuple(x.shape)}")
    _check_bias(b, per_group * groups)
    size = _transposed_size(x.shape, tuple(kernel_size), stride, padding, output_padding, dilation)
    if min(size) < 1 or 0 in x.shape[2:]:
        raise ShapeError(
            expected="an output of at least 1 x 1 pixels after the padding is cut off",
            got=f"{size[0]} x {size[1]} for x of shape {tuple(x.shape)}",
            hint="use less padding",
        )
    return (n, per_group * groups, *size)


# -- the three maps --------------------------------------------------------------------------


def _correlate(xp, x, w, size, stride, padding, dilation, groups):
    """y = W · im2col(x)."""
    x = geometry.pad(xp, x, padding)
    rows = w.reshape(groups, w.shape[0] // groups, _per_output(w.shape))  # (G, O/G, K)
    y = xp.empty((len(x), len(w), *size), x.dtype)
    for out, seen in _blocks(x, w.shape, size, stride, dilation):
        part = y[out].swapaxes(0, 1)  # (O, n, r, OW)
        cols = im2col(xp, x[seen], w.shape[2:], stride, dilation)  # (C·KH·KW, n·r·OW)
        product = rows @ cols.reshape(groups, rows.shape[2], cols.shape[1])
        part[...] = product.reshape(part.shape)
    return y


def _spread(xp, y, w, size, stride, padding, dilation, groups):
    """x = col2im(Wᵀ · y), of images of ``size``."""
    (top, bottom), (left, right) = padding
    channels = w.shape[1] * groups
    x = xp.zeros((len(y), channels, size[0] + top + bottom, size[1] + left + right), y.dtype)
    rows = w.reshape(groups, w.shape[0] // groups, _per_output(w.shape)).swapaxes(1, 2)  # (G, K, O/G)
    for out, seen in _blocks(x, w.shape, y.shape[2:], stride, dilation):
        cols = rows @ _columns(y[out], groups)
        cols = cols.reshape(groups * rows.shape[1], cols.shape[2])  # (C·KH·KW, n·r·OW)
        x[seen] += col2im(xp, cols, x[seen].shape, w.shape[2:], stride, dilation)
    return geometry.crop(xp, x, padding)


def _weight_gradient(xp, y, x, shape, stride, padding, dilation, groups):
    """w = y · im2col(x)ᵀ, of that shape: how the images correlate with the output."""
    x = geometry.pad(xp, x, padding)
    w = xp.zeros((groups, shape[0] // groups, _per_output(shape)), y.dtype)
    for out, seen in _blocks(x, shape, y.shape[2:], stride, dilation):
        cols = im2col(xp, x[seen], shape[2:], stride, dilation)
        w += _columns(y[out], groups) @ cols.reshape(groups, w.shape[2], cols.shape[1]).swapaxes(1, 2)
    return w.reshape(shape)


def _columns(y: Array, groups: int) -> Array:
    """Outputs (n, O, r, OW) as matrices (G, O/G, n·r·OW), one per group."""
    n, channels, *size = y.shape
    return y.swapaxes(0, 1).reshape(groups, channels // groups, n * size[0] * size[1])


def _per_output(w_shape: Shape) -> int:
    """K: how many weights one output channel has."""
    return w_shape[1] * w_shape[2] * w_shape[3]


def _blocks(x: Array, w_shape: Shape, size: Pair, stride: Pair, dilation: Pair) -> Iterator[tuple[Any, Any]]:
    """Cut the work: index pairs of outputs, and of the padded images' pixels that they see."""
    n, c = x.shape[:2]
    (oh, ow), (kh, kw) = size, w_shape[2:]
    row_bytes = c * kh * kw * ow * x.dtype.itemsize
    rows = min(oh, max(1, WORKSPACE // max(1, row_bytes)))
    images = max(1, WORKSPACE // max(1, row_bytes * oh))
    width = (ow - 1) * stride[1] + dilation[1] * (kw - 1) + 1
    for first in range(0, n, images):
        batch = slice(first, first + images)
        for row in range(0, oh, rows):
            last = min(row + rows, oh) - 1
            seen = slice(row * stride[0], last * stride[0] + dilation[0] * (kh - 1) + 1)
            yield (batch, slice(None), slice(row, last + 1)), (batch, slice(None), seen, slice(0, width))


# -- sizes and checks ------------------------------------------------------------------------


def _transposed_size(
    x_shape: Shape, kernel_size: Pair, stride: Pair, padding: Padding, output_padding: Pair, dilation: Pair
) -> Pair:
    """(OH, OW) of a transposed convolution."""
    oh, ow = (
        (h - 1) * s - sum(p) + d * (k - 1) + 1 + extra
        for h, k, s, p, extra, d in zip(
            x_shape[2:], kernel_size, stride, padding, output_padding, dilation, strict=True
        )
    )
    return oh, ow


def _check(x: Any, w: Any, b: Any, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> None:
    """What both operations ask of their operands and attributes."""
    geometry.check_images(x)
    if w.ndim != 4 or 0 in w.shape[2:]:
        raise ShapeError(
            expected="w of 4 dimensions, with kernels of at least 1 x 1", got=f"w of shape {tuple(w.shape)}"
        )
    geometry.check_floats(x=x, w=w, b=b)
    geometry.check_pairs(1, stride=stride, dilation=dilation)
    geometry.check_padding(padding)
    if not geometry.is_whole(groups, 1):
        raise OptionError(expected="groups = an integer of at least 1", got=repr(groups))


def _check_bias(b: Any, channels: int) -> None:
    if b is not None and tuple(b.shape) != (channels,):
        raise ShapeError(
            expected=f"b of shape ({channels},)",
            got=f"b of shape {tuple(b.shape)}",
            hint="there is one bias per output channel",
        )


def _channels_hint(x_shape: Shape, channels: int) -> str:
    if x_shape[3] == channels:
        return "x looks like (N, H, W, C): use x.permute(0, 3, 1, 2)"
    return f"this weight takes images of {channels} channels"
