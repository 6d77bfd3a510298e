"""Indexing: taking a part of a tensor, and a copy with a part replaced."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.core.op import op
from minicnn.ops.rules import form, same_shape, to_form
from minicnn.typing import Shape

__all__ = ["getitem", "setitem"]


def _indexed_shape(x: Any, *others: Any, index: Any) -> Shape:
    empty = np.broadcast_to(np.empty((), np.bool_), x.shape)  # the shape without the memory
    return empty[index].shape


def _may_repeat(index: tuple[Any, ...]) -> bool:
    """Whether an element can be taken more than once: only arrays of integers can do that."""
    return any(getattr(i, "dtype", np.dtype(np.bool_)).kind != "b" for i in index)


@op(view=True, shape=_indexed_shape)
def getitem(xp, x, *, index):
    """A part of a tensor:  y = x[index].

    Parameters
    ----------
    x : (...)
    index : tuple
        For each dimension an integer, a slice (negative steps too), an array of integers, or a bool
        mask (which stands for as many dimensions as it has); further ``None`` for a new dimension and
        ``...``.

    Returns
    -------
    y : (...)
        A view where there are only integers and slices.

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
    >>> getitem(tensor([[1, 2], [3, 4]]), index=(slice(None, None, -1), 0)).tolist()
    [3, 1]
    """
    return x[index], (x.shape,)


@getitem.backward
def getitem_backward(xp, gy, saved, needs, *, index):
    """dL/dx = dL/dy at the indexed places, summed where an element was taken repeatedly; else 0."""
    (shape,) = saved
    gx = xp.zeros(shape, gy.dtype)
    if _may_repeat(index):
        xp.add.at(gx, index, gy)
    else:
        gx[index] = gy
    return (gx,)


@op(shape=same_shape)
def setitem(xp, x, value, *, index):
    """A copy of x with a part replaced:  y = x, y[index] = value.

    Parameters
    ----------
    x : (...)
    value : (...)
        A tensor, array or number that broadcasts to ``x[index]``.
    index : tuple
        As for :func:`getitem`. If it names an element repeatedly, which value stays is not defined.

    Returns
    -------
    y : (...)
        In x's shape and dtype.

    Notes
    -----
    Saved: the form of the value, and the shape of the replaced part.
    Oracle: minicnn.oracles.shape.setitem

    Examples
    --------
    >>> from minicnn import tensor
    >>> setitem(tensor([1, 2, 3]), 9, index=(1,)).tolist()
    [1, 9, 3]
    """
    y = x.copy()
    y[index] = value
    return y, (form(value),)


@setitem.backward
def setitem_backward(xp, gy, saved, needs, *, index):
    """dL/dx = dL/dy, but 0 at the replaced places; dL/dvalue = dL/dy there."""
    (value_form,) = saved
    gx = None
    if needs[0]:
        gx = gy.copy()
        gx[index] = 0
    return gx, to_form(xp, gy[index], (value_form, None), 0) if needs[1] else None
