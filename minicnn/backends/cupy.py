"""The CUDA backend: the references run on CuPy arrays. CuPy is imported on first use."""

from __future__ import annotations

from minicnn.core.dispatch import Backend, register_backend
from minicnn.errors import BackendError

__all__ = ["create", "unavailable"]


def unavailable() -> str | None:
    """None if CuPy finds a device, else why not."""
    try:
        import cupy
    except ImportError as error:
        if error.name == "cupy":
            return "cupy is not installed; pip install minicnn[cuda12]"
        return f"cupy cannot be imported: {error}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"cupy {cupy.__version__} finds no CUDA device: {error}"
    return None if count else f"cupy {cupy.__version__} finds no CUDA device"


def create() -> Backend:
    """Register the backend, on a device.

    Raises
    ------
    BackendError
        If CuPy or a device is missing.
    """
    reason = unavailable()
    if reason is not None:
        raise BackendError(f"the cuda backend is not available: {reason}")
    import cupy

    backend = Backend("cuda", cupy, cupy.ndarray, is_reference=True)
    register_backend(backend)
    return backend
