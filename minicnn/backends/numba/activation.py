"""Activations as loops: the inner one goes along the elements of a sample.

NumPy computes ``exp``, ``tanh`` and ``expm1`` with vector instructions, a loop calls a function for each
number. So ``tanh`` has only a backward kernel, and ``elu``, ``silu``, ``softplus`` and the approximate
``gelu`` have none; ``sigmoid`` and ``gelu`` gain where arrays are larger than the cache.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from minicnn.backends.numba.arrays import not_one_float_type, one_run
from minicnn.backends.numba.parallel import parallel
from minicnn.core.dispatch import Declined
from minicnn.ops.activation import gelu, leaky_relu, relu, sigmoid, tanh

# -- piecewise linear ------------------------------------------------------------------------


@parallel
def relu_forward(y, x):
    """y = max(0, x); NaN stays NaN."""
    N, K = x.shape
    zero = x.dtype.type(0)
    for n in prange(N):
        for k in range(K):
            y[n, k] = zero if x[n, k] <= 0 else x[n, k]


@parallel
def relu_backward(gx, gy, y):
    """gx = gy where y > 0, else 0, whatever comes from above."""
    N, K = y.shape
    zero = y.dtype.type(0)
    for n in prange(N):
        for k in range(K):
            gx[n, k] = gy[n, k] if y[n, k] > 0 else zero


@parallel
def leaky_relu_forward(y, x, negative_slope):
    """y = x if x > 0, else 0 + negative_slope · x, which is not -0."""
    N, K = x.shape
    zero = x.dtype.type(0)
    for n in prange(N):
        for k in range(K):
            y[n, k] = x[n, k] if x[n, k] > 0 else zero + negative_slope * x[n, k]


@parallel
def leaky_relu_backward(gx, gy, x, negative_slope):
    """gx = gy if x > 0, else negative_slope · gy."""
    N, K = x.shape
    for n in prange(N):
        for k in range(K):
            gx[n, k] = gy[n, k] if x[n, k] > 0 else negative_slope * gy[n, k]


# -- smooth ----------------------------------------------------------------------------------


@parallel
def sigmoid_forward(y, x):
    """y = 1 / (1 + exp(-x)), from exp(-|x|), which cannot overflow."""
    N, K = x.shape
    for n in prange(N):
        for k in range(K):
            e = math.exp(-abs(x[n, k]))
            y[n, k] = 1 / (1 + e) if x[n, k] > 0 else e / (1 + e)


@parallel
def sigmoid_backward(gx, gy, y):
    """gx = gy · y · (1 - y)."""
    N, K = y.shape
    for n in prange(N):
        for k in range(K):
            gx[n, k] = gy[n, k] * (y[n, k] * (1 - y[n, k]))


@parallel
def tanh_backward(gx, gy, y):
    """gx = gy · (1 - y²), as (1 - y) · (1 + y): no digits are lost close to ±1."""
    N, K = y.shape
    for n in prange(N):
        for k in range(K):
            gx[n, k] = gy[n, k] * ((1 - y[n, k]) * (1 + y[n, k]))


@parallel
def gelu_forward(y, x):
    """y = x · Φ(x),  Φ(x) = ½ erfc(-x / √2); 0 at -∞."""
    N, K = x.shape
    for n in prange(N):
        for k in range(K):
            v = max(x[n, k], -40.0)  # Φ(-40) = 0
            y[n, k] = v * 0.5 * math.erfc(-v * math.sqrt(0.5))


@parallel
def gelu_backward(gx, gy, x):
    """gx = gy · (Φ(x) + x · Φ'(x)),  Φ'(x) = exp(-x²/2) / √(2π)."""
    N, K = x.shape
    for n in prange(N):
        for k in range(K):
            v = min(max(x[n, k], -40.0), 40.0)
            slope = math.exp(-0.5 * v * v) / math.sqrt(2 * math.pi)
            gx[n, k] = gy[n, k] * (0.5 * math.erfc(-v * math.sqrt(0.5)) + v * slope)


# -- the operations --------------------------------------------------------------------------


def by_sample(x):
    """As (N, elements of a sample)."""
    return one_run(x).reshape(len(x) if x.ndim > 1 and x.size else 1, -1)


def attach(op, forward, backward, saves_result=False):
    """Lay loops over an activation without attributes; ``forward`` is None where NumPy is faster."""

    def run_forward(xp, x):
        declined = not_one_float_type(x)
        if declined:
            return declined
        y = np.empty(x.shape, x.dtype)
        forward(by_sample(y), by_sample(x))
        return y, (y if saves_result else x,)

    def run_backward(xp, gy, saved, needs):
        declined = not_one_float_type(gy, *saved)
        if declined:
            return declined
        gx = np.empty(gy.shape, gy.dtype)
        backward(by_sample(gx), by_sample(gy), by_sample(saved[0]))
        return (gx,)

    if forward is not None:
        op.forward_kernel.overlay("numba")(run_forward)
    op.backward_kernel.overlay("numba")(run_backward)


attach(relu, relu_forward, relu_backward, saves_result=True)
attach(sigmoid, sigmoid_forward, sigmoid_backward, saves_result=True)
attach(tanh, None, tanh_backward)


@leaky_relu.forward_kernel.overlay("numba")
def leaky_relu_numba(xp, x, *, negative_slope):
    declined = not_one_float_type(x)
    if declined:
        return declined
    y = np.empty(x.shape, x.dtype)
    leaky_relu_forward(by_sample(y), by_sample(x), x.dtype.type(negative_slope))
    return y, (x,)


@leaky_relu.backward_kernel.overlay("numba")
def leaky_relu_backward_numba(xp, gy, saved, needs, *, negative_slope):
    (x,) = saved
    declined = not_one_float_type(gy, x)
    if declined:
        return declined
    gx = np.empty(x.shape, x.dtype)
    leaky_relu_backward(by_sample(gx), by_sample(gy), by_sample(x), x.dtype.type(negative_slope))
    return (gx,)


@gelu.forward_kernel.overlay("numba")
def gelu_numba(xp, x, *, approximate):
    declined = not_one_float_type(x) or not_exact(approximate)
    if declined:
        return declined
    y = np.empty(x.shape, x.dtype)
    gelu_forward(by_sample(y), by_sample(x))
    return y, (x,)


@gelu.backward_kernel.overlay("numba")
def gelu_backward_numba(xp, gy, saved, needs, *, approximate):
    (x,) = saved
    declined = not_one_float_type(gy, x) or not_exact(approximate)
    if declined:
        return declined
    gx = np.empty(x.shape, x.dtype)
    gelu_backward(by_sample(gx), by_sample(gy), by_sample(x))
    return (gx,)


def not_exact(approximate):
    """The reason to decline the approximation."""
    return None if approximate == "none" else Declined("approximate='tanh': NumPy is faster")
