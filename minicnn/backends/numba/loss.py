"""The cross-entropy of rows of scores with class labels (F4) as loops."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from minicnn.backends.numba.arrays import not_one_float_type, one_run
from minicnn.backends.numba.parallel import parallel
from minicnn.backends.numba.probability import largest
from minicnn.core.dispatch import Declined
from minicnn.ops.loss import cross_entropy
from minicnn.ops.reducing import reduce_loss

__all__ = ["cross_entropy_backward", "cross_entropy_forward"]


@parallel
def cross_entropy_forward(losses, weights, p, x, target, w, ignore_index, smoothing):
    """losses[n] = -Σ_c q[n,c] · log p[n,c],   p = softmax(x),   weights[n] = w[t],   t = target[n],
    q[n,c] = w[t] · (1 - s) · 1[c = t] + w[c] · s / C.

    Where q is 0 nothing is added, even if log p is -∞.
    """
    N, C = x.shape
    for n in prange(N):
        top = largest(x[n])
        total = 0.0
        for c in range(C):
            p[n, c] = math.exp(x[n, c] - top)
            total += p[n, c]
        log_total = math.log(total)
        for c in range(C):
            p[n, c] = p[n, c] / total
        t = target[n]
        losses[n] = weights[n] = 0
        if t != ignore_index:
            weights[n] = w[t]
            if w[t] != 0 and smoothing < 1:
                losses[n] = (1 - smoothing) * w[t] * (log_total - (x[n, t] - top))
            if smoothing > 0:
                for c in range(C):
                    if w[c] != 0:
                        losses[n] += smoothing / C * w[c] * (log_total - (x[n, c] - top))


@parallel
def cross_entropy_backward(gx, g, p, target, w, ignore_index, smoothing):
    """gx[n,c] = g[n] · (p[n,c] · Σ_k q[n,k] - q[n,c])."""
    N, C = p.shape
    sum_w = w.sum()
    for n in prange(N):
        t = target[n]
        kept = t != ignore_index
        above = g[n] if kept else g.dtype.type(0)  # times NaN it is NaN, as in the reference
        hot = (1 - smoothing) * w[t] * above if kept else 0.0
        even = smoothing / C * above
        if smoothing > 0:
            for c in range(C):
                gx[n, c] = p[n, c] * (hot + even * sum_w) - even * w[c]
        else:
            for c in range(C):
                gx[n, c] = p[n, c] * hot
        if kept:
            gx[n, t] -= hot


# -- the operation ---------------------------------------------------------------------------


@cross_entropy.forward_kernel.overlay("numba")
def cross_entropy_numba(xp, x, target, w=None, *, reduction, ignore_index, label_smoothing):
    declined = not_one_float_type(x, w) or not_rows(x)
    if declined:
        return declined
    losses, weights, p = np.empty(len(x), x.dtype), np.empty(len(x), x.dtype), np.empty(x.shape, x.dtype)
    operands = one_run(x), labels(target), class_weights(w, x)
    cross_entropy_forward(losses, weights, p, *operands, ignore_index, float(label_smoothing))
    total = np.sum(weights)
    if reduction == "mean":
        loss = np.sum(losses) / np.where(total == 0, np.nan, total)
    else:
        loss = reduce_loss(xp, losses, reduction)
    return loss, (p, target, w, total)


@cross_entropy.backward_kernel.overlay("numba")
def cross_entropy_backward_numba(xp, gy, saved, needs, *, reduction, ignore_index, label_smoothing):
    p, target, w, total = saved
    declined = not_one_float_type(gy, p, w) or not_rows(p)
    if declined:
        return declined
    g = gy / np.where(total == 0, np.inf, total) if reduction == "mean" else gy
    g = np.broadcast_to(g, target.shape).astype(p.dtype)
    gx = np.empty(p.shape, p.dtype)
    operands = one_run(p), labels(target), class_weights(w, p)
    cross_entropy_backward(gx, g, *operands, ignore_index, float(label_smoothing))
    return (gx, None, None)[: len(needs)]


def not_rows(x):
    """The reason to decline scores that are not one row for each sample."""
    if x.ndim == 2 and x.size > 0:
        return None
    return Declined(f"scores of shape {x.shape}; the kernel is for rows (N, C)")


def labels(target):
    """Labels of any integer type as int64."""
    return one_run(target.astype(np.int64, copy=False))


def class_weights(w, x):
    return np.ones(x.shape[1], x.dtype) if w is None else one_run(w)
