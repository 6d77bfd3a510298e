"""The native backend: compiled kernels, from the extension minicnn._native, laid over the operations.

One module per family of operations, named as in ``ops/``; ``arrays`` has what they share.
"""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files

import numpy as np

from minicnn.core import threads
from minicnn.core.dispatch import Backend, register_backend
from minicnn.errors import BackendError

try:
    import minicnn._native as _native
except ImportError as error:
    _native = None
    _import_error = error
except ValueError as error:  # MINICNN_CPU_LEVEL
    raise BackendError(f"MINICNN_CPU_LEVEL: {error}") from error

__all__ = ["create", "unavailable"]

FAMILIES = (
    "activation", "conv", "distance", "elementwise", "images", "linear", "loss", "normalization",
    "pooling", "probability", "regularization", "transcendental", "update",
)  # fmt: skip


def unavailable() -> str | None:
    """None if the extension is there, else why not."""
    if _native is not None:
        return None
    note = files("minicnn") / "_native.txt"
    if note.is_file():
        return note.read_text(encoding="utf-8").strip()
    return f"the extension was not built ({_import_error})"


def create() -> Backend:
    """Register the backend and attach its kernels.

    Raises
    ------
    BackendError
        If the extension is missing.
    """
    reason = unavailable()
    if reason is not None:
        raise BackendError(f"the native backend is not available: {reason}")
    for family in FAMILIES:
        import_module(f"{__name__}.{family}")
    lower = import_module(f"{__name__}.program").lower
    backend = Backend("native", np, np.ndarray, lower=lower, pooled=_native.empty)
    register_backend(backend)
    _native.set_threads(threads.get_num_threads())
    threads.on_change(_native.set_threads)
    threads.on_alone(_native.compute_alone)
    return backend
