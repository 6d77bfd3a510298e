"""The one table that gives tensors their operators and methods; importing it binds them.

In place: a leaf, or any tensor under ``no_grad``, gets the new numbers into its own memory. A
tensor that a graph has made cannot be overwritten, since the graph may need the old numbers; it
becomes the new result instead, so that gradients stay right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.core import creation
from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, GradError, ShapeError
from minicnn.ops import functions as F
from minicnn.ops.rules import normal_dim

__all__ = ["METHODS", "OPERATORS", "PROPERTIES", "bind"]


# -- operators -------------------------------------------------------------------------------


def _binary(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def operator(self: Tensor, other: Any) -> Tensor:
        return function(self, other)

    return operator


def _reflected(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def operator(self: Tensor, other: Any) -> Tensor:
        return function(other, self)

    return operator


def _comparison(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def operator(self: Tensor, other: Any) -> Any:
        if isinstance(other, (int, float)) or hasattr(other, "dtype"):
            return function(self, other)
        return NotImplemented  # a tensor equals no string, and not None

    return operator


def _logical(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def operator(self: Tensor, *other: Any) -> Tensor:
        for operand in (self, *other):
            if getattr(operand, "dtype", np.dtype(type(operand))).kind != "b":
                raise DTypeError(expected="bool tensors for & | ^ ~", got=str(operand.dtype), op=function.__name__)
        return function(self, *other)

    return operator


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return become(self, function(self, *args, **kwargs), function.__name__)

    return method


def become(x: Tensor, result: Tensor, name: str) -> Tensor:
    """Let ``x`` hold ``result``: in its own memory, or as a new step of the graph if one was recorded.

    Raises
    ------
    ShapeError, DTypeError
        If x cannot hold the result.
    GradError
        If x is a leaf that requires grad, outside ``no_grad``.
    """
    if result.shape != x.shape:
        raise ShapeError(expected=f"a result of shape {x.shape} in place", got=str(result.shape), op=name)
    if result.dtype.kind == "f" and x.dtype.kind != "f":
        raise DTypeError(expected=f"a result that fits {x.dtype} in place", got=str(result.dtype), op=name)
    if not result.requires_grad or (x.requires_grad and x.is_leaf):
        return x.write_(result)
    made = F.to(result, x.dtype)
    x.array, x.node, x.requires_grad = made.array, made.node, True
    return x


def _set_item(self: Tensor, index: Any, value: Any) -> None:
    recorded = isinstance(value, Tensor) and value.requires_grad
    if (self.node is not None or recorded) and F.setitem.__globals__["grad_enabled"].get():
        become(self, F.setitem(self, index, value), "setitem")
    else:
        self.write_(value, index)


OPERATORS: dict[str, Callable[..., Any]] = {
    "__add__": _binary(F.add),
}
