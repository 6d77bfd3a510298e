"""Pooling over a grid of windows that covers the image, as loops."""

from __future__ import annotations

import numpy as np
from numba import prange

from minicnn.backends.numba.arrays import not_one_float_type, one_run
from minicnn.backends.numba.parallel import parallel
from minicnn.backends.numba.pooling import average, average_backward
from minicnn.ops.adaptive_pooling import adaptive_avg_pool2d, adaptive_max_pool2d

__all__ = ["largest", "largest_backward"]


@parallel
def largest(y, index, x, rows, columns):
    """y[n,c,i,j] = max of x[n,c,r,s] over ⌊i·H/OH⌋ ≤ r < ⌈(i+1)·H/OH⌉, and likewise s; index = r·W + s.

    rows[i] and columns[j] hold these bounds.
    """
    N, C, OH, OW = y.shape
    W = x.shape[3]
    for n in prange(N):
        for c in range(C):
            for i in range(OH):
                for j in range(OW):
                    r, s = rows[i, 0], columns[j, 0]
                    best, where = x[n, c, r, s], r * W + s
                    for r in range(rows[i, 0], rows[i, 1]):
                        for s in range(columns[j, 0], columns[j, 1]):
                            value = x[n, c, r, s]
                            if not value <= best and best == best:  # larger, or the first NaN
                                best, where = value, r * W + s
                    y[n, c, i, j], index[n, c, i, j] = best, where


@parallel
def largest_backward(gx, gy, index):
    """gx[n,c,r,s] += Σ gy[n,c,i,j]   over the windows (i, j) whose largest value stands at (r, s)."""
    N, C, OH, OW = gy.shape
    W = gx.shape[3]
    for n in prange(N):
        for c in range(C):
            for i in range(OH):
                for j in range(OW):
                    gx[n, c, index[n, c, i, j] // W, index[n, c, i, j] % W] += gy[n, c, i, j]


@adaptive_avg_pool2d.forward_kernel.overlay("numba")
def adaptive_avg_pool2d_numba(xp, x, *, output_size):
    declined = not_one_float_type(x)
    if declined:
        return declined
    return average(x, *grid(x.shape, output_size)), (x.shape,)


@adaptive_avg_pool2d.backward_kernel.overlay("numba")
def adaptive_avg_pool2d_backward_numba(xp, gy, saved, needs, *, output_size):
    (shape,) = saved
    declined = not_one_float_type(gy)
    if declined:
        return declined
    return (average_backward(gy, shape, *grid(shape, output_size)),)


@adaptive_max_pool2d.forward_kernel.overlay("numba")
def adaptive_max_pool2d_numba(xp, x, *, output_size):
    declined = not_one_float_type(x)
    if declined:
        return declined
    rows, columns, _ = grid(x.shape, output_size)
    y = np.empty((*x.shape[:2], *output_size), x.dtype)
    index = np.empty(y.shape, np.int64)
    largest(y, index, one_run(x), rows, columns)
    return y, (index, x.shape)


@adaptive_max_pool2d.backward_kernel.overlay("numba")
def adaptive_max_pool2d_backward_numba(xp, gy, saved, needs, *, output_size):
    index, shape = saved
    declined = not_one_float_type(gy)
    if declined:
        return declined
    gx = np.zeros(shape, gy.dtype)
    largest_backward(gx, one_run(gy), one_run(index))
    return (gx,)


def grid(shape, output_size):
    """Rows and columns of each window, and how many pixels it has, (OH, OW)."""
    sides = []
    for pixels, count in zip(shape[2:], output_size, strict=True):
        i = np.arange(count)
        sides.append(np.stack([i * pixels // count, -(-(i + 1) * pixels // count)], 1))
    heights, widths = (side[:, 1] - side[:, 0] for side in sides)
    return *sides, heights[:, None] * widths
