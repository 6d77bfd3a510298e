"""Images cropped and warped, and their bytes to numbers, as loops."""

from __future__ import annotations

import numpy as np
from numba import prange

from minicnn.backends.numba.parallel import parallel
from minicnn.core.dispatch import Declined
from minicnn.ops.images import check_places, crop_images, standardize_bytes, warp_images

__all__ = ["crop", "look_up", "warp"]

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


@parallel
def crop(y, x, corners, fill):
    """y[n,i,j,c] = x[n, top + i, left + j, c], or fill[c] outside; top, left = corners[n]."""
    N, h, w, C = y.shape
    for n in prange(N):
        for i in range(h):
            row = corners[n, 0] + i
            for j in range(w):
                column = corners[n, 1] + j
                inside = 0 <= row < x.shape[1] and 0 <= column < x.shape[2]
                for c in range(C):
                    y[n, i, j, c] = x[n, row, column, c] if inside else fill[c]


@crop_images.overlay("numba")
def crop_images_numba(xp, images, corners, fill, *, size):
    check_places(images, corners, 2, fill, "crop_images")
    y = np.empty((len(images), *size, images.shape[3]), images.dtype)
    crop(y, images, corners, fill)
    return y


@parallel
def warp(y, x, maps, fill):
    """y[n,i,j,c] = x[n, (m5 + m3 j + m4 i) >> 16, (m2 + m0 j + m1 i) >> 16, c], or fill[c]; m = maps[n]."""
    N, H, W, C = y.shape
    for n in prange(N):
        m = maps[n]
        for i in range(H):
            for j in range(W):
                row, column = (m[5] + m[3] * j + m[4] * i) >> 16, (m[2] + m[0] * j + m[1] * i) >> 16
                inside = 0 <= row < H and 0 <= column < W
                for c in range(C):
                    y[n, i, j, c] = x[n, row, column, c] if inside else fill[c]


@warp_images.overlay("numba")
def warp_images_numba(xp, images, maps, fill):
    check_places(images, maps, 6, fill, "warp_images")
    y = np.empty(images.shape, images.dtype)
    warp(y, images, maps, fill)
    return y
