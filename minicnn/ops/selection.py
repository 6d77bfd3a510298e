"""Functions that pick elements of tensors, with PyTorch's names and signatures."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.core.device import MetaArray, device_of, move
from minicnn.core.op import describe
from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.ops import indexing
from minicnn.ops.choice import where
from minicnn.ops.conversion import clone
from minicnn.ops.rearrange import to
from minicnn.ops.rules import NUMBERS, broadcast_shape, common_dtype, normal_dim, normal_dims, whole
from minicnn.ops.shape import broadcast_to, reshape
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
    parts = normal_index(input, index)
    picks = not _PLAIN.issuperset(map(type, parts))
    return (indexing.pick if picks else indexing.getitem).apply((input,), {"index": parts})[0]


def setitem(input: Tensor, index: Any, value: Any) -> Tensor:
    """A copy of a tensor with ``input[index]`` replaced by ``value``.

    Examples
    --------
    >>> from minicnn import arange
    >>> setitem(arange(3), 0, 9).tolist()
    [9, 1, 2]
    """
    return indexing.setitem(input, value, index=normal_index(input, index))


_PLAIN = frozenset([int, slice, type(None), type(...)])


def normal_index(input: Tensor, index: Any) -> tuple[Any, ...]:
    """The index as a tuple of integers, slices, None, ``...`` and arrays on the tensor's device.

    Single integers of NumPy and of tensors become Python's, as in PyTorch: they make a view.
    """
    parts = index if type(index) is tuple else (index,)
    if _PLAIN.issuperset(map(type, parts)):
        return parts
    return tuple(part if type(part) in _PLAIN else _index_array(input, part) for part in parts)


def _index_array(input: Tensor, part: Any) -> Any:
    array = part.array if isinstance(part, Tensor) else part
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
        array = array if array.size else array.astype(np.int64)
    if array.dtype.kind not in "biu":
        raise IndexError(f"indices are integers or bools, not {array.dtype}")
    if array.ndim == 0 and array.dtype.kind != "b" and not isinstance(array, MetaArray):
        return int(array)
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

    Raises
    ------
    ShapeError, DTypeError
        If the index is not such a tensor.
    IndexError
        If it points outside ``dim``; a negative one does.

    Examples
    --------
    >>> from minicnn import tensor
    >>> gather(tensor([[1, 2], [3, 4]]), 1, tensor([[0], [1]])).tolist()
    [[1], [4]]
    """
    return getitem(input, grid(input, dim, index, "gather"))


def grid(input: Tensor, dim: int, index: Tensor, op: str) -> tuple[Any, ...]:
    """Index arrays that take ``index`` along ``dim`` and the own position along all other dimensions."""
    dim = normal_dim(dim, input.ndim, op)
    _require_places(index, op)
    sizes = zip(index.shape, input.shape, strict=False)
    if index.ndim != input.ndim or any(n > most for d, (n, most) in enumerate(sizes) if d != dim):
        raise ShapeError(
            expected=f"an index of {input.ndim} dimensions, no larger than {input.shape} but along {dim}",
            got=str(index.shape),
            op=op,
        )
    return tuple(
        index if d == dim else positions for d, positions in enumerate(np.ogrid[*map(slice, index.shape)])
    )


def _require_places(index: Tensor, op: str) -> None:
    """Refuse what is no integer, and what counts from the end: gathering knows no negative places."""
    if index.dtype.kind not in "iu":
        raise DTypeError(expected="an index of integers", got=str(index.dtype), hint="use .long()", op=op)
    if not isinstance(index.array, MetaArray) and index.array.size and index.array.min() < 0:
        raise IndexError(f"{op}: expected an index of at least 0, got {int(index.array.min())}")


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Slices picked along a dimension, in the order of a 1-D index.

    Raises
    ------
    ShapeError, DTypeError
        If the index has more than one dimension, or no integers.
    IndexError
        If it points outside ``dim``; a negative one does.

    Examples
    --------
    >>> from minicnn import tensor
    >>> index_select(tensor([[1, 2], [3, 4]]), 0, tensor([1, 1])).tolist()
    [[3, 4], [3, 4]]
    """
    before = (slice(None),) * normal_dim(dim, input.ndim, "index_select")
    _require_places(index, "index_select")
    if index.ndim > 1:
        raise ShapeError(expected="an index of 1 dimension", got=str(index.shape), op="index_select")
    return getitem(input, (*before, index if index.ndim else reshape(index, shape=(1,))))


def flip(input: Tensor, dims: int | tuple[int, ...] | list[int]) -> Tensor:
    """Reverse the order of elements along dimensions, none for ``()``. A copy.

    Examples
    --------
    >>> from minicnn import tensor
    >>> flip(tensor([[1, 2], [3, 4]]), (1,)).tolist()
    [[2, 1], [4, 3]]
    """
    flipped = normal_dims(dims, input.ndim, "flip")
    steps = tuple(slice(None, None, -1 if d in flipped else None) for d in range(input.ndim))
    return clone(indexing.getitem(input, index=steps))


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """The tensor with ``value`` where the mask is true, in its dtype.

    Raises
    ------
    DTypeError
        If that dtype cannot hold the value, or the mask is not bool.

    Examples
    --------
    >>> from minicnn import tensor
    >>> masked_fill(tensor([1.0, 2.0]), tensor([True, False]), 0.0).tolist()
    [0.0, 2.0]
    """
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, NUMBERS):
        fits, number = _held(number, input.dtype)
    else:
        fits = common_dtype(value, input).kind == input.dtype.kind
        number = to(value if isinstance(value, Tensor) else Tensor(value), input.dtype)
    if not fits:
        raise DTypeError(expected=f"a value that fits {input.dtype}", got=describe(value), op="masked_fill")
    return where(mask, number, input)


def _held(number: float, dtype: np.dtype) -> tuple[bool, float]:
    """Whether the dtype can hold a number, and the number as one of its kind."""
    if dtype.kind == "f":
        return not np.isfinite(number) or abs(number) <= float(np.finfo(dtype).max), number
    if not np.isfinite(number) or number != int(number):
        return False, number
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return bool(low <= number <= high), bool(number) if dtype.kind == "b" else int(number)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask is true, in one dimension; tensor and mask broadcast.

    Raises
    ------
    DTypeError
        If the mask is not bool.

    Examples
    --------
    >>> from minicnn import tensor
    >>> masked_select(tensor([1.0, 2.0]), tensor([False, True])).tolist()
    [2.0]
    """
    if mask.dtype != np.bool_:
        raise DTypeError(
            expected="a mask of bools", got=str(mask.dtype), hint="use .bool()", op="masked_select"
        )
    size = broadcast_shape(input, mask)
    return getitem(broadcast_to(input, shape=size), broadcast_to(mask, shape=size))


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
    dim = normal_dim(dim, input.ndim, "argsort")
    array = input.cpu_array().reshape(input.shape or (1,))
    if descending:  # sorting backwards from the back keeps the order of equal elements
        order = array.shape[dim] - 1 - np.flip(np.argsort(np.flip(array, dim), dim, kind="stable"), dim)
    else:
        order = np.argsort(array, dim, kind="stable")
    return Tensor.wrap(move(np.array(order, order="C").reshape(input.shape), input.device))


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
    dim = normal_dim(dim, input.ndim, "topk")
    count, most = whole(k), (input.shape or (1,))[dim]
    if count is None or not 0 <= count <= most:
        raise OptionError(expected=f"k from 0 to {most}", got=repr(k), op="topk")
    order = argsort(input, dim, descending=largest)
    if input.ndim:
        order = indexing.getitem(order, index=(*(slice(None),) * dim, slice(count)))
    return ValuesAndIndices(gather(input, dim, order), order)
