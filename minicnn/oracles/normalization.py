"""Normalization, value by value."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from minicnn.oracles import real

__all__ = ["batch_norm", "batch_norm_inference", "group_norm", "instance_norm", "layer_norm"]

Index = tuple[int, ...]
Number = np.ndarray | float  # an element of an array, or a number


def moments(x: np.ndarray, indices: Iterable[Index]) -> tuple[float, float]:
    """Mean and variance (divisor n) of the elements at the given indices."""
    values = [float(x[index]) for index in indices]
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / len(values)


def batch_norm(
    x: np.ndarray, w: np.ndarray | None = None, b: np.ndarray | None = None, *, eps: float = 1e-5
) -> np.ndarray:
    """y = w[c] (x - mean[c]) / √(var[c] + eps) + b[c], with the moments of a channel."""
    y = np.empty(x.shape, np.float64)
    for c in range(x.shape[1]):
        channel = [index for index in np.ndindex(*x.shape) if index[1] == c]
        if channel:
            mean, var = moments(x, channel)
        for index in channel:
            y[index] = affine(x[index], mean, var, eps, w, b, c)
    return y


def batch_norm_inference(
    x: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    w: np.ndarray | None = None,
    b: np.ndarray | None = None,
    *,
    eps: float = 1e-5,
) -> np.ndarray:
    """y = w[c] (x - mean[c]) / √(var[c] + eps) + b[c], with given moments."""
    y = np.empty(x.shape, np.float64)
    for index in np.ndindex(*x.shape):
        c = index[1]
        y[index] = affine(x[index], mean[c], var[c], eps, w, b, c)
    return y


def layer_norm(
    x: np.ndarray,
    w: np.ndarray | None = None,
    b: np.ndarray | None = None,
    *,
    normalized_shape: tuple[int, ...],
    eps: float = 1e-5,
) -> np.ndarray:
    """y = w (x - mean) / √(var + eps) + b, with the moments over the last dimensions."""
    y = np.empty(x.shape, np.float64)
    kept = x.ndim - len(normalized_shape)
    for index in np.ndindex(*x.shape):
        inner = index[kept:]
        mean, var = moments(x, [index[:kept] + other for other in np.ndindex(*normalized_shape)])
        y[index] = affine(x[index], mean, var, eps, w, b, inner)
    return y


def group_norm(
    x: np.ndarray,
    w: np.ndarray | None = None,
    b: np.ndarray | None = None,
    *,
    num_groups: int,
    eps: float = 1e-5,
) -> np.ndarray:
    """y = w[c] (x - mean[n, g]) / √(var[n, g] + eps) + b[c], with the moments of a group of channels."""
    y = np.empty(x.shape, np.float64)
    size = x.shape[1] // num_groups
    for n in range(x.shape[0]):
        for g in range(num_groups):
            group = [index for index in np.ndindex(*x.shape) if index[0] == n and index[1] // size == g]
            mean, var = moments(x, group)
            for index in group:
                y[index] = affine(x[index], mean, var, eps, w, b, index[1])
    return y


def instance_norm(
    x: np.ndarray, w: np.ndarray | None = None, b: np.ndarray | None = None, *, eps: float = 1e-5
) -> np.ndarray:
    """y = w[c] (x - mean[n, c]) / √(var[n, c] + eps) + b[c], with the moments of a channel of a sample."""
    y = np.empty(x.shape, np.float64)
    for index in np.ndindex(*x.shape):
        n, c = index[:2]
        mean, var = moments(x, [(n, c, *place) for place in np.ndindex(*x.shape[2:])])
        y[index] = affine(x[index], mean, var, eps, w, b, c)
    return y


def affine(
    value: Number,
    mean: Number,
    var: Number,
    eps: float,
    w: np.ndarray | None,
    b: np.ndarray | None,
    place: int | Index,
) -> float:
    """w (value - mean) / √(var + eps) + b, with w = 1 and b = 0 where they are None."""
    scale = 1.0 if w is None else float(w[place])
    shift = 0.0 if b is None else float(b[place])
    return scale * (float(value) - float(mean)) / real.sqrt(float(var) + eps) + shift
