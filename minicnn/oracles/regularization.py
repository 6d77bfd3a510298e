"""Dropout, element by element."""

from __future__ import annotations

import numpy as np

__all__ = ["dropout"]


def dropout(x: np.ndarray, *, p: float, seed: int, channelwise: bool = False) -> np.ndarray:
    """x / (1 - p) where the random number of the element (or channel) is at least p, else 0 · x."""
    draws = np.random.default_rng(seed)
    shape = x.shape[:2] if channelwise else x.shape
    kept = {}
    for index in np.ndindex(*shape):
        kept[index] = float(draws.random(dtype=np.float32)) >= p
    y = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        factor = 1 / (1 - p) if kept[index[:2] if channelwise else index] else 0.0
        y[index] = factor * float(x[index])
    return y
