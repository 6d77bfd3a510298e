"""What becomes the array of a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import DTypeError
from minicnn.typing import Array

__all__ = ["as_array", "default_dtype"]

default_dtype = np.dtype(np.float32)

_DTYPES = [np.dtype(code) for code in "?bBhHiIlLqQefd"]  # bool, integers, float16, float32, float64


def as_array(data: Any, dtype: Any = None) -> Array:
    """An array for a tensor: native byte order, a type that tensors have, shared where possible."""
    if _is_tensor(data):
        data = data.array
    if not hasattr(data, "dtype"):
        if isinstance(data, (list, tuple)):
            data = [d.cpu_array() if _is_tensor(d) else d for d in data]
        data = np.asarray(data)
        if data.dtype == np.float64 and dtype is None:
            dtype = default_dtype
    elif isinstance(data, (np.ndarray, np.generic)):
        data = np.asarray(data)  # drops subclasses such as memmap, without a copy
    wanted = (data.dtype if dtype is None else np.dtype(dtype)).newbyteorder("=")
    for kind in (data.dtype.newbyteorder("="), wanted):
        if kind not in _DTYPES:
            raise DTypeError(expected="numbers (floating point, integer or bool)", got=str(kind), op="tensor")
    return data if data.dtype == wanted and data.dtype.isnative else data.astype(wanted)


def _is_tensor(data: Any) -> bool:
    """Without the class, which is built on this."""
    return hasattr(data, "cpu_array")
