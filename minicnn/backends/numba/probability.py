"""Softmax (F3) and its logarithm as loops over rows of scores."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from minicnn.backends.numba.arrays import not_one_float_type, one_run
from minicnn.backends.numba.parallel import called, parallel
from minicnn.core.dispatch import Declined
from minicnn.ops.probability import log_softmax, softmax

__all__ = ["largest", "log_softmax_backward", "log_softmax_forward", "softmax_backward", "softmax_forward"]


@called
def largest(row):
    """max_c row[c]; NaN if any is."""
    top = row[0]
    for value in row[1:]:
        if not value <= top and top == top:
            top = value
    return top


@parallel
def softmax_forward(y, x):
    """y[n,c] = exp(x[n,c]) / Σ_k exp(x[n,k]), the largest score subtracted first."""
    N, C = x.shape
    for n in prange(N):
        top = largest(x[n])
        total = 0.0
        for c in range(C):
            y[n, c] = math.exp(x[n, c] - top)
            total += y[n, c]
        for c in range(C):
            y[n, c] = y[n, c] / total


@parallel
def softmax_backward(gx, gy, y):
    """gx[n,c] = y[n,c] · (gy[n,c] - Σ_k gy[n,k] · y[n,k])."""
    N, C = y.shape
    for n in prange(N):
        total = 0.0
        for c in range(C):
            total += gy[n, c] * y[n, c]
        for c in range(C):
            gx[n, c] = y[n, c] * (gy[n, c] - total)


@parallel
def log_softmax_forward(y, x):
    """y[n,c] = x[n,c] - log Σ_k exp(x[n,k]), the largest score subtracted first."""
    N, C = x.shape
    for n in prange(N):
        top = largest(x[n])
        total = 0.0
        for c in range(C):
            total += math.exp(x[n, c] - top)
        log_total = math.log(total)
        for c in range(C):
            y[n, c] = x[n, c] - top - log_total


@parallel
def log_softmax_backward(gx, gy, y):
    """gx[n,c] = gy[n,c] - exp(y[n,c]) · Σ_k gy[n,k]."""
    N, C = y.shape
    for n in prange(N):
        total = 0.0
        for c in range(C):
            total += gy[n, c]
        for c in range(C):
            gx[n, c] = gy[n, c] - math.exp(y[n, c]) * total


# -- the operations --------------------------------------------------------------------------


def attach(op, forward, backward):
    """Lay the loops over an operation along ``dim`` that saves its result."""

    @op.forward_kernel.overlay("numba")
    def run_forward(xp, x, *, dim):
        declined = not_one_float_type(x) or not_rows(x, dim)
        if declined:
            return declined
        y = np.empty(x.shape, x.dtype)
        forward(rows(y), rows(x))
        return y, (y,)

    @op.backward_kernel.overlay("numba")
    def run_backward(xp, gy, saved, needs, *, dim):
        (y,) = saved
        declined = not_one_float_type(gy, y) or not_rows(y, dim)
        if declined:
            return declined
        gx = np.empty(y.shape, y.dtype)
        backward(rows(gx), rows(gy), rows(y))
        return (gx,)


def not_rows(x, dim):
    """The reason to decline scores that are not rows of at least one number."""
    if x.size == 0:
        return Declined("no values")
    return None if dim == x.ndim - 1 else Declined("dim is not the last: NumPy is faster across rows")


def rows(x):
    """As (N, C)."""
    return one_run(x).reshape(-1, x.shape[-1])


attach(softmax, softmax_forward, softmax_backward)
attach(log_softmax, log_softmax_forward, log_softmax_backward)
