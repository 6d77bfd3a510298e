"""Bytes of images to numbers; kernels/images.cpp."""

from __future__ import annotations

import numpy as np

from minicnn import _native
from minicnn.core.dispatch import Declined
from minicnn.ops.images import standardize_bytes

BYTES = np.arange(256, dtype=np.uint8).reshape(1, 1, 1, 256)


@standardize_bytes.overlay("native")
def standardize_bytes_native(xp, planes, mean, std):
    if planes.dtype != np.uint8:
        return Declined(f"dtype {planes.dtype}; the kernel is for bytes")
    channels = planes.shape[1]
    table = standardize_bytes.reference(xp, np.broadcast_to(BYTES, (1, channels, 1, 256)), mean, std)
    pictures = planes.transpose(0, 2, 3, 1)
    planar = not pictures.flags.c_contiguous
    y = _native.empty(planes.shape)
    _native.look_up(y, np.ascontiguousarray(planes) if planar else pictures, table, planar)
    return y
