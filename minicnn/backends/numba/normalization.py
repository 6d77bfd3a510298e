"""Normalization as loops: each kernel has the mean, the variance and the scaling of one channel or group.

Sums are float64, as in the reference. Where they run over a batch, they are first taken for each pixel:
a single sum must keep its order, sums side by side become vector instructions.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from minicnn.backends.numba.arrays import not_one_float_type, one_run
from minicnn.backends.numba.parallel import parallel
from minicnn.core.dispatch import Declined
from minicnn.ops.normalization import batch_norm, group_norm, layer_norm

__all__ = ["batch", "batch_backward", "rows", "rows_backward"]


# -- over the batch --------------------------------------------------------------------------


@parallel
def batch(y, mean, var, x, w, b, eps):
    """y[n,c,m] = w[c] · (x[n,c,m] - mean[c]) / √(var[c] + eps) + b[c]."""
    N, C, M = x.shape
    for c in prange(C):
        sums = np.zeros(M)
        for n in range(N):
            for m in range(M):
                sums[m] += x[n, c, m]
        mean[c] = sums.sum() / (N * M)
        centre = mean[c]
        for m in range(M):
            sums[m] = 0
        for n in range(N):
            for m in range(M):
                sums[m] += (x[n, c, m] - centre) * (x[n, c, m] - centre)
        var[c] = sums.sum() / (N * M)
        scale = x.dtype.type(w[c] / math.sqrt(var[c] + eps))
        for n in range(N):
            for m in range(M):
                y[n, c, m] = (x[n, c, m] - centre) * scale + b[c]


@parallel
def batch_backward(gx, gw, gb, gy, x, mean, var, w, eps):
    """gx = w / √(var + eps) · (gy - Σ gy / n - x̂ · Σ (gy · x̂) / n),  gw = Σ gy · x̂,  gb = Σ gy."""
    N, C, M = x.shape
    for c in prange(C):
        centre = mean[c]
        sums, products = np.zeros(M), np.zeros(M)
        for n in range(N):
            for m in range(M):
                sums[m] += gy[n, c, m]
                products[m] += gy[n, c, m] * (x[n, c, m] - centre)
        deviation = math.sqrt(var[c] + eps)
        gb[c] = sums.sum()
        gw[c] = products.sum() / deviation
        scale = x.dtype.type(w[c] / deviation)
        mean_g = x.dtype.type(sums.sum() / (N * M))
        slope = x.dtype.type(products.sum() / (N * M) / (deviation * deviation))
        for n in range(N):
            for m in range(M):
                gx[n, c, m] = (gy[n, c, m] - mean_g - (x[n, c, m] - centre) * slope) * scale


@batch_norm.forward_kernel.overlay("numba")
def batch_norm_numba(xp, x, w=None, b=None, *, eps):
    declined = no_case_for_loops(x, w, b) or no_images(x)
    if declined:
        return declined
    C = x.shape[1]
    y, mean, var = np.empty(x.shape, x.dtype), np.empty(C, x.dtype), np.empty(C, x.dtype)
    batch(by_channel(y), mean, var, by_channel(x), or_ones(w, C, x), or_zeros(b, C, x), eps)
    return y, (x, mean, var, w)


@batch_norm.backward_kernel.overlay("numba")
def batch_norm_backward_numba(xp, gy, saved, needs, *, eps):
    x, mean, var, w = saved
    declined = no_case_for_loops(gy, x, w) or no_images(x)
    if declined:
        return declined
    gx, gw, gb = np.empty(x.shape, x.dtype), np.empty_like(mean), np.empty_like(mean)
    weights = or_ones(w, len(mean), x)
    batch_backward(by_channel(gx), gw, gb, by_channel(gy), by_channel(x), mean, var, weights, eps)
    return needed((gx, gw, gb), needs)


# -- within a sample -------------------------------------------------------------------------


@parallel
def rows(y, mean, var, x, w, b, eps):
    """y[r,d] = w[d] · (x[r,d] - mean[r]) / √(var[r] + eps) + b[d], w and b those of row r mod G."""
    R, D = x.shape
    G = len(w)
    for r in prange(R):
        total = 0.0
        for d in range(D):
            total += x[r, d]
        mean[r] = total / D
        centre = mean[r]
        total = 0.0
        for d in range(D):
            total += (x[r, d] - centre) * (x[r, d] - centre)
        var[r] = total / D
        scale = x.dtype.type(1 / math.sqrt(var[r] + eps))
        for d in range(D):
            y[r, d] = w[r % G, d] * ((x[r, d] - centre) * scale) + b[r % G, d]


@parallel
def rows_backward(gx, gy, x, mean, var, w, eps):
    """gx = (g - Σ g / D - x̂ · Σ (g · x̂) / D) / √(var + eps)  with g = w · gy, for each row."""
    R, D = x.shape
    G = len(w)
    for r in prange(R):
        centre = mean[r]
        total, products = 0.0, 0.0
        for d in range(D):
            g = w[r % G, d] * gy[r, d]
            total += g
            products += g * (x[r, d] - centre)
        deviation = math.sqrt(var[r] + eps)
        scale = x.dtype.type(1 / deviation)
        mean_g = x.dtype.type(total / D)
        slope = x.dtype.type(products / D / (deviation * deviation))
        for d in range(D):
            gx[r, d] = (w[r % G, d] * gy[r, d] - mean_g - (x[r, d] - centre) * slope) * scale


@parallel
def parameters_backward(gw, gb, gy, x, mean, var, eps):
    """gw[d] += Σ_r gy[r,d] · x̂[r,d] and gb[d] += Σ_r gy[r,d], over the rows r of one r mod G."""
    R, D = x.shape
    G = len(gw)
    for g in prange(G):
        for r in range(g, R, G):
            centre = mean[r]
            scale = x.dtype.type(1 / math.sqrt(var[r] + eps))
            for d in range(D):
                gw[g, d] += gy[r, d] * ((x[r, d] - centre) * scale)
                gb[g, d] += gy[r, d]


def forward(x, w, b, shape, eps):
    """y, mean and var of rows: x as ``shape`` (R, D), w and b (G, D)."""
    y, mean, var = np.empty(x.shape, x.dtype), np.empty(shape[0], x.dtype), np.empty(shape[0], x.dtype)
    rows(y.reshape(shape), mean, var, one_run(x).reshape(shape), w, b, eps)
    return y, mean, var


def backward(gy, x, mean, var, w, eps, needs):
    """Gradients of x, and in float64 of w and b (G, D)."""
    shape = (mean.size, w.shape[1])
    gy, x_rows, mean, var = (
        one_run(a).reshape(s) for a, s in ((gy, shape), (x, shape), (mean, -1), (var, -1))
    )
    gx, gw, gb = np.empty(x.shape, x.dtype), np.zeros(w.shape), np.zeros(w.shape)
    if needs[0]:
        rows_backward(gx.reshape(shape), gy, x_rows, mean, var, w, eps)
    if any(needs[1:]):
        parameters_backward(gw, gb, gy, x_rows, mean, var, eps)
    return gx, gw, gb


@layer_norm.forward_kernel.overlay("numba")
def layer_norm_numba(xp, x, w=None, b=None, *, normalized_shape, eps):
    declined = no_case_for_loops(x, w, b)
    if declined:
        return declined
    D = math.prod(normalized_shape)
    weights, biases = or_ones(w, D, x).reshape(1, D), or_zeros(b, D, x).reshape(1, D)
    y, mean, var = forward(x, weights, biases, (x.size // D, D), eps)
    outer = x.shape[: x.ndim - len(normalized_shape)]
    return y, (x, mean.reshape(outer), var.reshape(outer), w)


@layer_norm.backward_kernel.overlay("numba")
def layer_norm_backward_numba(xp, gy, saved, needs, *, normalized_shape, eps):
    x, mean, var, w = saved
    declined = no_case_for_loops(gy, x, w)
    if declined:
        return declined
    D = math.prod(normalized_shape)
    gx, gw, gb = backward(gy, x, mean, var, or_ones(w, D, x).reshape(1, D), eps, needs)
    gw, gb = (g.astype(x.dtype).reshape(normalized_shape) for g in (gw, gb))
    return needed((gx, gw, gb), needs)


@group_norm.forward_kernel.overlay("numba")
def group_norm_numba(xp, x, w=None, b=None, *, num_groups, eps):
    declined = no_case_for_loops(x, w, b)
    if declined:
        return declined
    N, C = x.shape[:2]
    weights, biases = (per_value(p, x, num_groups) for p in (or_ones(w, C, x), or_zeros(b, C, x)))
    y, mean, var = forward(x, weights, biases, (N * num_groups, weights.shape[1]), eps)
    return y, (x, mean.reshape(N, num_groups), var.reshape(N, num_groups), w)


@group_norm.backward_kernel.overlay("numba")
def group_norm_backward_numba(xp, gy, saved, needs, *, num_groups, eps):
    x, mean, var, w = saved
    declined = no_case_for_loops(gy, x, w)
    if declined:
        return declined
    C = x.shape[1]
    gx, gw, gb = backward(gy, x, mean, var, per_value(or_ones(w, C, x), x, num_groups), eps, needs)
    gw, gb = (g.reshape(C, g.size // C).sum(1).astype(x.dtype) for g in (gw, gb))
    return needed((gx, gw, gb), needs)


# -- what they share -------------------------------------------------------------------------


def no_case_for_loops(x, *others):
    """The reason to decline."""
    return not_one_float_type(x, *others) or (Declined("no values") if x.size == 0 else None)


def no_images(x):
    """The reason to decline a batch whose channels have a single value in each sample."""
    return Declined("x of shape (N, C): NumPy is faster along the batch") if x.ndim == 2 else None


def by_channel(x):
    """As (N, C, values of a channel of a sample)."""
    return one_run(x).reshape(*x.shape[:2], math.prod(x.shape[2:]))


def per_value(w, x, num_groups):
    """Parameters (C,) repeated for the values of each channel: (G, values of a group)."""
    return np.repeat(w, math.prod(x.shape[2:])).reshape(num_groups, -1)


def or_ones(w, count, x):
    return np.ones(count, x.dtype) if w is None else one_run(w).reshape(count)


def or_zeros(b, count, x):
    return np.zeros(count, x.dtype) if b is None else one_run(b).reshape(count)


def needed(gradients, needs):
    """None in place of the gradients nobody asked for."""
    return tuple(g if need else None for g, need in zip(gradients, needs, strict=False))
