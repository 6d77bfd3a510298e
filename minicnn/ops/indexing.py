"""Indexing: taking a part of a tensor, and a copy with a part replaced."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.core.op import op
from minicnn.errors import DTypeError, ShapeError
from minicnn.ops.rules import form, shape_of, to_form
from minicnn.typing import Shape

__all__ = ["apart", "getitem", "pick", "setitem"]


def _indexed_shape(x: Any, *others: Any, index: Any) -> Shape:
    empty = np.broadcast_to(np.empty((), np.bool_), x.shape)  # the shape without the memory
    integers, rest = apart(index)
    return empty[integers][rest].shape


def apart(index: tuple[Any, ...]) -> tuple[Any, Any]:
    """An index as two to use one after the other: its integers, which make a view, and all else.

    Among arrays NumPy takes an integer for one of them and may move dimensions for it; PyTorch takes
    integers first, as it does without arrays.

    Examples
    --------
    >>> apart((slice(1), 0, [4]))
    (Ellipsis, (slice(None, 1, None), 0, [4]))
    >>> apart((slice(1), 0, np.array([4])))
    ((slice(None, None, None), 0, slice(None, None, None), Ellipsis), (slice(None, 1, None), array([4])))
    """
    if int not in map(type, index) or not any(hasattr(part, "dtype") for part in index):
        return ..., index
    integers: list[Any] = []
    for part in index:
        if type(part) is int or part is ...:
            integers.append(part)
        elif part is not None:
            integers += [slice(None)] * _dimensions(part)
    integers += [] if any(part is ... for part in index) else [...]
    return tuple(integers), tuple(part for part in index if type(part) is not int)


def _dimensions(part: Any) -> int:
    """How many dimensions a slice or an index array stands for."""
    return part.ndim if getattr(part, "dtype", None) == np.bool_ else 1


@op(view=True, shape=_indexed_shape)
def getitem(xp, x, *, index):
    """A part of a tensor:  y = x[index].

    Parameters
    ----------
    x : (...)
    index : tuple
        For each dimension an integer or a slice (negative steps too); further ``None`` for a new dimension
        and ``...``. Arrays are for :func:`pick`.

    Returns
    -------
    y : (...)
        A view.

    Raises
    ------
    IndexError
        If an index is out of range.

    Notes
    -----
    Saved: x's shape.
    Oracle: minicnn.oracles.shape.getitem

    Examples
    --------
    >>> from minicnn import tensor
    >>> getitem(tensor([[1, 2], [3, 4]]), index=(slice(None, None, -1), 0)).tolist()
    [3, 1]
    """
    whole = index if ... in index else (*index, ...)  # without it, NumPy copies a single element
    return x[whole], (x.shape,)


@getitem.backward
def getitem_backward(xp, gy, saved, needs, *, index):
    """dL/dx = dL/dy at the indexed places, else 0."""
    (shape,) = saved
    gx = xp.zeros(shape, gy.dtype)
    gx[index] = gy
    return (gx,)


@op(shape=_indexed_shape)
def pick(xp, x, *, index):
    """Elements picked by index arrays:  y = x[index], a copy.

    Parameters
    ----------
    x : (...)
    index : tuple
        As for :func:`getitem`, with at least one array: of integers, or a bool mask (which stands for as
        many dimensions as it has).

    Returns
    -------
    y : (...)

    Raises
    ------
    ShapeError
        If index arrays do not broadcast, or a mask does not fit.
    IndexError
        If an index is out of range.

    Notes
    -----
    Saved: x's shape.
    Oracle: minicnn.oracles.shape.getitem

    Examples
    --------
    >>> from minicnn import tensor
    >>> pick(tensor([1, 2, 3]), index=(np.array([2, 0, 2]),)).tolist()
    [3, 1, 3]
    """
    integers, rest = apart(index)
    return x[integers][rest], (x.shape,)


@pick.backward
def pick_backward(xp, gy, saved, needs, *, index):
    """dL/dx = dL/dy at the picked places, summed where an element was taken repeatedly; else 0."""
    (shape,) = saved
    gx = xp.zeros(shape, gy.dtype)
    integers, rest = apart(index)
    if any(part.dtype != np.bool_ for part in index if hasattr(part, "dtype")):
        xp.add.at(gx[integers], rest, gy)
    else:  # a mask takes nothing twice
        gx[integers][rest] = gy
    return (gx,)


@op
def setitem(xp, x, value, *, index):
    """A copy of x with a part replaced:  y = x, y[index] = value.

    Parameters
    ----------
    x : (...)
    value : (...)
        A tensor, array or number that broadcasts to ``x[index]``; further dimensions of size 1 in front do
        not matter.
    index : tuple
        As for :func:`getitem` or :func:`pick`. If it names an element repeatedly, which value stays is not
        defined.

    Returns
    -------
    y : (...)
        In x's shape and dtype.

    Raises
    ------
    ShapeError
        If the value does not broadcast to the part.
    DTypeError
        If it is floating point and x is not: its fractions and its gradient would be lost.

    Notes
    -----
    Saved: the form of the value.
    Oracle: minicnn.oracles.shape.setitem

    Examples
    --------
    >>> from minicnn import tensor
    >>> setitem(tensor([1, 2, 3]), 9, index=(1,)).tolist()
    [1, 9, 3]
    """
    y = x.copy()
    integers, rest = apart(index)
    y[integers][rest] = without_leading_ones(value)
    return y, (form(value),)


def without_leading_ones(value: Any) -> Any:
    """The value without dimensions of size 1 in front: NumPy takes them only where there is a dimension."""
    while shape_of(value)[:1] == (1,):
        value = value[0]
    return value


@setitem.shape
def setitem_shape(x: Any, value: Any, *, index: Any) -> Shape:
    if hasattr(value, "dtype") and value.dtype.kind == "f" and x.dtype.kind != "f":
        raise DTypeError(
            expected=f"a value that fits {x.dtype}",
            got=str(value.dtype),
            hint="use .to(dtype) on one",
        )
    part, given = _indexed_shape(x, index=index), shape_of(value)
    aligned = zip(reversed((1,) * len(given) + part), reversed(given), strict=False)
    if any(own not in (1, n) for n, own in aligned):
        raise ShapeError(expected=f"a value that broadcasts to the part of shape {part}", got=str(given))
    return x.shape


@setitem.backward
def setitem_backward(xp, gy, saved, needs, *, index):
    """dL/dx = dL/dy, but 0 at the replaced places; dL/dvalue = dL/dy there."""
    (value_form,) = saved
    integers, rest = apart(index)
    gx = None
    if needs[0]:
        gx = gy.copy()
        gx[integers][rest] = 0
    if not needs[1]:
        return gx, None
    shape, _ = value_form
    g = gy[integers][rest]
    g = g[(None,) * (len(shape) - g.ndim)]  # the value may have more dimensions, all of size 1
    return gx, to_form(xp, g, (value_form, None), 0)
