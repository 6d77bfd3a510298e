"""All functions on tensors with PyTorch's names and signatures.

Each turns PyTorch's ways of saying things (``dim`` negative, one or many, or None) into the one form
that operations know. What needs no turning is the operation itself, under PyTorch's name. Arithmetic
is here; the rest comes from :mod:`minicnn.ops.statistics`, :mod:`minicnn.ops.rearrange` and
:mod:`minicnn.ops.selection`.
"""

# ruff: noqa: F403 - the star imports are the point here

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError, ShapeError
from minicnn.ops import elementwise, probability, rearrange, selection, statistics
from minicnn.ops.activation import relu, sigmoid, tanh
from minicnn.ops.choice import clip, maximum, minimum, where
from minicnn.ops.comparison import (
    eq,
    ge,
    gt,
    isfinite,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    lt,
    ne,
)
from minicnn.ops.conversion import clone
from minicnn.ops.elementwise import div, mul, neg
from minicnn.ops.linear import matmul
from minicnn.ops.rearrange import *
from minicnn.ops.rounding import ceil, floor, floor_divide, remainder, round_, sign
from minicnn.ops.rules import normal_dim
from minicnn.ops.selection import *
from minicnn.ops.statistics import *
from minicnn.ops.transcendental import cos, exp, log, sin, sqrt

__all__ = [
    "abs", "add", "allclose", "bmm", "ceil", "clamp", "clone", "cos", "div", "dot", "eq", "equal", "exp",
    "floor", "floor_divide", "ge", "gt", "isfinite", "isnan", "le", "log", "log_softmax", "logical_and",
    "logical_not", "logical_or", "lt", "matmul", "maximum", "minimum", "mm", "mul", "ne", "neg", "pow",
    "relu", "remainder", "round",
    "sigmoid", "sign", "sin", "softmax", "sqrt", "square", "sub", "tanh", "where",
    *rearrange.__all__, *selection.__all__, *statistics.__all__,
]  # fmt: skip


# -- arithmetic ------------------------------------------------------------------------------

abs = elementwise.abs_
pow = elementwise.pow_
round = round_


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Product of two matrices.

    Examples
    --------
    >>> from minicnn import tensor
    >>> mm(tensor([[1.0, 2.0]]), tensor([[3.0], [4.0]])).tolist()
    [[11.0]]
    """
    return _product("mm", 2, input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Products of two batches of matrices, (N, I, K) and (N, K, J); the batches do not broadcast.

    Examples
    --------
    >>> from minicnn import ones
    >>> bmm(ones(5, 2, 3), ones(5, 3, 4)).shape
    (5, 2, 4)
    """
    return _product("bmm", 3, input, mat2)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Product of two vectors:  Σ_k input[k] · tensor[k].

    Examples
    --------
    >>> from minicnn import tensor
    >>> dot(tensor([1.0, 2.0]), tensor([3.0, 4.0])).item()
    11.0
    """
    return _product("dot", 1, input, tensor)


def _product(op: str, ndim: int, x: Tensor, y: Tensor) -> Tensor:
    """``matmul`` of operands with ``ndim`` dimensions and equal batches."""
    if x.ndim != ndim or y.ndim != ndim or x.shape[:-2] != y.shape[:-2]:
        raise ShapeError(
            expected=f"two tensors of {ndim} dimensions" + (" and one batch size" if ndim > 2 else ""),
            got=f"{x.shape} and {y.shape}",
            hint="use matmul(), which broadcasts",
            op=op,
        )
    return matmul(x, y)


def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """Sum with a factor:  input + alpha · other.

    Examples
    --------
    >>> from minicnn import tensor
    >>> add(tensor([1.0]), tensor([2.0]), alpha=10).tolist()
    [21.0]
    """
    return elementwise.add(input, other if alpha == 1 else other * alpha)


def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """Difference with a factor:  input - alpha · other.

    Examples
    --------
    >>> from minicnn import tensor
    >>> sub(tensor([1.0]), tensor([2.0])).tolist()
    [-1.0]
    """
    return elementwise.sub(input, other if alpha == 1 else other * alpha)


def square(input: Tensor) -> Tensor:
    """Square:  input².

    Examples
    --------
    >>> from minicnn import tensor
    >>> square(tensor([3.0])).tolist()
    [9.0]
    """
    return mul(input, input)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Limit values to [min, max].

    Parameters
    ----------
    input : Tensor
    min, max : number, Tensor, array or None
        The bounds, at least one; tensors and arrays broadcast.

    Raises
    ------
    OptionError
        If there is no bound.

    Notes
    -----
    The derivative is 1 within the bounds and on them; outside, the bound has it.

    Examples
    --------
    >>> from minicnn import tensor
    >>> clamp(tensor([-2.0, 0.5, 3.0]), -1, 1).tolist()
    [-1.0, 0.5, 1.0]
    """
    if min is None and max is None:
        raise OptionError(expected="min or max", got="neither", op="clamp")
    return clip(input, min, max)


def softmax(input: Tensor, dim: int) -> Tensor:
    """Probabilities from scores along ``dim``:  exp(x_i) / Σ_j exp(x_j).

    Examples
    --------
    >>> from minicnn import tensor
    >>> softmax(tensor([0.0, 0.0]), dim=-1).tolist()
    [0.5, 0.5]
    """
    return probability.softmax(input, dim=normal_dim(dim, input.ndim, "softmax"))


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """Logarithm of :func:`softmax`, exact also where the probability rounds to 0.

    Examples
    --------
    >>> from minicnn import tensor
    >>> log_softmax(tensor([0.0, -1000.0]), dim=0).tolist()
    [0.0, -1000.0]
    """
    return probability.log_softmax(input, dim=normal_dim(dim, input.ndim, "log_softmax"))


# -- comparing whole tensors -----------------------------------------------------------------


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shapes and all elements agree.

    Examples
    --------
    >>> from minicnn import tensor
    >>> equal(tensor([1, 2]), tensor([1, 2])), equal(tensor([1]), tensor([1, 1]))
    (True, False)
    """
    return input.shape == other.shape and bool(all(eq(input, other)))


def allclose(
    input: Tensor, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether  |input - other| ≤ atol + rtol · |other|  for all elements.

    Examples
    --------
    >>> from minicnn import tensor
    >>> allclose(tensor([1.0]), tensor([1.0 + 1e-7]))
    True
    """
    return np.allclose(np.asarray(input), np.asarray(other), rtol, atol, equal_nan)
