"""Choosing element by element, with broadcasting: where, maximum, minimum, clip."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.core.op import describe, op
from minicnn.errors import DTypeError
from minicnn.ops.rules import align, broadcast_shape, common_dtype, form, in_dtype, to_form
from minicnn.typing import Shape

__all__ = ["clip", "maximum", "minimum", "where"]


def _choice_dtype(condition: Any, x: Any, y: Any) -> Any:
    return common_dtype(x, y)


@op(dtype=_choice_dtype)
def where(xp, condition, x, y):
    """Choose element by element:  z = x where the condition holds, else y.

    Parameters
    ----------
    condition : (...) bool
    x, y : (...)
        Tensors, arrays or numbers; all three shapes broadcast.

    Returns
    -------
    z : (...)
        In the common dtype of x and y.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.
    DTypeError
        If the condition is not bool.

    Notes
    -----
    What is not chosen does not matter, NaN and infinity included. Saved: condition, and the forms
    of x and y.
    Oracle: minicnn.oracles.elementwise.where

    Examples
    --------
    >>> from minicnn import tensor
    >>> where(tensor([True, False]), tensor([1.0, 2.0]), 0.0).tolist()
    [1.0, 0.0]
    """
    if not hasattr(x, "dtype") and not hasattr(y, "dtype"):
        x = xp.asarray(x, dtype=common_dtype(x, y))
    forms = form(x), form(y)
    x, y, _ = align(x, y)
    return xp.where(condition, x, y), (condition, forms)


@where.shape
def where_shape(condition: Any, x: Any, y: Any) -> Shape:
    if getattr(condition, "dtype", None) != np.bool_ and type(condition) is not bool:
        raise DTypeError(
            expected="a condition (a mask) of bools", got=describe(condition), hint="use .bool()"
        )
    return broadcast_shape(condition, x, y)


@where.backward
def where_backward(xp, gy, saved, needs):
    """dL/dx = dL/dz where the condition holds, else 0; dL/dy the other way round."""
    condition, forms = saved
    return (
        None,
        to_form(xp, xp.where(condition, gy, 0), forms, 0) if needs[1] else None,
        to_form(xp, xp.where(condition, 0, gy), forms, 1) if needs[2] else None,
    )


@op(shape=broadcast_shape, dtype=common_dtype)
def maximum(xp, x, y):
    """The larger of two, element by element:  z = max(x, y).

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Notes
    -----
    NaN in either operand gives NaN. At a tie each operand gets half the gradient. Saved: x, y in
    their common dtype, and their forms.
    Oracle: minicnn.oracles.elementwise.maximum

    Examples
    --------
    >>> from minicnn import tensor
    >>> maximum(tensor([1.0, 5.0]), 3.0).tolist()
    [3.0, 5.0]
    """
    x, y, forms = align(x, y)
    return xp.maximum(x, y), (x, y, forms)


@maximum.backward
def maximum_backward(xp, gy, saved, needs):
    """dL/dx = dL/dz · (1 where x > y, 1/2 where x = y, else 0), and dL/dy likewise."""
    x, y, forms = saved
    tie = xp.where(x == y, gy / 2, gy)
    return (
        to_form(xp, xp.where(x < y, 0, tie), forms, 0) if needs[0] else None,
        to_form(xp, xp.where(x > y, 0, tie), forms, 1) if needs[1] else None,
    )


@op(shape=broadcast_shape, dtype=common_dtype)
def minimum(xp, x, y):
    """The smaller of two, element by element:  z = min(x, y).

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Notes
    -----
    As :func:`maximum`. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.minimum

    Examples
    --------
    >>> from minicnn import tensor
    >>> minimum(tensor([1.0, 5.0]), 3.0).tolist()
    [1.0, 3.0]
    """
    x, y, forms = align(x, y)
    return xp.minimum(x, y), (x, y, forms)


@minimum.backward
def minimum_backward(xp, gy, saved, needs):
    """dL/dx = dL/dz · (1 where x < y, 1/2 where x = y, else 0), and dL/dy likewise."""
    x, y, forms = saved
    tie = xp.where(x == y, gy / 2, gy)
    return (
        to_form(xp, xp.where(x > y, 0, tie), forms, 0) if needs[0] else None,
        to_form(xp, xp.where(x < y, 0, tie), forms, 1) if needs[1] else None,
    )


@op(shape=broadcast_shape, dtype=common_dtype)
def clip(xp, x, low=None, high=None):
    """Limit values to a range:  y = min(max(x, low), high).

    Parameters
    ----------
    x : (...)
    low, high : (...) or None
        The bounds, arrays or numbers; None leaves that side open. Where low > high, y is high.

    Returns
    -------
    y : (...)

    Notes
    -----
    Within the bounds and on them the derivative by x is 1; outside, that by the bound is 1. NaN stays NaN.
    Saved: x, low, high, and their forms.
    Oracle: minicnn.oracles.elementwise.clip

    Examples
    --------
    >>> from minicnn import tensor
    >>> clip(tensor([-1.0, 0.5, 2.0]), 0.0, 1.0).tolist()
    [0.0, 0.5, 1.0]
    """
    forms = form(x), form(low), form(high)
    dtype = common_dtype(x, low, high)
    x, low, high = (None if bound is None else in_dtype(bound, dtype) for bound in (x, low, high))
    y = x if low is None else xp.maximum(x, low)
    return (y if high is None else xp.minimum(y, high)), (x, low, high, forms)


@clip.backward
def clip_backward(xp, gy, saved, needs):
    """dL/dx = dL/dy where low ≤ x ≤ high, dL/dlow where x < low ≤ high, dL/dhigh elsewhere; else 0."""
    x, low, high, forms = saved
    nowhere = xp.zeros(gy.shape, bool)
    below = nowhere if low is None else x < low
    above = nowhere if high is None else (x > high) if low is None else (x > high) | (low > high)
    places = (~(below | above), below & ~above, above)[: len(needs)]
    return tuple(
        to_form(xp, xp.where(place, gy, 0), forms, i) if needs[i] else None for i, place in enumerate(places)
    )
