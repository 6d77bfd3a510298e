"""What a class says of its methods, and whom it binds: a subclass that changes a method has not said it."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

__all__ = ["of_many", "of_transform"]

_CHANGES = frozenset({"__call__", "forward", "get_params"})
_ITEM = frozenset({"__getitem__"})


def of_transform(transform: Any, name: str) -> Any:
    """The attribute ``takes_arrays``, ``on_batch`` or the like of a transform if it holds, else None.

    Examples
    --------
    >>> class Same:
    ...     takes_arrays = True
    ...     def __call__(self, image):
    ...         return image
    >>> class Other(Same):
    ...     def __call__(self, image):
    ...         return image.convert("L")
    >>> of_transform(Same(), "takes_arrays"), of_transform(Other(), "takes_arrays")
    (True, None)
    """
    return _promised(transform, name, _CHANGES)


def of_many(dataset: Any) -> Any:
    """The method ``__getitems__`` of a data set if it gives what ``__getitem__`` gives, else None."""
    return _promised(dataset, "__getitems__", _ITEM)


def _promised(thing: Any, name: str, methods: Set[str]) -> Any:
    """An attribute, unless one of the methods it speaks for comes from nearer than it does."""
    for names in (getattr(thing, "__dict__", {}), *map(vars, type(thing).__mro__)):
        if name in names:
            return getattr(thing, name)
        if not methods.isdisjoint(names):
            return None
    return None
