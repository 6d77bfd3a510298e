"""Reductions with PyTorch's names and signatures: sum, mean, var, std, norm, max, argmax, all, ..."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minicnn.core.op import Op
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.ops import extremes, reduction
from minicnn.ops.choice import maximum, minimum
from minicnn.ops.conversion import cast
from minicnn.ops.elementwise import abs_
from minicnn.ops.rules import normal_dims, require_float

__all__ = [
    "ValuesAndIndices", "all", "amax", "amin", "any", "argmax", "argmin", "max", "mean", "min", "norm",
    "std", "sum", "var",
]  # fmt: skip


class ValuesAndIndices(NamedTuple):
    """What ``max``, ``min``, ``sort`` and ``topk`` give along a dimension."""

    values: Tensor
    indices: Tensor


def _reduce(op: Op, input: Tensor, dim: Any, keepdim: bool, **attrs: Any) -> Tensor:
    """Reduce over the dimensions named; over all for None and, as in PyTorch, for ``()``."""
    named = None if isinstance(dim, (tuple, list)) and not dim else dim
    return _reduce_named(op, input, named, keepdim, **attrs)


def _reduce_named(op: Op, input: Tensor, dim: Any, keepdim: bool, **attrs: Any) -> Tensor:
    """Reduce over the dimensions named: all for None, none for ``()``."""
    own = {"dim": normal_dims(dim, input.array.ndim, op.name), "keepdim": bool(keepdim)}
    return op.apply((input,), op.full(own | attrs) if attrs else own)[0]


def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Sum over dimensions.

    Parameters
    ----------
    input : Tensor
    dim : int, tuple of int or None
        The dimensions to sum over; None for all.
    keepdim : bool
        Keep them with size 1.
    dtype : dtype, optional
        Convert before summing. Integers and bools are summed as int64.

    Raises
    ------
    ShapeError
        If there is no such dimension.

    Examples
    --------
    >>> from minicnn import tensor
    >>> sum(tensor([[1.0, 2.0], [3.0, 4.0]]), dim=-1).tolist()
    [3.0, 7.0]
    """
    return _reduce(
        reduction.sum_, input if dtype is None else cast(input, dtype=np.dtype(dtype)), dim, keepdim
    )


def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Mean over dimensions, of floating point numbers; parameters as in :func:`sum`.

    Raises
    ------
    DTypeError
        For integers and bools without ``dtype``.

    Examples
    --------
    >>> from minicnn import tensor
    >>> mean(tensor([[1.0, 2.0], [3.0, 4.0]])).item()
    2.5
    """
    return _reduce(
        reduction.mean, input if dtype is None else cast(input, dtype=np.dtype(dtype)), dim, keepdim
    )


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Variance over dimensions:  Σ (x - mean)² / (n - correction).

    Parameters
    ----------
    input : Tensor
        Floating point.
    dim, keepdim :
        As in :func:`sum`.
    unbiased : bool
        True stands for correction 1, False for 0.
    correction : float, optional
        Overrides ``unbiased``.

    Examples
    --------
    >>> from minicnn import tensor
    >>> var(tensor([1.0, 2.0, 3.0])).item(), var(tensor([1.0, 3.0]), unbiased=False).item()
    (1.0, 1.0)
    """
    correction = int(unbiased) if correction is None else correction
    return _reduce(reduction.var, input, dim, keepdim, correction=correction)


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Standard deviation over dimensions, the square root of :func:`var`.

    Examples
    --------
    >>> from minicnn import tensor
    >>> std(tensor([1.0, 2.0, 3.0])).item()
    1.0
    """
    correction = int(unbiased) if correction is None else correction
    return _reduce(reduction.std, input, dim, keepdim, correction=correction)


def norm(input: Tensor, p: float | str = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Norm over dimensions:  (Σ |x|^p)^(1/p).

    Parameters
    ----------
    input : Tensor
        Floating point.
    p : float or str
        2 or ``"fro"`` for the Euclidean norm, 1 for the sum of absolute values, 0 for the number of elements
        that are not 0, ``inf`` for the largest absolute value and ``-inf`` for the smallest.
    dim, keepdim :
        As in :func:`sum`.

    Raises
    ------
    OptionError
        If p is another negative number or word.
    DTypeError
        For integers and bools.

    Examples
    --------
    >>> from minicnn import tensor
    >>> norm(tensor([3.0, -4.0])).item(), norm(tensor([3.0, -4.0]), p=1).item()
    (5.0, 7.0)
    """
    order = 2.0 if p == "fro" else p
    if isinstance(order, str) or not (order >= 0 or order == -math.inf):
        raise OptionError(expected="p >= 0, inf, -inf or 'fro'", got=repr(p), op="norm")
    if math.isfinite(order):
        return _reduce(reduction.norm, input, dim, keepdim, p=float(order))
    require_float(input, op="norm")
    return _reduce(extremes.amax if order > 0 else extremes.amin, abs_(input), dim, keepdim)


def amax(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Largest element over dimensions; of equal ones the first gets the gradient.

    Parameters as in :func:`sum`.

    Examples
    --------
    >>> from minicnn import tensor
    >>> amax(tensor([[1, 4], [3, 2]]), dim=0).tolist()
    [3, 4]
    """
    return _reduce(extremes.amax, input, dim, keepdim)


def amin(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Smallest element over dimensions; as :func:`amax`.

    Examples
    --------
    >>> from minicnn import tensor
    >>> amin(tensor([[1, 4], [3, 2]]), dim=0).tolist()
    [1, 2]
    """
    return _reduce(extremes.amin, input, dim, keepdim)


def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Largest element of all; or along ``dim``, with its index; or, given a second tensor, :func:`maximum`.

    Returns
    -------
    Tensor or ValuesAndIndices
        With an integer ``dim``: ``values`` and ``indices``.

    Examples
    --------
    >>> from minicnn import tensor
    >>> x = tensor([[1.0, 4.0], [3.0, 2.0]])
    >>> max(x).item(), max(x, dim=1).indices.tolist()
    (4.0, [1, 0])
    """
    if isinstance(dim, Tensor):
        return maximum(input, dim)
    if dim is None:
        return amax(input, None, keepdim)
    return ValuesAndIndices(amax(input, dim, keepdim), argmax(input, dim, keepdim))


def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Smallest element; as :func:`max`.

    Examples
    --------
    >>> from minicnn import tensor
    >>> min(tensor([[1.0, 4.0], [3.0, 2.0]]), dim=1).values.tolist()
    [1.0, 2.0]
    """
    if isinstance(dim, Tensor):
        return minimum(input, dim)
    if dim is None:
        return amin(input, None, keepdim)
    return ValuesAndIndices(amin(input, dim, keepdim), argmin(input, dim, keepdim))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index of the largest element, the first of equal ones; without ``dim`` in row-major order over all.

    Examples
    --------
    >>> from minicnn import tensor
    >>> argmax(tensor([[1, 4], [3, 2]]), dim=1).tolist()
    [1, 0]
    """
    return _reduce(extremes.argmax, input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index of the smallest element; as :func:`argmax`.

    Examples
    --------
    >>> from minicnn import tensor
    >>> argmin(tensor([[1, 4], [3, 2]]), dim=1).tolist()
    [0, 1]
    """
    return _reduce(extremes.argmin, input, dim, keepdim)


def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true (not 0); parameters as in :func:`sum`, but ``dim=()`` reduces nothing.

    Examples
    --------
    >>> from minicnn import tensor
    >>> all(tensor([True, False])).item()
    False
    """
    return _reduce_named(reduction.all_, input, dim, keepdim)


def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any element is true (not 0); parameters as in :func:`all`.

    Examples
    --------
    >>> from minicnn import tensor
    >>> any(tensor([True, False])).item()
    True
    """
    return _reduce_named(reduction.any_, input, dim, keepdim)
