"""Floor 3, the backends: which there are, why one is missing, and which serves.

``numpy`` is the reference itself; ``native`` lays C kernels over it, ``numba`` loops that Numba compiles;
``cuda`` runs it on a GPU through CuPy. NumPy arrays are served by ``native`` if it is there, else by
``numpy``; ``MINICNN_BACKEND`` or :class:`use_backend` chooses another. ``numba`` is never chosen by
itself: the first step of a training waits for its compiler (12 seconds for LeNet-5, once per machine),
and BLAS is faster in dense layers and wide convolutions.
"""

from __future__ import annotations

import os
from importlib import import_module

from minicnn.backends import cudnn, mps
from minicnn.core import device, dispatch
from minicnn.core.dispatch import Backend, active, report, reset_report, set_strict, use_strict
from minicnn.errors import BackendError

__all__ = [
    "Backend",
    "active",
    "cpu_level",
    "cudnn",
    "load",
    "mps",
    "names",
    "report",
    "reset_report",
    "set_strict",
    "status",
    "table",
    "unavailable",
    "use_backend",
    "use_strict",
]

# By name: the module with `unavailable()` and `create()`; None for what is always there.
# Those for NumPy arrays stand in rising order of speed.
_MODULES: dict[str, str | None] = {
    "numpy": None,
    "numba": "numba",
    "native": "native",
    "cuda": "cupy",
}


def names() -> tuple[str, ...]:
    """The names of all backends, available or not."""
    return tuple(_MODULES)


def _module(name: str) -> str | None:
    if name not in _MODULES:
        raise BackendError(expected=f"a backend out of {', '.join(_MODULES)}", got=repr(name))
    return _MODULES[name]


def unavailable(name: str) -> str | None:
    """Why a backend cannot be used, in words; None if it can.

    Raises
    ------
    BackendError
        If there is no backend of that name.

    Examples
    --------
    >>> unavailable("numpy") is None
    True
    """
    module = _module(name)
    return None if module is None else import_module(f"{__name__}.{module}").unavailable()


def load(name: str) -> Backend:
    """The backend of that name, its kernels attached.

    Raises
    ------
    BackendError
        If there is none of that name, or it is not available: the message says why.

    Examples
    --------
    >>> load("numpy")
    Backend('numpy')
    """
    if name not in dispatch.backends():
        import_module(f"{__name__}.{_module(name)}").create()
    return dispatch.backends()[name]


class use_backend(dispatch.use_backend):  # noqa: N801 - used like a function
    """Choose a backend: for good when called, for a block when used with ``with``.

    The choice is process-wide; do not change it while other threads compute.

    Raises
    ------
    BackendError
        If the backend is unknown or not available.

    Examples
    --------
    >>> with use_backend("numpy"):
    ...     print(active().name)
    numpy
    """

    def __init__(self, name: str) -> None:
        load(name)
        super().__init__(name)


def status() -> dict[str, str]:
    """What ``minicnn info`` says of each backend: "active", "available", or why it is missing."""
    serving = {b.name for b in dispatch.backends().values() if dispatch.active(b.array_type) is b}
    return {name: "active" if name in serving else unavailable(name) or "available" for name in _MODULES}


def cpu_level() -> str | None:
    """The CPU level of the native kernels, "avx512", "avx2" or "baseline"; None without the backend."""
    return None if unavailable("native") else import_module("minicnn._native").level()


def table() -> dict[str, dict[str, str]]:
    """By kernel and backend: "kernel" where the backend has one of its own, else "reference".

    Examples
    --------
    >>> table()["conv2d"]["numpy"]
    'reference'
    """
    loaded = [name for name in _MODULES if name in dispatch.backends()]
    return {
        name: {backend: "kernel" if backend in kernel.overlays else "reference" for backend in loaded}
        for name, kernel in sorted(dispatch.kernels.items())
    }


device.provide("cuda", lambda: load("cuda"))
try:
    use_backend(os.environ.get("MINICNN_BACKEND") or ("native" if unavailable("native") is None else "numpy"))
except BackendError as error:
    error.op = "MINICNN_BACKEND" if os.environ.get("MINICNN_BACKEND") else None
    raise
