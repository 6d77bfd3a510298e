"""Functions that pick elements of tensors, with PyTorch's names and signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.core.device import MetaArray, device_of, move
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.ops import indexing
from minicnn.ops.choice import where
from minicnn.ops.rules import normal_dim, normal_dims
from minicnn.ops.statistics import ValuesAndIndices

__all__ = [
    "argsort", "flip", "gather", "getitem", "index_select", "masked_fill", "masked_select", "nonzero",
    "setitem", "sort", "topk",
]  # fmt: skip


def getitem(input: Tensor, index: Any) -> Tensor:
    """A part of a tensor: ``input[index]``, with integers, slices, None, ``...``, tensors, lists, masks.

    Examples
    --------
    >>> from minicnn import arange
    >>> getitem(arange(5), slice(None, None, -2)).tolist()
    [4, 2, 0]
    """
    return indexing.getitem(input, index=normal_index(input, index))


def setitem(input: Tensor, index: Any, value: Any) -> Tensor:
    """A copy of a tensor with ``input[index]`` replaced by ``value``.

    Examples
    --------
    >>> from minicnn import arange
    >>> setitem(arange(3), 0, 9).tolist()
    [9, 1, 2]
    """
    return indexing.setitem(input, value, index=normal_index(input, index))


_PLAIN = (int, slice, type(None), type(...))


def normal_index(input: Tensor, index: Any) -> tuple[Any, ...]:
    """The index as a tuple of integers, slices, None, ``...`` and arrays on the tensor's device."""
    parts = index if type(index) is tuple else (index,)
    return tuple(part if type(part) in _PLAIN else _index_array(input, part) for part in parts)


def _index_array(input: Tensor, part: Any) -> Any:
    array = part.array if isinstance(part, Tensor) else part
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
        array = array if array.size else array.astype(np.int64)
    if array.dtype.kind not in "biu":
        raise IndexError(f"indices are integers or bools, not {array.dtype}")
    return array if isinstance(input.array, MetaArray) else move(array, device_of(input.array))


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Elements picked along a dimension:  y[i, j] = input[i, index[i, j]]  for ``dim`` = 1.

    Parameters
    ----------
    input : Tensor
    dim : int
    index : Tensor of integers
        With as many dimensions as input, and in the other dimensions no larger.

    Returns
    -------
    Tensor
        In index's shape.

    Examples
    --------
    >>> from minicnn import tensor
    >>> gather(tensor([[1, 2], [3, 4]]), 1, tensor([[0], [1]])).tolist()
    [[1], [4]]
    """
    return getitem(input, grid(index, normal_dim(dim, input.ndim)))


def grid(index: Tensor, dim: int) -> tuple[Any, ...]:
    """Index arrays that take ``index`` along ``dim`` and the own position along all other dimensions."""
    return tuple(
        index if d == dim else positions for d, positions in enumerate(np.ogrid[*map(slice, index.shape)])
    )


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Slices picked along a dimension, in the order of a 1-D index.

    Examples
    --------
    >>> from minicnn import tensor
    >>> index_select(tensor([[1, 2], [3, 4]]), 0, tensor([1, 1])).tolist()
    [[3, 4], [3, 4]]
    """
    return getitem(input, (*(slice(None),) * normal_dim(dim, input.ndim), index))


def flip(input: Tensor, dims: int | Sequence[int]) -> Tensor:
    """Reverse the order of elements along dimensions. A view.

    Examples
    --------
    >>> from minicnn import tensor
    >>> flip(tensor([[1, 2], [3, 4]]), (1,)).tolist()
    [[2, 1], [4, 3]]
    """
    flipped = normal_dims(dims if isinstance(dims, int) else tuple(dims), input.ndim)
    return indexing.getitem(
        input, index=tuple(slice(None, None, -1 if d in flipped else None) for d in range(input.ndim))
    )


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """The tensor with ``value`` where the mask is true.

    Examples
    --------
    >>> from minicnn import tensor
    >>> masked_fill(tensor([1.0, 2.0]), tensor([True, False]), 0.0).tolist()
    [0.0, 2.0]
    """
    return where(mask, value, input)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask is true, in one dimension.

    Examples
    --------
    >>> from minicnn import tensor
    >>> masked_select(tensor([1.0, 2.0]), tensor([False, True])).tolist()
    [2.0]
    """
    return getitem(input, mask)


def nonzero(input: Tensor) -> Tensor:
    """The places of all elements that are not 0: one row of indices for each, in row-major order.

    Examples
    --------
    >>> from minicnn import tensor
    >>> nonzero(tensor([[0, 5], [7, 0]])).tolist()
    [[0, 1], [1, 0]]
    """
    return Tensor.wrap(move(np.argwhere(input.cpu_array()), input.device))


def argsort(input: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
    """The indices that sort along a dimension; equal elements keep their order.

    Examples
    --------
    >>> from minicnn import tensor
    >>> argsort(tensor([3, 1, 2])).tolist()
    [1, 2, 0]
    """
    dim = normal_dim(dim, input.ndim)
    array = input.cpu_array()
    if descending:  # sorting backwards from the back keeps the order of equal elements
        order = array.shape[dim] - 1 - np.flip(np.argsort(np.flip(array, dim), dim, kind="stable"), dim)
    else:
        order = np.argsort(array, dim, kind="stable")
    return Tensor.wrap(move(np.ascontiguousarray(order), input.device))


def sort(input: Tensor, dim: int = -1, descending: bool = False) -> ValuesAndIndices:
    """Sort along a dimension; equal elements keep their order.

    Examples
    --------
    >>> from minicnn import tensor
    >>> sort(tensor([3, 1, 2]), descending=True).values.tolist()
    [3, 2, 1]
    """
    order = argsort(input, dim, descending)
    return ValuesAndIndices(gather(input, dim, order), order)


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """The k largest (or smallest) elements along a dimension, in order.

    Raises
    ------
    OptionError
        If k is negative or larger than the dimension.

    Examples
    --------
    >>> from minicnn import tensor
    >>> topk(tensor([1.0, 3.0, 2.0]), 2).indices.tolist()
    [1, 2]
    """
    dim = normal_dim(dim, input.ndim)
    if not 0 <= k <= input.shape[dim]:
        raise OptionError(expected=f"k from 0 to {input.shape[dim]}", got=str(k), op="topk")
    order = argsort(input, dim, descending=largest)
    order = indexing.getitem(order, index=(*(slice(None),) * dim, slice(k)))
    return ValuesAndIndices(gather(input, dim, order), order)
