"""Bytes of images cut, moved, and to numbers; kernels/images.cpp."""

from __future__ import annotations

import numpy as np

from minicnn import _native
from minicnn.core.dispatch import Declined
from minicnn.ops.images import cut_bytes, moved_bytes, standardize_bytes

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


@cut_bytes.overlay("native")
def cut_bytes_native(xp, images, corners, size, fill):
    if declined := _of_others(images, corners, fill):
        return declined
    y = np.empty((len(images), *size, images.shape[3]), np.uint8)
    _native.cut(y, np.ascontiguousarray(images), np.ascontiguousarray(corners), np.ascontiguousarray(fill))
    return y


@moved_bytes.overlay("native")
def moved_bytes_native(xp, images, maps, fill):
    if declined := _of_others(images, maps, fill):
        return declined
    y = np.empty(images.shape, np.uint8)
    _native.move(y, np.ascontiguousarray(images), np.ascontiguousarray(maps), np.ascontiguousarray(fill))
    return y


def _of_others(images, places, fill):
    if images.dtype == fill.dtype == np.uint8 and places.dtype == np.int64:
        return None
    return Declined(f"{images.dtype}, {places.dtype} and {fill.dtype}; the kernel is for bytes, at int64")
