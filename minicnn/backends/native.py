"""The native backend: kernels in C, from the extension minicnn._native, laid over the operations."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from minicnn.core.dispatch import Backend, Declined, register_backend
from minicnn.errors import BackendError
from minicnn.ops.activation import relu

try:
    import minicnn._native as _native
except ImportError as error:
    _native = None
    _import_error = error

__all__ = ["create", "unavailable"]


def unavailable() -> str | None:
    """None if the extension is there, else why not."""
    if _native is not None:
        return None
    note = files("minicnn") / "_native.txt"
    if note.is_file():
        return note.read_text(encoding="utf-8").strip()
    return f"the extension was not built ({_import_error})"


def create() -> Backend:
    """Register the backend.

    Raises
    ------
    BackendError
        If the extension is missing.
    """
    reason = unavailable()
    if reason is not None:
        raise BackendError(f"the native backend is not available: {reason}")
    backend = Backend("native", np, np.ndarray)
    register_backend(backend)
    return backend


_FLOAT32 = np.dtype(np.float32)


def one_run(array):
    """The array with its elements in one C-contiguous, aligned run; copied only if they are not so.

    What a reference saved of a 0-dimensional operand may be a NumPy scalar: it becomes an array.
    """
    array = np.asarray(array)
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else array.copy("C")


@relu.forward_kernel.overlay("native")
def relu_native(xp, x):
    if x.dtype != _FLOAT32:
        return Declined(f"dtype {x.dtype}; the kernel is for float32")
    y = np.empty(x.shape, _FLOAT32)
    _native.relu_forward(y, one_run(x))
    return y, (y,)


@relu.backward_kernel.overlay("native")
def relu_backward_native(xp, gy, saved, needs):
    (y,) = saved
    if gy.dtype != _FLOAT32 or y.dtype != _FLOAT32:
        return Declined(f"dtypes {gy.dtype}, {y.dtype}; the kernel is for float32")
    gx = np.empty(y.shape, _FLOAT32)
    _native.relu_backward(gx, one_run(gy), one_run(y))
    return (gx,)
