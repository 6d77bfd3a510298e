"""What the native kernels ask of arrays: float32 in one run of memory."""

from __future__ import annotations

import numpy as np

from minicnn.core.dispatch import Declined
from minicnn.typing import Array

__all__ = ["FLOAT32", "not_float32", "one_run", "optional_run"]

FLOAT32 = np.dtype(np.float32)


def one_run(array: Array) -> Array:
    """The array with its elements in one C-contiguous, aligned run; copied only if they are not so."""
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else array.copy("C")


def optional_run(array: Array | None) -> Array | None:
    """The same of an operand that may be missing."""
    return None if array is None else one_run(array)


def not_float32(*arrays: Array | None) -> Declined | None:
    """The reason to decline if an array is not of float32 in this machine's byte order; None if all are."""
    for array in arrays:
        if array is not None and array.dtype != FLOAT32:
            return Declined(f"dtype {array.dtype}; the kernel is for float32")
    return None
