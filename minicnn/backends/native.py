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


def flat(array):
    """All elements in one contiguous, aligned run, as C needs them; copied only if they are not so."""
    run = array.reshape(-1)
    return run if run.flags.c_contiguous and run.flags.aligned else run.copy()


def only_float32(*arrays):
    """Why kernels for float32 cannot take these, or None."""
    for array in arrays:
        if array.dtype != np.float32:
            return Declined(f"dtype {array.dtype}; the kernel is for float32")
    return None


@relu.forward_kernel.overlay("native")
def relu_native(xp, x):
    if declined := only_float32(x):
        return declined
    y = np.empty(x.shape, np.float32)
    _native.relu_forward(flat(y), flat(x))
    return y, (y,)


@relu.backward_kernel.overlay("native")
def relu_backward_native(xp, gy, saved, needs):
    (y,) = saved
    if declined := only_float32(gy, y):
        return declined
    gx = np.empty(y.shape, np.float32)
    _native.relu_backward(flat(gx), flat(gy), flat(y))
    return (gx,)
