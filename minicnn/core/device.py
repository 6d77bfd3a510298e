"""Where a tensor lives: ``cpu`` (NumPy arrays), ``cuda`` (CuPy arrays) or ``meta`` (shapes only)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.core import dispatch
from minicnn.core.dispatch import Backend
from minicnn.errors import BackendError, OptionError
from minicnn.typing import Array, Shape

__all__ = ["MetaArray", "device", "device_of", "is_writeable", "move", "provide"]


class MetaArray:
    """An array that is a shape and an element type, with no numbers: for abstract runs."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: Shape, dtype: Any) -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]


_META = Backend("meta", np, MetaArray, is_reference=True)
dispatch.register_backend(_META)

# By device type: how to get its backend. "cuda" is added by minicnn.backends.
_providers: dict[str, Callable[[], Backend]] = {
    "cpu": lambda: dispatch.active(np.ndarray),
    "meta": lambda: _META,
}


def provide(kind: str, provider: Callable[[], Backend]) -> None:
    """Tell how to reach the backend of a device type; it may raise :class:`BackendError`."""
    _providers[kind] = provider


class device:  # noqa: N801 - PyTorch's name
    """A device, from ``"cpu"``, ``"cuda"``, ``"cuda:0"`` or ``"meta"``.

    Parameters
    ----------
    name : str or device
        Type and, after a colon, an index.

    Raises
    ------
    OptionError
        If there is no such type of device.

    Examples
    --------
    >>> device("cuda:1").type, device("cuda:1").index
    ('cuda', 1)
    """

    def __init__(self, name: str | device, index: int | None = None) -> None:
        kind, _, number = str(name).partition(":")
        if kind not in _providers or (number and not number.isdigit()):
            raise OptionError(expected=f"a device out of {', '.join(_providers)}", got=repr(str(name)))
        self.type = kind
        self.index = int(number) if number else index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def holds(self, array: Array) -> bool:
        """Whether the array is there already; a device without an index is any of its type."""
        there = device_of(array)
        return self.type == there.type and self.index in (None, there.index)


def device_of(array: Array) -> device:
    """The device an array lives on."""
    if isinstance(array, (np.ndarray, np.generic)):
        return device("cpu")
    if isinstance(array, MetaArray):
        return device("meta")
    return device("cuda", int(array.device.id))


def move(array: Array, target: str | device) -> Array:
    """The array on another device; itself if it is there already.

    Raises
    ------
    BackendError
        If the device is not available, or the numbers of a meta array are asked for.
    """
    target = device(target)
    if target.holds(array):
        return array
    source = device_of(array)
    if target.type == "meta":
        return MetaArray(array.shape, array.dtype)
    if source.type == "meta":
        raise BackendError("a meta tensor has a shape and a dtype but no numbers")
    if target.type == "cpu":
        return array.get()
    xp = _providers[target.type]().xp
    with xp.cuda.Device(target.index or 0):
        return xp.asarray(array)


def is_writeable(array: Array) -> bool:
    """Whether every element has memory of its own that may change. CuPy arrays have no such flag."""
    if isinstance(array, MetaArray):
        raise BackendError("a meta tensor has a shape and a dtype but no numbers")
    strides = (
        zip(array.strides, array.shape, strict=True) if array.size else ()
    )  # NumPy gives 0 to empty ones
    if any(stride == 0 and size > 1 for stride, size in strides):
        return False
    return getattr(array.flags, "writeable", True)
