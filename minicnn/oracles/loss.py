"""Losses, position by position."""

from __future__ import annotations

import math

import numpy as np

from minicnn.oracles import real
from minicnn.oracles.activation import log_share

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
    "soft_cross_entropy",
]


def reduce(losses: np.ndarray, reduction: str, divisor: float) -> np.ndarray:
    """The losses, their sum, or their sum over the divisor (NaN if that is 0)."""
    if reduction == "none":
        return losses
    total = 0.0
    for index in np.ndindex(*losses.shape):
        total += float(losses[index])
    if reduction == "sum":
        return np.array(total)
    return np.array(total / divisor if divisor else math.nan)


# -- of classes ------------------------------------------------------------------------------


def place(x: np.ndarray, position: tuple[int, ...], c: int) -> tuple[int, ...]:
    """The index of class c at a position (n, d1, ...): (n, c, d1, ...), or (c,) for a single sample."""
    return (*position[:1], c, *position[1:]) if x.ndim > 1 else (c,)


def sizes(x: np.ndarray) -> tuple[tuple[int, ...], int]:
    """The shape of the positions, and the number of classes."""
    return ((x.shape[0], *x.shape[2:]), x.shape[1]) if x.ndim > 1 else ((), x.shape[0])


def log_probability(x: np.ndarray, position: tuple[int, ...], c: int) -> float:
    """log(exp(x_c) / Σ_k exp(x_k))"""
    scores = [float(x[place(x, position, k)]) for k in range(sizes(x)[1])]
    return log_share(scores[c], scores)


def share(q: float, value: float) -> float:
    """q · value; what has no weight adds nothing, be it infinite or NaN"""
    return q * value if q != 0 else 0.0


def cross_entropy(
    x: np.ndarray,
    target: np.ndarray,
    w: np.ndarray | None = None,
    *,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> np.ndarray:
    """-Σ_c q_c log p_c with q_c = w[t] (1 - s) 1[c = t] + w[c] s / C; mean over Σ w[t]."""
    shape, classes = sizes(x)
    weights = [1.0] * classes if w is None else [float(v) for v in w]
    losses = np.zeros(shape)
    divisor = 0.0
    for position in np.ndindex(*shape):
        t = int(target[position])
        if t == ignore_index:
            continue
        divisor += weights[t]
        for c in range(classes):
            q = weights[c] * label_smoothing / classes if label_smoothing else 0.0
            if c == t:
                q += weights[t] * (1 - label_smoothing)
            losses[position] -= share(q, log_probability(x, position, c))
    return reduce(losses, reduction, divisor)


def soft_cross_entropy(
    x: np.ndarray,
    target: np.ndarray,
    w: np.ndarray | None = None,
    *,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> np.ndarray:
    """-Σ_c w[c] ((1 - s) target_c + s / C) log p_c; mean over the positions."""
    shape, classes = sizes(x)
    losses = np.zeros(shape)
    for position in np.ndindex(*shape):
        for c in range(classes):
            q = (1 - label_smoothing) * float(target[place(x, position, c)]) + label_smoothing / classes
            if w is not None:
                q *= float(w[c])
            losses[position] -= share(q, log_probability(x, position, c))
    return reduce(losses, reduction, losses.size)


def nll_loss(
    x: np.ndarray,
    target: np.ndarray,
    w: np.ndarray | None = None,
    *,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> np.ndarray:
    """-w[t] x_t; mean over Σ w[t]."""
    shape, _ = sizes(x)
    losses = np.zeros(shape)
    divisor = 0.0
    for position in np.ndindex(*shape):
        t = int(target[position])
        if t != ignore_index:
            weight = 1.0 if w is None else float(w[t])
            divisor += weight
            losses[position] = -weight * x[place(x, position, t)]
    return reduce(losses, reduction, divisor)


# -- of numbers ------------------------------------------------------------------------------


def l1_loss(x: np.ndarray, target: np.ndarray, *, reduction: str = "mean") -> np.ndarray:
    """|x - t|"""
    losses = np.empty(x.shape)
    for index in np.ndindex(*x.shape):
        losses[index] = abs(float(x[index]) - float(target[index]))
    return reduce(losses, reduction, x.size)


def mse_loss(x: np.ndarray, target: np.ndarray, *, reduction: str = "mean") -> np.ndarray:
    """(x - t)²"""
    losses = np.empty(x.shape)
    for index in np.ndindex(*x.shape):
        losses[index] = (float(x[index]) - float(target[index])) ** 2
    return reduce(losses, reduction, x.size)


def huber_loss(
    x: np.ndarray, target: np.ndarray, *, reduction: str = "mean", delta: float = 1.0
) -> np.ndarray:
    """½ d² if |d| < delta, else delta (|d| - ½ delta), with d = x - t"""
    losses = np.empty(x.shape)
    for index in np.ndindex(*x.shape):
        d = float(x[index]) - float(target[index])
        losses[index] = 0.5 * d * d if abs(d) < delta else delta * (abs(d) - 0.5 * delta)
    return reduce(losses, reduction, x.size)


def smooth_l1_loss(
    x: np.ndarray, target: np.ndarray, *, reduction: str = "mean", beta: float = 1.0
) -> np.ndarray:
    """½ d² / beta if |d| < beta, else |d| - ½ beta, with d = x - t"""
    losses = np.empty(x.shape)
    for index in np.ndindex(*x.shape):
        d = float(x[index]) - float(target[index])
        losses[index] = 0.5 * d * d / beta if abs(d) < beta else abs(d) - 0.5 * beta
    return reduce(losses, reduction, x.size)


def binary_cross_entropy_with_logits(
    x: np.ndarray,
    target: np.ndarray,
    w: np.ndarray | None = None,
    pos_weight: np.ndarray | None = None,
    *,
    reduction: str = "mean",
) -> np.ndarray:
    """-w (pos_weight t log p + (1 - t) log(1 - p)) with p = 1 / (1 + exp(-x))

    log p = -log(1 + exp(-x)) and log(1 - p) = -log(1 + exp(x)).
    """
    losses = np.empty(x.shape)
    for index in np.ndindex(*x.shape):
        t = float(target[index])
        v = float(x[index])
        positive = 1.0 if pos_weight is None else broadcast(pos_weight, index)
        weight = 1.0 if w is None else broadcast(w, index)
        yes, no = share(weight * positive * t, log1p_exp(-v)), share(weight * (1 - t), log1p_exp(v))
        losses[index] = yes + no
    return reduce(losses, reduction, x.size)


def log1p_exp(v: float) -> float:
    """log(1 + exp(v)) = v + log(1 + exp(-v))"""
    return math.log1p(real.exp(v)) if v <= 0 else v + math.log1p(real.exp(-v))


def broadcast(a: np.ndarray, index: tuple[int, ...]) -> float:
    """The element of ``a`` that lines up with an index of a larger array: aligned at the right, 1 repeats."""
    aligned = index[len(index) - a.ndim :]
    return float(a[tuple(0 if n == 1 else i for i, n in zip(aligned, a.shape, strict=True))])


def kl_div(
    x: np.ndarray, target: np.ndarray, *, reduction: str = "mean", log_target: bool = False
) -> np.ndarray:
    """t (log t - x), 0 where t = 0; or exp(t) (t - x) for log_target, 0 where exp(t) = 0"""
    losses = np.empty(x.shape)
    for index in np.ndindex(*x.shape):
        t = float(target[index])
        if log_target:
            losses[index] = share(real.exp(t), t - float(x[index]))
        else:
            losses[index] = share(t, real.log(t) - float(x[index]))
    return reduce(losses, reduction, x.shape[0] if reduction == "batchmean" else x.size)
