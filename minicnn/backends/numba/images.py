"""Bytes of images to numbers as loops."""

from __future__ import annotations

import numpy as np
from numba import prange

from minicnn.backends.numba.parallel import parallel
from minicnn.core.dispatch import Declined
from minicnn.ops.images import standardize_bytes

__all__ = ["look_up"]

BYTES = np.arange(256, dtype=np.uint8).reshape(1, 1, 1, 256)


@parallel
def look_up(y, x, table):
    """y[n,c,i,j] = table[c, x[n,c,i,j]]."""
    N, C, H, W = x.shape
    for n in prange(N):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    y[n, c, i, j] = table[c, x[n, c, i, j]]


@standardize_bytes.overlay("numba")
def standardize_bytes_numba(xp, planes, mean, std):
    if planes.dtype != np.uint8:
        return Declined(f"dtype {planes.dtype}; the kernel is for bytes")
    channels = planes.shape[1]
    table = standardize_bytes.reference(xp, np.broadcast_to(BYTES, (1, channels, 1, 256)), mean, std)
    y = np.empty(planes.shape, np.float32)
    look_up(y, planes, table.reshape(channels, 256))
    return y
