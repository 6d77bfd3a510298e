"""What the native kernels ask of arrays: float32 in one run of memory."""

from __future__ import annotations

import numpy as np

from minicnn.core.dispatch import Declined
from minicnn.typing import Array

__all__ = ["FLOAT32", "aligned", "not_float32", "one_run", "optional_run"]

FLOAT32 = np.dtype(np.float32)


def one_run(array: Array) -> Array:
    """The array with its elements in one C-contiguous, aligned run; copied only if they are not so.

    What a reference saved of a 0-dimensional operand may be a NumPy scalar: it becomes an array.
    """
    array = np.asarray(array)
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else array.copy("C")


def aligned(array: Array) -> Array:
    """The array in any layout whose distances are whole numbers; copied only if they are not so."""
    return array if array.flags.aligned else array.copy("C")


def optional_run(array: Array | None) -> Array | None:
    """The same of an operand that may be missing."""
    return None if array is None else one_run(array)


def not_float32(*arrays: Array | None) -> Declined | None:
    """The reason to decline if an array is not of float32 in this machine's byte order; None if all are."""
    for array in arrays:
        if array is not None and array.dtype != FLOAT32:
            return Declined(f"dtype {array.dtype}; the kernel is for float32")
    return None
