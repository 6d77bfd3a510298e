"""Activations; kernels/activation.cpp."""

from __future__ import annotations

import numpy as np

from minicnn import _native
from minicnn.backends.native.arrays import FLOAT32, not_float32, one_run
from minicnn.ops.activation import relu


@relu.forward_kernel.overlay("native")
def relu_native(xp, x):
    declined = not_float32(x)
    if declined:
        return declined
    y = np.empty(x.shape, FLOAT32)
    _native.relu_forward(y, one_run(x))
    return y, (y,)


@relu.backward_kernel.overlay("native")
def relu_backward_native(xp, gy, saved, needs):
    (y,) = saved
    declined = not_float32(gy, y)
    if declined:
        return declined
    gx = np.empty(y.shape, FLOAT32)
    _native.relu_backward(gx, one_run(gy), one_run(y))
    return (gx,)
