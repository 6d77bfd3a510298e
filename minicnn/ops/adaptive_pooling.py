"""Pooling over a grid of windows that covers the image, whatever its size; global pooling is 1 x 1."""

from __future__ import annotations

from typing import Any

from minicnn.core.op import op
from minicnn.errors import ShapeError
from minicnn.ops.rules import require_number
from minicnn.ops.windows import Pair, check_floats, check_images, check_pairs
from minicnn.typing import Shape

__all__ = ["adaptive_avg_pool2d", "adaptive_max_pool2d"]


@op
def adaptive_avg_pool2d(xp, x, *, output_size):
    """The means over a grid of windows that covers the image, whatever its size.

        y[n,c,i,j] = mean of x[n, c, r, s]   over ⌊i·H/OH⌋ ≤ r < ⌈(i+1)·H/OH⌉, and likewise s

    Parameters
    ----------
    x : (N, C, H, W)
    output_size : (OH, OW)
        (1, 1) is global average pooling.

    Returns
    -------
    y : (N, C, OH, OW)

    Raises
    ------
    ShapeError
        If x has not four dimensions, or no pixels.
    DTypeError
        If x is neither float32 nor float64.
    OptionError
        If output_size is not two positive integers.

    Notes
    -----
    Neighbouring windows overlap where H is not a multiple of OH. Saved: x.shape.
    Oracle: minicnn.oracles.pooling.adaptive_avg_pool2d

    References
    ----------
    Lin, Chen, Yan, "Network in network", 2013 (global average pooling).

    Examples
    --------
    >>> import minicnn
    >>> adaptive_avg_pool2d(minicnn.arange(5.0).reshape(1, 1, 1, 5), output_size=(1, 2)).tolist()
    [[[[1.0, 3.0]]]]
    """
    rows, columns = _grid(x.shape, output_size)
    sums = xp.stack([x[:, :, r].sum(2) for r in rows], 2)
    sums = xp.stack([sums[..., c].sum(3) for c in columns], 3)
    return sums / _grid_counts(xp, rows, columns).astype(x.dtype), (x.shape,)


@adaptive_avg_pool2d.backward
def adaptive_avg_pool2d_backward(xp, gy, saved, needs, *, output_size):
    """Each window spreads its gradient evenly over its pixels.

    dL/dx[n,c,r,s] = Σ gy[n,c,i,j] / count[i,j]   over the windows (i, j) that hold (r, s)
    """
    (shape,) = saved
    rows, columns = _grid(shape, output_size)
    share = gy / _grid_counts(xp, rows, columns).astype(gy.dtype)
    sums = xp.zeros((*gy.shape[:3], shape[3]), gy.dtype)
    for j, c in enumerate(columns):
        sums[..., c] += share[..., j : j + 1]
    gx = xp.zeros(shape, gy.dtype)
    for i, r in enumerate(rows):
        gx[:, :, r] += sums[:, :, i : i + 1]
    return (gx,)


@adaptive_avg_pool2d.shape
def adaptive_avg_pool2d_shape(x: Any, *, output_size: Pair) -> Shape:
    """(N, C, OH, OW), once everything fits."""
    check_floats(x=x)
    return _adaptive_shape(x, output_size)


@op
def adaptive_max_pool2d(xp, x, *, output_size):
    """The largest values over a grid of windows that covers the image, whatever its size.

        y[n,c,i,j] = max of x[n, c, r, s]   over ⌊i·H/OH⌋ ≤ r < ⌈(i+1)·H/OH⌉, and likewise s

    Parameters
    ----------
    x : (N, C, H, W)
        Numbers of any type.
    output_size : (OH, OW)
        (1, 1) is global max pooling.

    Returns
    -------
    y : (N, C, OH, OW)

    Raises
    ------
    ShapeError, OptionError
        As for :func:`adaptive_avg_pool2d`.

    Notes
    -----
    Of equal values the first in row-major order counts. NaN is larger than everything.
    Saved: index, x.shape; index[n,c,i,j] = r·W + s of the largest value, int64.
    Oracle: minicnn.oracles.pooling.adaptive_max_pool2d

    Examples
    --------
    >>> import minicnn
    >>> adaptive_max_pool2d(minicnn.arange(5.0).reshape(1, 1, 1, 5), output_size=(1, 2)).tolist()
    [[[[2.0, 4.0]]]]
    """
    rows, columns = _grid(x.shape, output_size)
    n, c, _, width = x.shape
    index = xp.empty((n, c, *output_size), xp.int64)
    for i, r in enumerate(rows):
        for j, s in enumerate(columns):
            across = s.stop - s.start
            best = x[:, :, r, s].reshape(n, c, (r.stop - r.start) * across).argmax(2)
            index[:, :, i, j] = (r.start + best // across) * width + s.start + best % across
    flat = x.reshape(n, c, x.shape[2] * width)
    y = xp.take_along_axis(flat, index.reshape(n, c, output_size[0] * output_size[1]), 2)
    return y.reshape(index.shape), (index, x.shape)


@adaptive_max_pool2d.backward
def adaptive_max_pool2d_backward(xp, gy, saved, needs, *, output_size):
    """Each window passes its gradient to the pixel that won it.

    dL/dx[n,c,r,s] = Σ gy[n,c,i,j]   over the windows (i, j) whose largest value stands at (r, s)
    """
    index, shape = saved
    images = shape[0] * shape[1]
    gx = xp.zeros((images, shape[2] * shape[3]), gy.dtype)
    each = xp.arange(images)
    windows = output_size[0] * output_size[1]
    index, gy = index.reshape(images, windows), gy.reshape(images, windows)
    for k in range(windows):  # within one window no pixel comes twice
        gx[each, index[:, k]] += gy[:, k]
    return (gx.reshape(shape),)


@adaptive_max_pool2d.shape
def adaptive_max_pool2d_shape(x: Any, *, output_size: Pair) -> Shape:
    """(N, C, OH, OW), once everything fits."""
    require_number(x, "x")
    return _adaptive_shape(x, output_size)


def _grid(x_shape: Shape, output_size: Pair) -> tuple[list[slice], list[slice]]:
    """The rows, and the columns, of each window of adaptive pooling."""
    rows, columns = (
        [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        for size, count in zip(x_shape[2:], output_size, strict=True)
    )
    return rows, columns


def _grid_counts(xp, rows: list[slice], columns: list[slice]):
    """The number of pixels of each window of the grid, (OH, OW)."""
    per_row, per_column = (xp.asarray([s.stop - s.start for s in slices]) for slices in (rows, columns))
    return per_row[:, None] * per_column


def _adaptive_shape(x: Any, output_size: Pair) -> Shape:
    """The shape rule of adaptive pooling."""
    check_images(x)
    check_pairs(1, output_size=output_size)
    if 0 in x.shape[2:]:
        raise ShapeError(expected="images of at least 1 x 1 pixels", got=f"x of shape {tuple(x.shape)}")
    return (*x.shape[:2], *output_size)
