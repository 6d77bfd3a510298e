"""What the loops ask of arrays: all of float32 or all of float64, each in one run of memory."""

from __future__ import annotations

import numpy as np

from minicnn.core.dispatch import Declined
from minicnn.typing import Array

__all__ = ["not_one_float_type", "one_run"]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def one_run(array: Array) -> Array:
    """The array with its elements in one C-contiguous, aligned, writable run; copied only if they are not so.

    No operand is written to; but Numba would compile each kernel once more for arrays that are read-only.
    """
    return array if array.flags.carray else array.copy("C")


def not_one_float_type(*arrays: Array | None) -> Declined | None:
    """The reason to decline unless all arrays are float32, or all float64; None is passed over."""
    types = {array.dtype for array in arrays if array is not None}
    if len(types) == 1 and types <= set(FLOATS):
        return None
    names = " and ".join(sorted(map(str, types)))
    return Declined(f"dtype {names}; the kernel is for float32 or float64")
