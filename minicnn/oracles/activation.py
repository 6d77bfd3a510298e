"""Activations, element by element, as their formulas stand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minicnn.oracles import real

__all__ = [
    "elu",
    "gelu",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]


def each(function: Callable[[float], float], x: np.ndarray) -> np.ndarray:
    """The function of every element."""
    y = np.empty(x.shape, np.float64)
    for index in np.ndindex(*x.shape):
        y[index] = function(float(x[index]))
    return y


def relu(x: np.ndarray) -> np.ndarray:
    """max(0, x), and NaN as it is"""
    return each(lambda v: 0.0 if v <= 0 else v, x)


def leaky_relu(x: np.ndarray, *, negative_slope: float = 0.01) -> np.ndarray:
    """x if x > 0, else negative_slope · x"""
    return each(lambda v: v if v > 0 else negative_slope * v, x)


def hardtanh(x: np.ndarray, *, min_val: float = -1.0, max_val: float = 1.0) -> np.ndarray:
    """min(max(x, min_val), max_val)"""
    return each(lambda v: min(max(v, min_val), max_val), x)


def elu(x: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    """x if x > 0, else alpha (exp(x) - 1)"""
    return each(lambda v: v if v > 0 else alpha * math.expm1(v), x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) = exp(x) / (1 + exp(x))"""
    return each(share_of_one, x)


def share_of_one(v: float) -> float:
    """1 / (1 + exp(-v)), in the form that does not overflow"""
    return 1 / (1 + math.exp(-v)) if v > 0 else math.exp(v) / (1 + math.exp(v))


def tanh(x: np.ndarray) -> np.ndarray:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)) = (1 - exp(-2x)) / (1 + exp(-2x)) for x ≥ 0, and odd"""
    return each(lambda v: math.copysign(-math.expm1(-2 * abs(v)) / (1 + real.exp(-2 * abs(v))), v), x)


def softplus(x: np.ndarray, *, beta: float = 1.0, threshold: float = 20.0) -> np.ndarray:
    """log(1 + exp(beta x)) / beta, or x where beta x > threshold"""
    return each(lambda v: v if beta * v > threshold else math.log1p(real.exp(beta * v)) / beta, x)


def silu(x: np.ndarray) -> np.ndarray:
    """x / (1 + exp(-x)); at -∞ its limit 0"""
    return each(lambda v: v * share_of_one(v) if v != -math.inf else 0.0, x)


def gelu(x: np.ndarray, *, approximate: str = "none") -> np.ndarray:
    """½ x (1 + erf(x / √2)), or ½ x (1 + tanh u) = x / (1 + exp(-2u)) with u = √(2/π) (x + 0.044715 x³)

    At -∞ it is its limit 0.
    """

    def one(v: float) -> float:
        if v == -math.inf:
            return 0.0
        if approximate == "tanh":
            return v / (1 + real.exp(-math.sqrt(8 / math.pi) * (v + 0.044715 * v**3)))
        return v / 2 * math.erfc(-v / math.sqrt(2))

    return each(one, x)


def softmax(x: np.ndarray, *, dim: int) -> np.ndarray:
    """exp(x_i) / Σ_j exp(x_j)"""
    return each(real.exp, log_softmax(x, dim=dim))


def log_softmax(x: np.ndarray, *, dim: int) -> np.ndarray:
    """log(exp(x_i) / Σ_j exp(x_j)) = x_i - m - log Σ_j exp(x_j - m), with m the largest x_j"""
    if not x.ndim:
        return log_softmax(x.reshape(1), dim=dim).reshape(())
    y = np.empty(x.shape, np.float64)
    for index in np.ndindex(*x.shape):
        others = [float(x[(*index[:dim], j, *index[dim + 1 :])]) for j in range(x.shape[dim])]
        y[index] = log_share(float(x[index]), others)
    return y


def log_share(score: float, scores: list[float]) -> float:
    """log(exp(score) / Σ exp(scores)); NaN if the largest score is not finite, or one is NaN."""
    largest = max(scores)
    total = 0.0
    for other in scores:
        total += real.exp(other - largest)
    return score - largest - real.log(total)
