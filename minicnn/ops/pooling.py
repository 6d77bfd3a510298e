"""Pooling of images (F2): the largest value or the mean of each window."""

from __future__ import annotations

from typing import Any

from minicnn.core.op import op
from minicnn.errors import OptionError
from minicnn.ops import windows as geometry
from minicnn.ops.adaptive_pooling import adaptive_avg_pool2d, adaptive_max_pool2d
from minicnn.ops.rules import require_number, whole
from minicnn.ops.windows import Padding, Pair
from minicnn.typing import Shape

__all__ = ["adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d", "flat_indices", "max_pool2d"]

_NONE: Padding = ((0, 0), (0, 0))


@op
def max_pool2d(xp, x, *, kernel_size, stride, padding=_NONE, dilation=(1, 1), ceil_mode=False):
    """The largest value of each window (F2).

        y[n,c,i,j] = max_{p,q} x[n, c, S·i + D·p - P, S·j + D·q - P]

    Parameters
    ----------
    x : (N, C, H, W)
        Numbers of any type. Outside its borders there is nothing, not zero.
    kernel_size, stride, dilation : (int, int)
        Size of the window, S: step between windows, D: step between the pixels of a window; in pixels.
    padding : ((int, int), (int, int))
        How far windows may start or end outside, ((top, bottom), (left, right)); at most half a window.
    ceil_mode : bool
        Add a last window that is only partly filled, if it starts inside the image or its padding.

    Returns
    -------
    y : (N, C, OH, OW)
        OH = ⌊(H + top + bottom - D·(KH - 1) - 1) / S⌋ + 1, rounded up in ceil mode; OW likewise.

    Raises
    ------
    ShapeError
        If x has not four dimensions, or OH < 1 or OW < 1.
    OptionError
        If a window would hold no pixel of the image, or an option has no meaning.

    Notes
    -----
    The article writes (§3.2)  p_ij = max_{k,l} x_{i-k+1, j-l+1},  with no stride. Literally that
    keeps the size of the image: what makes it smaller, as the text says it does, is the stride,
    usually the size of the window (F2a). Pooling has no parameters; the parameters that it saves
    are those of the first dense layer behind it (F2b).

    Of equal values the first in row-major order counts. NaN is larger than everything.
    Saved: index, x.shape; index[n,c,i,j] = p·KW + q of the largest value, uint8 if that fits, else int32.
    Cost: N·C·OH·OW·KH·KW comparisons.
    Oracle: minicnn.oracles.pooling.max_pool2d; minicnn.oracles.pooling.literal_max_pooling is the
    article's own form.

    References
    ----------
    Article §3.2.

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.arange(16.0).reshape(1, 1, 4, 4)
    >>> max_pool2d(x, kernel_size=(2, 2), stride=(2, 2)).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    size = geometry.output_sizes(x.shape, kernel_size, stride, padding, dilation, ceil=ceil_mode)
    reach = _reach(x.shape, size, kernel_size, stride, padding, dilation)
    lowest = -float("inf") if x.dtype.kind == "f" else int(xp.iinfo(x.dtype).min)
    view = geometry.windows(xp, geometry.pad(xp, x, reach, lowest), kernel_size, size, stride, dilation)
    y = xp.full(view.shape[:4], lowest, x.dtype)
    kind = xp.uint8 if kernel_size[0] * kernel_size[1] <= 256 else xp.int32
    index = xp.empty(view.shape[:4], kind)
    # Start at the first tap inside the image: padding must not win against a pixel of -inf.
    top, left = (
        xp.asarray([_first_tap(s * i, before, d) for i in range(count)])
        for count, s, (before, _), d in zip(size, stride, padding, dilation, strict=True)
    )
    index[...] = top[:, None] * kernel_size[1] + left
    for tap, (p, q) in enumerate(geometry.taps(kernel_size)):
        value = view[..., p, q]
        better = ~(value <= y) & (y == y)  # larger, or the first NaN
        y = xp.where(better, value, y)  # not a maximum, which may take either of 0 and -0
        index = xp.maximum(index, better * kind(tap))  # taps come in rising order
    return y, (index, x.shape)


@max_pool2d.backward
def max_pool2d_backward(xp, gy, saved, needs, *, kernel_size, stride, padding, dilation, ceil_mode):
    """Each window passes its gradient to the pixel that won it, so that Σ dL/dx = Σ dL/dy.

    dL/dx[n,c,r,s] = Σ gy[n,c,i,j]   over the windows (i, j) whose largest value stands at (r, s)
    """
    index, shape = saved
    reach = _reach(shape, gy.shape[2:], kernel_size, stride, padding, dilation)
    gx = _zeros(xp, shape, reach, gy.dtype)
    view = geometry.windows(xp, gx, kernel_size, gy.shape[2:], stride, dilation)
    for tap, (p, q) in enumerate(geometry.taps(kernel_size)):
        view[..., p, q] += xp.where(index == tap, gy, 0)
    return (geometry.crop(xp, gx, reach),)


@max_pool2d.shape
def max_pool2d_shape(
    x: Any, *, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool
) -> Shape:
    """(N, C, OH, OW), once everything fits."""
    require_number(x, "x")
    return _pooled_shape(x, kernel_size, stride, padding, dilation, ceil_mode)


def flat_indices(xp, index, width, *, kernel_size, stride, padding, dilation):
    """Where in its image the largest value of each window stands, as PyTorch counts.

    Parameters
    ----------
    index : (N, C, OH, OW)
        What :func:`max_pool2d` saved: p·KW + q.
    width : int
        W of the images.
    kernel_size, stride, padding, dilation
        As for :func:`max_pool2d`.

    Returns
    -------
    array of int64 (N, C, OH, OW)
        r·W + s for the pixel in row r and column s.

    Examples
    --------
    >>> import numpy as np
    >>> flat_indices(np, np.array([[[[1, 2]]]]), 4, kernel_size=(2, 2), stride=(2, 2),
    ...              padding=((0, 0), (0, 0)), dilation=(1, 1)).tolist()
    [[[[1, 6]]]]
    """
    i, j = (xp.arange(count) for count in index.shape[2:])
    p, q = index.astype(xp.int64) // kernel_size[1], index.astype(xp.int64) % kernel_size[1]
    row = stride[0] * i[:, None] + dilation[0] * p - padding[0][0]
    column = stride[1] * j + dilation[1] * q - padding[1][0]
    return row * width + column


@op
def avg_pool2d(
    xp,
    x,
    *,
    kernel_size,
    stride,
    padding=_NONE,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The mean of each window (F2).

        y[n,c,i,j] = Σ_{p,q} x[n, c, S·i + p - P, S·j + q - P] / count[i,j]

    Parameters
    ----------
    x : (N, C, H, W)
        Zero outside its borders.
    kernel_size, stride : (int, int)
        Size of the window, and S: step between windows; in pixels.
    padding : ((int, int), (int, int))
        Zeros added at ((top, bottom), (left, right)); at most half a window.
    ceil_mode : bool
        Add a last window that is only partly filled, if it starts inside the image or its padding.
    count_include_pad : bool
        Whether ``count`` includes the padding: KH·KW, less what a last window of ceil mode has even
        outside the padding. Otherwise it is the number of pixels of the image.
    divisor_override : int or None
        Another ``count``, not zero.

    Returns
    -------
    y : (N, C, OH, OW)
        OH = ⌊(H + top + bottom - KH) / S⌋ + 1, rounded up in ceil mode; OW likewise.

    Raises
    ------
    ShapeError, OptionError
        As for :func:`max_pool2d`.
    DTypeError
        If x is neither float32 nor float64.

    Notes
    -----
    The article names average pooling (§3.2) and gives no formula; this is it (F2c).
    Saved: x.shape.  Cost: N·C·OH·(W·KH + OW·KW) additions: a window's sum is taken over rows, then columns.
    Oracle: minicnn.oracles.pooling.avg_pool2d

    References
    ----------
    Article §3.2.

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.arange(16.0).reshape(1, 1, 4, 4)
    >>> avg_pool2d(x, kernel_size=(2, 2), stride=(2, 2)).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    (kh, kw), (sh, sw) = kernel_size, stride
    oh, ow = size = geometry.output_sizes(x.shape, kernel_size, stride, padding, (1, 1), ceil=ceil_mode)
    padded = geometry.pad(xp, x, _reach(x.shape, size, kernel_size, stride, padding, (1, 1)))
    sums = xp.zeros((*x.shape[:2], oh, padded.shape[3]), x.dtype)
    for p in range(kh):
        sums += padded[:, :, p : p + sh * (oh - 1) + 1 : sh]
    y = xp.zeros((*x.shape[:2], oh, ow), x.dtype)
    for q in range(kw):
        y += sums[..., q : q + sw * (ow - 1) + 1 : sw]
    counts = _counts(xp, x.shape, size, kernel_size, stride, padding, count_include_pad, divisor_override)
    return y / counts.astype(x.dtype), (x.shape,)


@avg_pool2d.backward
def avg_pool2d_backward(
    xp, gy, saved, needs, *, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
):
    """Each window spreads its gradient evenly over its pixels.

    dL/dx[n,c,r,s] = Σ gy[n,c,i,j] / count[i,j]   over the windows (i, j) that hold (r, s)
    """
    (shape,) = saved
    (kh, kw), (sh, sw) = kernel_size, stride
    oh, ow = size = gy.shape[2:]
    reach = _reach(shape, size, kernel_size, stride, padding, (1, 1))
    counts = _counts(xp, shape, size, kernel_size, stride, padding, count_include_pad, divisor_override)
    share = gy / counts.astype(gy.dtype)
    gx = _zeros(xp, shape, reach, gy.dtype)
    sums = xp.zeros((*shape[:2], oh, gx.shape[3]), gy.dtype)
    for q in range(kw):
        sums[..., q : q + sw * (ow - 1) + 1 : sw] += share
    for p in range(kh):
        gx[:, :, p : p + sh * (oh - 1) + 1 : sh] += sums
    return (geometry.crop(xp, gx, reach),)


@avg_pool2d.shape
def avg_pool2d_shape(
    x: Any,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Shape:
    """(N, C, OH, OW), once everything fits."""
    geometry.check_floats(x=x)
    if divisor_override is not None and (whole(divisor_override) or 0) == 0:
        raise OptionError(expected="divisor_override = None or an integer but 0", got=repr(divisor_override))
    return _pooled_shape(x, kernel_size, stride, padding, (1, 1), ceil_mode)


# -- which pixels a window holds -------------------------------------------------------------


def _reach(
    x_shape: Shape, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> Padding:
    """The padding, enlarged at the end to where the last window of ceil mode ends."""
    vertical, horizontal = (
        (before, max(after, (o - 1) * s + d * (k - 1) + 1 - h - before))
        for h, o, k, s, (before, after), d in zip(
            x_shape[2:], size, kernel_size, stride, padding, dilation, strict=True
        )
    )
    return vertical, horizontal


def _first_tap(start: int, before: int, dilation: int) -> int:
    """The first pixel of a window that does not lie in the ``before`` pixels of padding."""
    return max(0, -((start - before) // dilation))


def _zeros(xp, shape, padding, dtype):
    """Zeros in the shape of the images with their padding."""
    h, w = (size + sum(border) for size, border in zip(shape[2:], padding, strict=True))
    return xp.zeros((*shape[:2], h, w), dtype)


def _counts(xp, x_shape, size, kernel_size, stride, padding, count_include_pad, divisor_override):
    """count[i,j]: what the sum over window (i, j) is divided by, (OH, OW)."""
    if divisor_override is not None:
        return xp.full(size, divisor_override)
    per_row, per_column = (
        _extents(h, o, k, s, border, count_include_pad)
        for h, o, k, s, border in zip(x_shape[2:], size, kernel_size, stride, padding, strict=True)
    )
    return xp.asarray(per_row)[:, None] * xp.asarray(per_column)


def _extents(size: int, count: int, kernel: int, stride: int, padding: Pair, include_pad: bool) -> list[int]:
    """How many pixels of one dimension each window holds, the padding counted or not."""
    low, high = (0, size + sum(padding)) if include_pad else (padding[0], padding[0] + size)
    starts = (stride * i for i in range(count))
    return [min(start + kernel, high) - max(start, low) for start in starts]


# -- checks ----------------------------------------------------------------------------------


def _pooled_shape(
    x: Any, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool
) -> Shape:
    """The shape rule that max and average pooling share."""
    geometry.check_images(x)
    geometry.check_pairs(1, kernel_size=kernel_size, stride=stride, dilation=dilation)
    geometry.check_padding(padding)
    size = geometry.output_sizes(x.shape, kernel_size, stride, padding, dilation, ceil=ceil_mode)
    geometry.check_fit(size, x.shape, kernel_size, padding, dilation)
    for h, o, k, s, (before, after), d in zip(
        x.shape[2:], size, kernel_size, stride, padding, dilation, strict=True
    ):
        if 2 * max(before, after) > d * (k - 1) + 1 or not _meets_image(h, o, k, s, before, d):
            raise OptionError(
                expected=f"padding of at most half the window of {kernel_size} (dilation {dilation})",
                got=f"{padding} for x of shape {tuple(x.shape)}",
                hint="a window must hold a pixel of the image",
            )
    return (*x.shape[:2], *size)


def _meets_image(size: int, count: int, kernel: int, stride: int, before: int, dilation: int) -> bool:
    """Whether each window holds a pixel of the image; only those that start before it may not."""
    for i in {*range(min(count, -(-before // stride))), count - 1}:
        tap = _first_tap(stride * i, before, dilation)
        if tap >= kernel or stride * i + dilation * tap - before >= size:
            return False
    return True
