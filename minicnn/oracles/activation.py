"""Activations, element by element, as their formulas stand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

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
    """max(0, x)"""
    return each(lambda v: max(0.0, v), x)


def leaky_relu(x: np.ndarray, *, negative_slope: float = 0.01) -> np.ndarray:
    """x if x > 0, else negative_slope · x"""
    return each(lambda v: v if v > 0 else negative_slope * v, x)


def hardtanh(x: np.ndarray, *, min_val: float = -1.0, max_val: float = 1.0) -> np.ndarray:
    """min(max(x, min_val), max_val)"""
    return each(lambda v: min(max(v, min_val), max_val), x)


def elu(x: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    """x if x > 0, else alpha (exp(x) - 1)"""
    return each(lambda v: v if v > 0 else alpha * (math.exp(v) - 1), x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))"""
    return each(lambda v: 1 / (1 + math.exp(-v)), x)


def tanh(x: np.ndarray) -> np.ndarray:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))"""
    return each(lambda v: (math.exp(v) - math.exp(-v)) / (math.exp(v) + math.exp(-v)), x)


def softplus(x: np.ndarray, *, beta: float = 1.0, threshold: float = 20.0) -> np.ndarray:
    """log(1 + exp(beta x)) / beta, or x where beta x > threshold"""
    return each(lambda v: v if beta * v > threshold else math.log1p(math.exp(beta * v)) / beta, x)


def silu(x: np.ndarray) -> np.ndarray:
    """x / (1 + exp(-x))"""
    return each(lambda v: v / (1 + math.exp(-v)), x)


def gelu(x: np.ndarray, *, approximate: str = "none") -> np.ndarray:
    """½ x (1 + erf(x / √2)), or ½ x (1 + tanh u) = x / (1 + exp(-2u)) with u = √(2/π) (x + 0.044715 x³)"""
    if approximate == "tanh":
        return each(lambda v: v / (1 + math.exp(-math.sqrt(8 / math.pi) * (v + 0.044715 * v**3))), x)
    return each(lambda v: v / 2 * math.erfc(-v / math.sqrt(2)), x)


def softmax(x: np.ndarray, *, dim: int) -> np.ndarray:
    """exp(x_i) / Σ_j exp(x_j)"""
    if not x.ndim:
        return softmax(x.reshape(1), dim=dim).reshape(())
    y = np.empty(x.shape, np.float64)
    for index in np.ndindex(*x.shape):
        total = 0.0
        for j in range(x.shape[dim]):
            total += math.exp(x[(*index[:dim], j, *index[dim + 1 :])])
        y[index] = math.exp(x[index]) / total
    return y


def log_softmax(x: np.ndarray, *, dim: int) -> np.ndarray:
    """log(exp(x_i) / Σ_j exp(x_j))"""
    return each(math.log, softmax(x, dim=dim))
