"""Images cropped and warped, and their bytes to numbers; kernels/images.cpp."""

from __future__ import annotations

import numpy as np

from minicnn import _native
from minicnn.core.dispatch import Declined
from minicnn.ops.images import check_places, crop_images, standardize_bytes, warp_images

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


@crop_images.overlay("native")
def crop_images_native(xp, images, corners, fill, *, size):
    check_places(images, corners, 2, fill, "crop_images")
    if images.dtype.hasobject:
        return Declined("objects; the kernel is for numbers")
    y = np.empty((len(images), *size, images.shape[3]), images.dtype)
    _native.crop(_bytes(y), _bytes(images), np.ascontiguousarray(corners, np.int64), _bytes(fill))
    return y


@warp_images.overlay("native")
def warp_images_native(xp, images, maps, fill):
    check_places(images, maps, 6, fill, "warp_images")
    if images.dtype.hasobject:
        return Declined("objects; the kernel is for numbers")
    y = np.empty(images.shape, images.dtype)
    _native.warp(_bytes(y), _bytes(images), np.ascontiguousarray(maps, np.int64), _bytes(fill))
    return y


def _bytes(array):
    """A pixel's numbers as its bytes: they are copied, and it does not matter what they mean."""
    return np.ascontiguousarray(array).view(np.uint8)
