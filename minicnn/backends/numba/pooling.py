"""Pooling over windows (F2) as loops; the means over any windows are also those of adaptive pooling."""

from __future__ import annotations

import numpy as np
from numba import prange

from minicnn.backends.numba.arrays import not_one_float_type, one_run
from minicnn.backends.numba.parallel import parallel
from minicnn.ops.pooling import avg_pool2d, max_pool2d
from minicnn.ops.windows import output_sizes

__all__ = ["average", "average_backward", "largest", "largest_backward", "means", "means_backward"]


# -- the largest value -----------------------------------------------------------------------


@parallel
def largest(y, index, x, kernel_width, stride, padding, dilation, rows, columns):
    """y[n,c,i,j] = max_{p,q} x[n, c, S·i + D·p - P, S·j + D·q - P], and index = p·KW + q where it stands.

    The taps p of the windows in row i that lie in the image are rows[i,0] ≤ p < rows[i,1]; columns likewise.
    """
    N, C, OH, OW = y.shape
    for n in prange(N):
        for c in range(C):
            for i in range(OH):
                for j in range(OW):
                    top, left = stride[0] * i - padding[0], stride[1] * j - padding[1]
                    p, q = rows[i, 0], columns[j, 0]
                    best = x[n, c, top + dilation[0] * p, left + dilation[1] * q]
                    where = p * kernel_width + q
                    for p in range(rows[i, 0], rows[i, 1]):
                        for q in range(columns[j, 0], columns[j, 1]):
                            value = x[n, c, top + dilation[0] * p, left + dilation[1] * q]
                            if not value <= best and best == best:  # larger, or the first NaN
                                best, where = value, p * kernel_width + q
                    y[n, c, i, j], index[n, c, i, j] = best, where


@parallel
def largest_backward(gx, gy, index, kernel_width, stride, padding, dilation):
    """gx[n,c,r,s] += Σ gy[n,c,i,j] over the windows (i, j) whose largest value stands at (r, s)."""
    N, C, OH, OW = gy.shape
    for n in prange(N):
        for c in range(C):
            for i in range(OH):
                for j in range(OW):
                    p, q = index[n, c, i, j] // kernel_width, index[n, c, i, j] % kernel_width
                    r = stride[0] * i + dilation[0] * p - padding[0]
                    s = stride[1] * j + dilation[1] * q - padding[1]
                    gx[n, c, r, s] += gy[n, c, i, j]


@max_pool2d.forward_kernel.overlay("numba")
def max_pool2d_numba(xp, x, *, kernel_size, stride, padding, dilation, ceil_mode):
    declined = not_one_float_type(x)
    if declined:
        return declined
    size = output_sizes(x.shape, kernel_size, stride, padding, dilation, ceil=ceil_mode)
    y = np.empty((*x.shape[:2], *size), x.dtype)
    index = np.empty(y.shape, np.uint8 if kernel_size[0] * kernel_size[1] <= 256 else np.int32)
    rows, columns = (
        taps_inside(*axis)
        for axis in zip(x.shape[2:], size, kernel_size, stride, padding, dilation, strict=True)
    )
    largest(y, index, one_run(x), kernel_size[1], stride, before(padding), dilation, rows, columns)
    return y, (index, x.shape)


@max_pool2d.backward_kernel.overlay("numba")
def max_pool2d_backward_numba(xp, gy, saved, needs, *, kernel_size, stride, padding, dilation, ceil_mode):
    index, shape = saved
    declined = not_one_float_type(gy)
    if declined:
        return declined
    gx = np.zeros(shape, gy.dtype)
    largest_backward(gx, one_run(gy), one_run(index), kernel_size[1], stride, before(padding), dilation)
    return (gx,)


def taps_inside(size, count, kernel, stride, padding, dilation):
    """For each window of one dimension the first tap in the image, and the one behind the last."""
    start = stride * np.arange(count) - padding[0]
    first, end = -(start // dilation), -((start - size) // dilation)
    return np.stack([np.maximum(first, 0), np.minimum(end, kernel)], 1)


def before(padding):
    """P, the padding at the top and at the left."""
    return padding[0][0], padding[1][0]


# -- the mean --------------------------------------------------------------------------------


@parallel
def means(y, x, rows, columns, count):
    """y[n,c,i,j] = Σ x[n,c,r,s] / count[i,j]   over rows[i,0] ≤ r < rows[i,1] and likewise s.

    First the sums over r, side by side along a row of pixels, then those over s.
    """
    N, C, OH, OW = y.shape
    W, zero = x.shape[3], x.dtype.type(0)
    for n in prange(N):
        sums = np.empty(W, x.dtype)
        for c in range(C):
            for i in range(OH):
                for s in range(W):
                    sums[s] = 0
                for r in range(rows[i, 0], rows[i, 1]):
                    for s in range(W):
                        sums[s] += x[n, c, r, s]
                for j in range(OW):
                    total = zero
                    for s in range(columns[j, 0], columns[j, 1]):
                        total += sums[s]
                    y[n, c, i, j] = total / count[i, j]


@parallel
def means_backward(gx, gy, rows, columns, count):
    """gx[n,c,r,s] += Σ gy[n,c,i,j] / count[i,j]   over the windows (i, j) that hold (r, s)."""
    N, C, OH, OW = gy.shape
    W = gx.shape[3]
    for n in prange(N):
        sums = np.empty(W, gx.dtype)
        for c in range(C):
            for i in range(OH):
                for s in range(W):
                    sums[s] = 0
                for j in range(OW):
                    share = gy[n, c, i, j] / count[i, j]
                    for s in range(columns[j, 0], columns[j, 1]):
                        sums[s] += share
                for r in range(rows[i, 0], rows[i, 1]):
                    for s in range(W):
                        gx[n, c, r, s] += sums[s]


def average(x, rows, columns, count):
    """The means over a grid of windows: (N, C, OH, OW)."""
    y = np.empty((*x.shape[:2], *count.shape), x.dtype)
    means(y, one_run(x), rows, columns, count.astype(x.dtype))
    return y


def average_backward(gy, shape, rows, columns, count):
    """Their gradient, of that shape."""
    gx = np.zeros(shape, gy.dtype)
    means_backward(gx, one_run(gy), rows, columns, count.astype(gy.dtype))
    return gx


@avg_pool2d.forward_kernel.overlay("numba")
def avg_pool2d_numba(xp, x, *, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    declined = not_one_float_type(x)
    if declined:
        return declined
    size = output_sizes(x.shape, kernel_size, stride, padding, (1, 1), ceil=ceil_mode)
    geometry = x.shape, size, kernel_size, stride, padding, count_include_pad, divisor_override
    return average(x, *windows(*geometry)), (x.shape,)


@avg_pool2d.backward_kernel.overlay("numba")
def avg_pool2d_backward_numba(
    xp, gy, saved, needs, *, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
):
    (shape,) = saved
    declined = not_one_float_type(gy)
    if declined:
        return declined
    geometry = shape, gy.shape[2:], kernel_size, stride, padding, count_include_pad, divisor_override
    return (average_backward(gy, shape, *windows(*geometry)),)


def windows(shape, size, kernel_size, stride, padding, count_include_pad, divisor_override):
    """Rows and columns of the image in each window, and what its sum is divided by, (OH, OW)."""
    inside, lengths = [], []
    for axis in zip(shape[2:], size, kernel_size, stride, padding, strict=True):
        pixels, count, kernel, step, (low, high) = axis
        first = step * np.arange(count) - low
        inside.append(np.stack([np.maximum(first, 0), np.minimum(first + kernel, pixels)], 1))
        counted = np.minimum(first + kernel, pixels + high) - first  # with the padding
        lengths.append(counted if count_include_pad else inside[-1][:, 1] - inside[-1][:, 0])
    counts = lengths[0][:, None] * lengths[1]
    return *inside, counts if divisor_override is None else np.full_like(counts, divisor_override)
