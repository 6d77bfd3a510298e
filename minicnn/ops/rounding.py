"""Whole numbers nearby: floor, ceil, round, and the sign, without derivative; and what a division leaves."""

from __future__ import annotations

from minicnn.core.op import op
from minicnn.ops.rules import align, broadcast_shape, numeric_dtype, same_shape, to_form

__all__ = ["ceil", "floor", "floor_divide", "remainder", "round_", "sign"]


@op(shape=same_shape)
def sign(xp, x):
    """Sign:  y = -1, 0 or 1, in x's dtype.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.sign

    Examples
    --------
    >>> from minicnn import tensor
    >>> sign(tensor([-2.5, 0.0, 3.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return (xp.sign(x) if x.dtype.kind != "b" else x.copy()), None


@op(shape=same_shape)
def floor(xp, x):
    """The largest whole number below:  y = ⌊x⌋ ≤ x, in x's dtype.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.floor

    Examples
    --------
    >>> from minicnn import tensor
    >>> floor(tensor([-1.5, 1.5])).tolist()
    [-2.0, 1.0]
    """
    return (xp.floor(x) if x.dtype.kind == "f" else x.copy()), None


@op(shape=same_shape)
def ceil(xp, x):
    """The smallest whole number above:  x ≤ y = ⌈x⌉, in x's dtype.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.ceil

    Examples
    --------
    >>> from minicnn import tensor
    >>> ceil(tensor([-1.5, 1.5])).tolist()
    [-1.0, 2.0]
    """
    return (xp.ceil(x) if x.dtype.kind == "f" else x.copy()), None


@op(shape=same_shape)
def round_(xp, x):
    """The nearest whole number, of two the even one:  |y - x| ≤ 1/2, in x's dtype.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.round_

    Examples
    --------
    >>> from minicnn import tensor
    >>> round_(tensor([0.5, 1.5, 1.4])).tolist()
    [0.0, 2.0, 1.0]
    """
    return (xp.rint(x) if x.dtype.kind == "f" else x.copy()), None


@op(shape=broadcast_shape, dtype=numeric_dtype)
def floor_divide(xp, x, y):
    """Quotient, rounded down:  z = ⌊x / y⌋, in the common dtype.

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
    No derivative. Division by zero gives ±inf or NaN, of integers 0, with NumPy's warning. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.floor_divide

    Examples
    --------
    >>> from minicnn import tensor
    >>> floor_divide(tensor([-7, 7]), 2).tolist()
    [-4, 3]
    """
    numeric_dtype(x, y)  # NumPy divides bools as int8
    x, y, _ = align(x, y)
    return x // y, None


@op(shape=broadcast_shape, dtype=numeric_dtype)
def remainder(xp, x, y):
    """What a division rounded down leaves:  z = x - y ⌊x / y⌋, of y's sign, in the common dtype.

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
    The derivative at a jump is that beside it. Division by zero gives NaN, of integers 0, with NumPy's
    warning.
    Saved: x, y in their common dtype, and their forms.
    Oracle: minicnn.oracles.elementwise.remainder

    Examples
    --------
    >>> from minicnn import tensor
    >>> remainder(tensor([-7, 7]), 3).tolist()
    [2, 1]
    """
    numeric_dtype(x, y)  # NumPy divides bools as int8
    x, y, forms = align(x, y)
    return x % y, (x, y, forms)


@remainder.backward
def remainder_backward(xp, gy, saved, needs):
    """dL/dx = dL/dz, dL/dy = -dL/dz · ⌊x / y⌋."""
    x, y, forms = saved
    return (
        to_form(xp, gy, forms, 0) if needs[0] else None,
        to_form(xp, -gy * (x // y), forms, 1) if needs[1] else None,
    )
