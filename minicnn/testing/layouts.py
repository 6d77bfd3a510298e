"""Memory layouts in which the same numbers can come."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicnn.typing import Array, ArrayModule

__all__ = ["LAYOUTS"]


def contiguous(xp: ArrayModule, a: Array) -> Array:
    return xp.array(a, order="C")


def fortran(xp: ArrayModule, a: Array) -> Array:
    return xp.array(a, order="F")


def step_2(xp: ArrayModule, a: Array) -> Array:
    """Every second element, in each dimension, of a larger array."""
    view = xp.zeros(tuple(2 * n for n in a.shape), a.dtype)[(..., *[slice(None, None, 2)] * a.ndim)]
    view[...] = a
    return view


def backwards(xp: ArrayModule, a: Array) -> Array:
    """Negative strides in each dimension."""
    flip = (..., *[slice(None, None, -1)] * a.ndim)  # the ellipsis keeps 0-dimensional arrays arrays
    return xp.array(a[flip], order="C")[flip]


def swapped(xp: ArrayModule, a: Array) -> Array:
    """The last two dimensions swapped in memory."""
    return xp.array(a.swapaxes(-1, -2), order="C").swapaxes(-1, -2) if a.ndim > 1 else a


def repeated(xp: ArrayModule, a: Array) -> Array:
    """The first slice repeated by a stride of 0: other numbers than ``a`` has."""
    return xp.broadcast_to(a[:1], a.shape) if a.ndim and a.shape[0] else a


def read_only(xp: ArrayModule, a: Array) -> Array:
    view = a.copy()
    if isinstance(view, np.ndarray):
        view.flags.writeable = False
    return view


def unaligned(xp: ArrayModule, a: Array) -> Array:
    """Starting one byte off, as in a file's buffer."""
    if not isinstance(a, np.ndarray):
        return a
    view = np.ndarray(a.shape, a.dtype, buffer=bytearray(a.nbytes + 1), offset=1)
    view[...] = a
    return view


def big_endian(xp: ArrayModule, a: Array) -> Array:
    """In the other byte order, as files of other machines have it."""
    return a.astype(a.dtype.newbyteorder("S")) if isinstance(a, np.ndarray) else a


def odd_strides(xp: ArrayModule, a: Array) -> Array:
    """Dimensions of size 1 with strides that mean nothing; kernels must not divide by them."""
    if not isinstance(a, np.ndarray) or not a.size:
        return a
    strides = [3 if n == 1 else s for n, s in zip(a.shape, a.strides, strict=True)]
    return np.lib.stride_tricks.as_strided(a, a.shape, strides)


LAYOUTS: dict[str, Callable[[ArrayModule, Array], Array]] = {
    function.__name__: function
    for function in (
        contiguous,
        fortran,
        step_2,
        backwards,
        swapped,
        repeated,
        read_only,
        unaligned,
        big_endian,
        odd_strides,
    )
}
