"""The dense layer (F3) as loops.

BLAS is several times as fast; this is for reading. The innermost loops go along contiguous memory and
add to different numbers, so that the compiler can make vector instructions of them.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from minicnn.backends.numba.arrays import not_one_float_type, one_run
from minicnn.backends.numba.parallel import parallel
from minicnn.ops.linear import linear
from minicnn.ops.rules import total

__all__ = ["product", "weight_gradient"]


@parallel
def product(y, x, w):
    """y[n,i] += Σ_j x[n,j] · w[j,i], four terms of the sum at a time."""
    N, J = x.shape
    I = y.shape[1]
    whole = J - J % 4
    for n in prange(N):
        for j in range(0, whole, 4):
            x0, x1, x2, x3 = x[n, j], x[n, j + 1], x[n, j + 2], x[n, j + 3]
            for i in range(I):
                y[n, i] += x0 * w[j, i] + x1 * w[j + 1, i] + x2 * w[j + 2, i] + x3 * w[j + 3, i]
        for j in range(whole, J):
            for i in range(I):
                y[n, i] += x[n, j] * w[j, i]


@parallel
def weight_gradient(w, y, x):
    """w[i,j] = Σ_n y[n,i] · x[n,j]."""
    N, I = y.shape
    J = x.shape[1]
    for i in prange(I):
        for j in range(J):
            w[i, j] = 0
        for n in range(N):
            for j in range(J):
                w[i, j] += y[n, i] * x[n, j]


@linear.forward_kernel.overlay("numba")
def linear_numba(xp, x, w, b=None):
    declined = not_one_float_type(x, w, b)
    if declined:
        return declined
    I, J = w.shape
    rows = one_run(x).reshape(math.prod(x.shape[:-1]), J)
    y = np.zeros((len(rows), I), x.dtype)
    if b is not None:
        y += b
    product(y, rows, w.T.copy("C"))
    return y.reshape(*x.shape[:-1], I), (x, w)


@linear.backward_kernel.overlay("numba")
def linear_backward_numba(xp, gy, saved, needs):
    x, w = saved
    declined = not_one_float_type(gy, x, w)
    if declined:
        return declined
    I, J = w.shape
    rows = math.prod(x.shape[:-1])
    gy_rows = one_run(gy).reshape(rows, I)
    gx = gw = gb = None
    if needs[0]:
        gx = np.zeros((rows, J), x.dtype)
        product(gx, gy_rows, one_run(w))
        gx = gx.reshape(x.shape)
    if needs[1]:
        gw = np.empty(w.shape, w.dtype)
        weight_gradient(gw, gy_rows, one_run(x).reshape(rows, J))
    if len(needs) > 2 and needs[2]:
        gb = total(xp, gy_rows, 0)
    return (gx, gw, gb)[: len(needs)]
