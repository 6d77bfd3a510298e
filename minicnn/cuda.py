"""PyTorch's ``torch.cuda``: whether a GPU can be used, through CuPy."""

from __future__ import annotations

from typing import Any

from minicnn import backends
from minicnn.core import random
from minicnn.core.device import device
from minicnn.errors import BackendError

__all__ = [
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "synchronize",
]


def is_available() -> bool:
    """Whether CuPy is installed and finds a device.

    Examples
    --------
    >>> import minicnn
    >>> minicnn.cuda.is_available() in (True, False)
    True
    """
    return backends.unavailable("cuda") is None


def _runtime() -> Any:
    return backends.load("cuda").xp.cuda


def device_count() -> int:
    """The number of GPUs; 0 where none can be used."""
    return _runtime().runtime.getDeviceCount() if is_available() else 0


def current_device() -> int:
    """The index of the GPU in use.

    Raises
    ------
    BackendError
        If no GPU can be used.
    """
    return int(_runtime().Device().id)


def get_device_name(which: str | int | None = None) -> str:
    """The product name of a GPU."""
    if which is None:
        which = current_device()
    index = which if isinstance(which, int) else device(which).index or 0
    return _runtime().runtime.getDeviceProperties(index)["name"].decode()


def synchronize(which: Any = None) -> None:
    """Wait until the GPU has done all work that was queued; nothing to do without one."""
    try:
        _runtime().Device().synchronize()
    except BackendError:
        return


def empty_cache() -> None:
    """Give memory that is not in use back to the GPU; nothing to do without one."""
    if is_available():
        backends.load("cuda").xp.get_default_memory_pool().free_all_blocks()


def manual_seed(seed: int) -> None:
    """Seed the one generator that minicnn has; see :func:`minicnn.manual_seed`."""
    random.manual_seed(seed)


manual_seed_all = manual_seed
