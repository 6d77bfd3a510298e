"""The numba backend: kernels as plain loops in Python, compiled by Numba on first use.

For machines without a C compiler, and for reading: each kernel is the formula of its operation,
written out. One module per family of operations, named as in ``ops/``; ``parallel`` says how loops
run, ``arrays`` what they ask of arrays. There are kernels for what takes longer in array code, and
for what is worth reading as loops though BLAS is faster: convolution and the dense layer. Functions
that NumPy computes with vector instructions (``exp``, ``tanh``) are left to it.

Nothing here is imported before the backend is used. The first call of a kernel compiles it, in about
a second; the machine code is kept beside the source (or in ``NUMBA_CACHE_DIR``), so only the first
process pays. No compiled function calls one of another file: Numba would not see changes there.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np

from minicnn.core.dispatch import Backend, register_backend
from minicnn.errors import BackendError

__all__ = ["create", "unavailable"]

FAMILIES = (
    "activation",
    "adaptive_pooling",
    "conv",
    "images",
    "linear",
    "loss",
    "normalization",
    "pooling",
    "probability",
    "update",
)


def unavailable() -> str | None:
    """None if Numba can be imported, else why not."""
    try:
        import numba  # noqa: F401
    except ImportError as error:
        if error.name == "numba":
            return "numba is not installed; pip install minicnn[numba]"
        return f"numba cannot be imported: {error}"
    return None


def create() -> Backend:
    """Register the backend and attach its kernels.

    Raises
    ------
    BackendError
        If Numba is missing.
    """
    reason = unavailable()
    if reason is not None:
        raise BackendError(f"the numba backend is not available: {reason}")
    for family in FAMILIES:
        import_module(f"{__name__}.{family}")
    backend = Backend("numba", np, np.ndarray)
    register_backend(backend)
    return backend
