"""Functions that rearrange, join and split tensors, with PyTorch's names and signatures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.core.device import device as Device
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError, ShapeError
from minicnn.ops import conversion, indexing, shape
from minicnn.ops.rules import normal_dim, normal_dims, whole
from minicnn.typing import Shape

__all__ = [
    "broadcast_to", "cat", "chunk", "concat", "flatten", "permute", "reshape", "split", "squeeze",
    "stack", "t", "tile", "to", "transpose", "unbind", "unsqueeze",
]  # fmt: skip


# -- shapes ----------------------------------------------------------------------------------


def reshape(input: Tensor, *shape_: Any) -> Tensor:
    """The same elements in another shape, given as a tuple or as numbers; one size may be -1.

    Raises
    ------
    ShapeError
        If the number of elements differs.

    Examples
    --------
    >>> from minicnn import zeros
    >>> reshape(zeros(2, 6), (3, -1)).shape, reshape(zeros(4), 2, 2).shape
    ((3, 4), (2, 2))
    """
    return shape.reshape.apply((input,), {"shape": sizes(shape_, "reshape")})[0]


def sizes(given: tuple[Any, ...], op: str) -> Shape:
    """The tuple of integers from ``((2, 3),)`` or ``(2, 3)``."""
    given = _listed(given)
    return given if _INTEGERS.issuperset(map(type, given)) else integers(given, "sizes", op)


def _listed(given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(given[0]) if len(given) == 1 and isinstance(given[0], (tuple, list)) else given


_INTEGERS = frozenset([int])


def integers(values: Sequence[Any], name: str, op: str) -> Shape:
    """Values as Python's integers.

    Raises
    ------
    ShapeError
        If one is none.
    """
    numbers = tuple(number for number in map(whole, values) if number is not None)
    if len(numbers) != len(values):
        raise ShapeError(expected=f"{name} that are integers", got=str(tuple(values)), op=op)
    return numbers


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Join the dimensions from ``start_dim`` to ``end_dim`` into one.

    Raises
    ------
    ShapeError
        If start_dim lies behind end_dim.

    Examples
    --------
    >>> from minicnn import zeros
    >>> flatten(zeros(2, 3, 4), 1).shape
    (2, 12)
    """
    start, end = (normal_dim(dim, input.ndim, "flatten") for dim in (start_dim, end_dim))
    if start > end:
        raise ShapeError(expected="start_dim <= end_dim", got=f"{start_dim} and {end_dim}", op="flatten")
    joined = math.prod(input.shape[start : end + 1])
    return shape.reshape(input, shape=(*input.shape[:start], joined, *input.shape[end + 1 :]))


def squeeze(input: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Drop dimensions of size 1: all, or those named (none for ``()``). A named one of another size stays.

    Examples
    --------
    >>> from minicnn import zeros
    >>> squeeze(zeros(1, 3, 1)).shape, squeeze(zeros(1, 3, 1), 0).shape
    ((3,), (3, 1))
    """
    dims = normal_dims(dim, input.ndim, "squeeze")
    return shape.reshape(input, shape=tuple(n for i, n in enumerate(input.shape) if n != 1 or i not in dims))


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Insert a dimension of size 1 at ``dim``.

    Examples
    --------
    >>> from minicnn import zeros
    >>> unsqueeze(zeros(2, 3), -1).shape
    (2, 3, 1)
    """
    place = normal_dim(dim, input.ndim + 1, "unsqueeze")
    return shape.reshape(input, shape=(*input.shape[:place], 1, *input.shape[place:]))


def permute(input: Tensor, *dims: Any) -> Tensor:
    """Reorder the dimensions, given as a tuple or as numbers.

    Examples
    --------
    >>> from minicnn import zeros
    >>> permute(zeros(2, 3, 4), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return shape.permute(input, dim=tuple(normal_dim(d, input.ndim, "permute") for d in _listed(dims)))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange two dimensions.

    Examples
    --------
    >>> from minicnn import zeros
    >>> transpose(zeros(2, 3, 4), 0, -1).shape
    (4, 3, 2)
    """
    order = list(range(input.ndim))
    first, second = (normal_dim(dim, input.ndim, "transpose") for dim in (dim0, dim1))
    if order:
        order[first], order[second] = second, first
    return shape.permute(input, dim=tuple(order))


def t(input: Tensor) -> Tensor:
    """Transpose a matrix; a tensor of fewer dimensions stays as it is.

    Examples
    --------
    >>> from minicnn import zeros
    >>> t(zeros(2, 3)).shape
    (3, 2)
    """
    if input.ndim > 2:
        raise ShapeError(
            expected="at most 2 dimensions", got=str(input.shape), op="t", hint="use transpose()"
        )
    return transpose(input, 0, -1)


def broadcast_to(input: Tensor, size: Shape) -> Tensor:
    """Stretch dimensions of size 1 to ``size``; -1 keeps a size. A view.

    Examples
    --------
    >>> from minicnn import tensor
    >>> broadcast_to(tensor([[1], [2]]), (-1, 2)).tolist()
    [[1, 1], [2, 2]]
    """
    size = integers(size, "sizes", "broadcast_to")
    own = (1,) * (len(size) - input.ndim) + input.shape
    kept = tuple(o if n == -1 else n for n, o in zip(size, own, strict=False))
    return shape.broadcast_to(input, shape=kept if len(own) == len(size) else tuple(size))


def tile(input: Tensor, dims: Shape) -> Tensor:
    """Copies of the tensor side by side, ``dims[i]`` times along dimension i, in own memory.

    Examples
    --------
    >>> from minicnn import tensor
    >>> tile(tensor([1, 2]), (2, 2)).tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    dims = integers(dims, "numbers of copies", "tile")
    if min(dims, default=0) < 0:
        raise ShapeError(expected="numbers of copies >= 0", got=str(dims), op="tile")
    times = (1,) * (input.ndim - len(dims)) + dims
    own = (1,) * (len(times) - input.ndim) + input.shape
    apart = reshape(input, [m for n in own for m in (1, n)])
    spread = shape.broadcast_to(apart, shape=tuple(m for pair in zip(times, own, strict=True) for m in pair))
    tiled = reshape(spread, [k * n for k, n in zip(times, own, strict=True)])
    return conversion.clone(tiled) if tiled._is_view else tiled


# -- joining and splitting -------------------------------------------------------------------


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along a dimension that they have.

    Raises
    ------
    ShapeError
        If there is none, or other sizes differ.

    Examples
    --------
    >>> from minicnn import zeros
    >>> cat([zeros(2, 3), zeros(1, 3)]).shape
    (3, 3)
    """
    if not tensors:
        raise ShapeError(expected="at least one tensor", got="none", op="cat")
    return shape.concatenate(*tensors, dim=normal_dim(dim, tensors[0].ndim, "cat"))


concat = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new dimension.

    Examples
    --------
    >>> from minicnn import zeros
    >>> stack([zeros(2, 3), zeros(2, 3)], dim=1).shape
    (2, 2, 3)
    """
    if len({x.shape for x in tensors}) > 1:
        raise ShapeError(expected="one shape", got=", ".join(str(x.shape) for x in tensors), op="stack")
    return cat([unsqueeze(x, dim) for x in tensors], dim)


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of a size each (the last may be smaller), or of the sizes listed. Views.

    Raises
    ------
    ShapeError
        If the sizes do not add up.

    Examples
    --------
    >>> from minicnn import arange
    >>> [part.tolist() for part in split(arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    dim, total = _divisible(tensor, dim, "split")
    if isinstance(split_size_or_sections, (tuple, list)):
        parts = list(integers(split_size_or_sections, "sizes", "split"))
    else:
        size = _at_least_1(split_size_or_sections, "a size", "split")
        parts = [min(size, total - start) for start in range(0, total, size)] or [0]
    if sum(parts) != total or min(parts, default=0) < 0:
        raise ShapeError(expected=f"sizes that add up to {total}", got=str(parts), op="split")
    ends = np.cumsum(parts).tolist()
    before = (slice(None),) * dim
    return tuple(
        indexing.getitem(tensor, index=(*before, slice(end - n, end)))
        for n, end in zip(parts, ends, strict=True)
    )


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` parts of one size, the last may be smaller. Views.

    Examples
    --------
    >>> from minicnn import arange
    >>> [part.tolist() for part in chunk(arange(5), 2)]
    [[0, 1, 2], [3, 4]]
    """
    count = _at_least_1(chunks, "chunks", "chunk")
    dim, total = _divisible(input, dim, "chunk")
    return split(input, max(-(-total // count), 1), dim)


def _divisible(x: Tensor, dim: int, op: str) -> tuple[int, int]:
    """A dimension counted from the front, and its size; a single number has none to divide."""
    if not x.ndim:
        raise ShapeError(expected="at least 1 dimension", got="()", op=op)
    dim = normal_dim(dim, x.ndim, op)
    return dim, x.shape[dim]


def _at_least_1(value: Any, name: str, op: str) -> int:
    number = whole(value)
    if number is None or number < 1:
        raise OptionError(expected=f"{name} >= 1", got=repr(value), op=op)
    return number


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along a dimension, without it. Views.

    Examples
    --------
    >>> from minicnn import tensor
    >>> [row.tolist() for row in unbind(tensor([[1, 2], [3, 4]]))]
    [[1, 2], [3, 4]]
    """
    dim, total = _divisible(input, dim, "unbind")
    before = (slice(None),) * dim
    return tuple(indexing.getitem(input, index=(*before, i)) for i in range(total))


# -- converting ------------------------------------------------------------------------------


def to(
    input: Tensor,
    *target: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
) -> Tensor:
    """The tensor in another dtype, on another device, or both; itself if nothing changes.

    Parameters
    ----------
    input : Tensor
    *target : dtype, device, str or Tensor
        A tensor stands for its dtype and its device.
    dtype, device :
        The same by name.
    non_blocking : bool
        Accepted for PyTorch's sake; transfers are always waited for.
    copy : bool
        Copy even if nothing changes.

    Notes
    -----
    Differentiable between floating point types; an integer result is outside the graph.

    Examples
    --------
    >>> from minicnn import tensor
    >>> to(tensor([1, 2]), np.float64)
    tensor([1., 2.], dtype=float64)
    """
    for wanted in target:
        if isinstance(wanted, Tensor):
            dtype, device = wanted.dtype, wanted.device
        elif isinstance(wanted, (np.dtype, type)):
            dtype = wanted
        else:
            device = wanted
    result = input
    if device is not None and not Device(device).holds(input.array):
        result = conversion.to_device(result, device=Device(device))
    if dtype is not None and np.dtype(dtype) != result.dtype:
        keeps_graph = np.dtype(dtype).kind == "f"
        return conversion.cast(result if keeps_graph else result.detach(), dtype=np.dtype(dtype))
    return conversion.clone(result) if copy and result is input else result
