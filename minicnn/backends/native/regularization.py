"""Dropout; kernels/regularization.cpp. It draws the very numbers that NumPy's generator draws."""

from __future__ import annotations

import numpy as np

from minicnn import _native
from minicnn.backends.native.arrays import not_float32, one_run
from minicnn.ops.regularization import dropout
from minicnn.typing import Array


def applied(x: Array, kept: Array, p: float) -> Array:
    """x, scaled up where kept and 0 elsewhere."""
    y = _native.empty(x.shape)
    _native.dropout_apply(y, one_run(x), kept, 1 / (1 - p) if p < 1 else 0.0)
    return y


@dropout.forward_kernel.overlay("native")
def dropout_native(xp, x, *, p, seed, channelwise=False):
    declined = not_float32(x)
    if declined:
        return declined
    kept = np.empty(x.shape[:2] + (1,) * (x.ndim - 2) if channelwise else x.shape, np.bool_)
    generator = np.random.PCG64(seed).state["state"]
    _native.dropout_mask(kept, generator["state"], generator["inc"], p)
    return applied(x, kept, p), (kept,)


@dropout.backward_kernel.overlay("native")
def dropout_backward_native(xp, gy, saved, needs, *, p, seed, channelwise):
    (kept,) = saved
    declined = not_float32(gy)
    if declined:
        return declined
    return (applied(gy, one_run(kept), p),)
