"""Arithmetic element by element, with broadcasting: + - * /, powers, absolute values.

Operands are tensors, arrays or Python numbers. Shapes are aligned at the right and sizes of 1 are
stretched; the gradient of a stretched operand is the sum over its copies. Where dtypes differ,
floating point wins over integers and the wider type over the narrower.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.core.op import op
from minicnn.errors import DTypeError
from minicnn.ops.rules import (
    NUMBERS,
    align,
    as_float,
    broadcast_shape,
    common_dtype,
    float_dtype,
    infinite_slope,
    numeric_dtype,
    same_shape,
    to_form,
)

__all__ = ["abs_", "add", "div", "mul", "neg", "pow_", "sub"]


@op(shape=broadcast_shape, dtype=common_dtype)
def add(xp, x, y):
    """Sum:  z = x + y.

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)
        In the broadcast shape and the common dtype.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.

    Notes
    -----
    Saved: the operands' forms (shape and dtype), or None if alike.
    Oracle: minicnn.oracles.elementwise.add

    Examples
    --------
    >>> from minicnn import tensor
    >>> add(tensor([1.0, 2.0]), tensor([[10.0], [20.0]])).tolist()
    [[11.0, 12.0], [21.0, 22.0]]
    """
    x, y, forms = align(x, y)
    return x + y, forms


@add.backward
def add_backward(xp, gy, saved, needs):
    """dL/dx = dL/dz, dL/dy = dL/dz, each summed over broadcast copies."""
    if saved is None:
        return gy, gy
    return tuple(to_form(xp, gy, saved, i) if need else None for i, need in enumerate(needs))


@op(shape=broadcast_shape, dtype=numeric_dtype)
def sub(xp, x, y):
    """Difference:  z = x - y.

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Raises
    ------
    DTypeError
        If both are bools.

    Notes
    -----
    Saved: as in :func:`add`.
    Oracle: minicnn.oracles.elementwise.sub

    Examples
    --------
    >>> from minicnn import tensor
    >>> sub(1.0, tensor([1.0, 2.0])).tolist()
    [0.0, -1.0]
    """
    x, y, forms = align(x, y)
    return x - y, forms


@sub.backward
def sub_backward(xp, gy, saved, needs):
    """dL/dx = dL/dz, dL/dy = -dL/dz."""
    return (
        to_form(xp, gy, saved, 0) if needs[0] else None,
        to_form(xp, -gy, saved, 1) if needs[1] else None,
    )


@op(shape=broadcast_shape, dtype=common_dtype)
def mul(xp, x, y):
    """Product element by element:  z = x · y.

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Notes
    -----
    Saved: x, y in their common dtype, and their forms as in :func:`add`; None for what only the
    gradient of a number would need.
    Oracle: minicnn.oracles.elementwise.mul

    Examples
    --------
    >>> from minicnn import tensor
    >>> mul(tensor([1.0, 2.0]), 3).tolist()
    [3.0, 6.0]
    """
    x, y, forms = align(x, y)
    return x * y, (None if type(y) in NUMBERS else x, None if type(x) in NUMBERS else y, forms)


@mul.backward
def mul_backward(xp, gy, saved, needs):
    """dL/dx = dL/dz · y, dL/dy = dL/dz · x."""
    x, y, forms = saved
    return (
        to_form(xp, gy * y, forms, 0) if needs[0] else None,
        to_form(xp, gy * x, forms, 1) if needs[1] else None,
    )


@op(shape=broadcast_shape, dtype=float_dtype)
def div(xp, x, y):
    """Quotient:  z = x / y. Integers are divided as float32.

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Notes
    -----
    Division by zero gives ±inf or NaN, with NumPy's warning. Saved: x (None if y is
    a number), y in their common dtype, and their forms.
    Oracle: minicnn.oracles.elementwise.div

    Examples
    --------
    >>> from minicnn import tensor
    >>> div(tensor([1, 2]), 4).tolist()
    [0.25, 0.5]
    """
    x, y, forms = align(x, y)
    x, y = as_float(x), as_float(y)
    return x / y, (None if type(y) in NUMBERS else x, y, forms)


@div.backward
def div_backward(xp, gy, saved, needs):
    """dL/dx = dL/dz / y, dL/dy = -dL/dz · x / y²."""
    x, y, forms = saved
    gx = gy / y
    return (
        to_form(xp, gx, forms, 0) if needs[0] else None,
        to_form(xp, -gx * (x / y), forms, 1) if needs[1] else None,
    )


@op(shape=same_shape, dtype=numeric_dtype)
def neg(xp, x):
    """Negative:  y = -x, in x's shape and dtype.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    Saved: nothing.
    Oracle: minicnn.oracles.elementwise.neg

    Examples
    --------
    >>> from minicnn import tensor
    >>> neg(tensor([1.0, -2.0])).tolist()
    [-1.0, 2.0]
    """
    return -x, None


@neg.backward
def neg_backward(xp, gy, saved, needs):
    """dL/dx = -dL/dy."""
    return (-gy,)


def _power_dtype(x: Any, y: Any) -> np.dtype:
    dtype = numeric_dtype(x, y)
    if dtype.kind == "f" or not _has_negative(y):
        return dtype
    raise DTypeError("integers cannot be raised to negative powers", hint="use .float()")


def _has_negative(y: Any) -> bool:
    """Whether there is a negative number; of a meta array nobody knows."""
    return bool((y < 0).any()) if hasattr(y, "any") else not hasattr(y, "dtype") and y < 0


@op(shape=broadcast_shape, dtype=_power_dtype)
def pow_(xp, x, y):
    """Power:  z = x^y.

    Parameters
    ----------
    x, y : (...)
        Base and exponent: tensors, arrays or numbers whose shapes broadcast. A negative base with a
        fractional exponent gives NaN.

    Returns
    -------
    z : (...)

    Raises
    ------
    DTypeError
        If integers are raised to a negative number, or both are bools.

    Notes
    -----
    0^0 = 1. Derivatives at x = 0: dz/dx = 0 for y = 0 and ±inf for other y < 1; dz/dy = 0 for y ≥ 0.
    Where x < 0 there is no derivative by y: NaN. Saved: x, y in their common dtype, their
    forms.
    Oracle: minicnn.oracles.elementwise.pow_

    Examples
    --------
    >>> from minicnn import tensor
    >>> pow_(tensor([1.0, 2.0, 3.0]), 2).tolist()
    [1.0, 4.0, 9.0]
    """
    _power_dtype(x, y)
    x, y, forms = align(x, y)
    return x**y, (x, y, forms)


@pow_.backward
def pow_backward(xp, gy, saved, needs):
    """dL/dx = dL/dz · y · x^(y-1), dL/dy = dL/dz · x^y · ln x."""
    x, y, forms = saved
    gx = g_y = None
    if needs[0] and isinstance(y, (int, float)) and y >= 1:
        gx = gy * (y * x ** (y - 1))
    elif needs[0]:
        steep = (x == 0) & (y < 1)  # there 0^(y-1) would divide by zero
        flat = y == 0  # x^0 does not depend on x, whatever comes in
        slope = y * xp.where(steep | flat, 1, x) ** (y - 1)
        gy_x = xp.where(flat, 0, gy)
        gx = to_form(xp, xp.where(steep, infinite_slope(xp, gy_x * y), gy_x * slope), forms, 0)
    if needs[1]:
        x = xp.asarray(x, dtype=gy.dtype)
        log_x = xp.where(x > 0, xp.log(xp.where(x > 0, x, 1)), xp.where(x < 0, xp.nan, 0 * x))
        g_y = to_form(xp, gy * x**y * log_x, forms, 1)
    return gx, g_y


@op(shape=same_shape)
def abs_(xp, x):
    """Absolute value:  y = |x|, in x's shape and dtype.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    The derivative at 0 is 0. Saved: x.
    Oracle: minicnn.oracles.elementwise.abs_

    Examples
    --------
    >>> from minicnn import tensor
    >>> abs_(tensor([-1.5, 2.0])).tolist()
    [1.5, 2.0]
    """
    return xp.abs(x), (x,)


@abs_.backward
def abs_backward(xp, gy, saved, needs):
    """dL/dx = dL/dy · sign x."""
    (x,) = saved
    return (gy * xp.sign(x),)
