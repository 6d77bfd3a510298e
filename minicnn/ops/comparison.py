"""Comparing element by element, with broadcasting: == < and so on. Results are bool, without derivative."""

from __future__ import annotations

from minicnn.core.op import op
from minicnn.ops.rules import bool_dtype, broadcast_shape, same_shape

__all__ = [
    "eq", "ge", "gt", "isfinite", "isnan", "le", "logical_and", "logical_not", "logical_or", "lt", "ne",
]  # fmt: skip


@op(shape=broadcast_shape, dtype=bool_dtype)
def eq(xp, x, y):
    """Comparison:  z = (x = y). NaN equals nothing.

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.eq

    Examples
    --------
    >>> from minicnn import tensor
    >>> eq(tensor([1, 2, 3]), 2).tolist()
    [False, True, False]
    """
    return x == y, None


@op(shape=broadcast_shape, dtype=bool_dtype)
def ne(xp, x, y):
    """Comparison:  z = (x ≠ y).

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.ne

    Examples
    --------
    >>> from minicnn import tensor
    >>> ne(tensor([1, 2, 3]), 2).tolist()
    [True, False, True]
    """
    return x != y, None


@op(shape=broadcast_shape, dtype=bool_dtype)
def lt(xp, x, y):
    """Comparison:  z = (x < y); False where either is NaN.

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.lt

    Examples
    --------
    >>> from minicnn import tensor
    >>> lt(tensor([1, 2, 3]), 2).tolist()
    [True, False, False]
    """
    return x < y, None


@op(shape=broadcast_shape, dtype=bool_dtype)
def le(xp, x, y):
    """Comparison:  z = (x ≤ y); False where either is NaN.

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.le

    Examples
    --------
    >>> from minicnn import tensor
    >>> le(tensor([1, 2, 3]), 2).tolist()
    [True, True, False]
    """
    return x <= y, None


@op(shape=broadcast_shape, dtype=bool_dtype)
def gt(xp, x, y):
    """Comparison:  z = (x > y); False where either is NaN.

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.gt

    Examples
    --------
    >>> from minicnn import tensor
    >>> gt(tensor([1, 2, 3]), 2).tolist()
    [False, False, True]
    """
    return x > y, None


@op(shape=broadcast_shape, dtype=bool_dtype)
def ge(xp, x, y):
    """Comparison:  z = (x ≥ y); False where either is NaN.

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.ge

    Examples
    --------
    >>> from minicnn import tensor
    >>> ge(tensor([1, 2, 3]), 2).tolist()
    [False, True, True]
    """
    return x >= y, None


@op(shape=broadcast_shape, dtype=bool_dtype)
def logical_and(xp, x, y):
    """Conjunction:  z = (x and y), where every number but 0 counts as true.

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.logical_and

    Examples
    --------
    >>> from minicnn import tensor
    >>> logical_and(tensor([True, True, False]), tensor([True, False, False])).tolist()
    [True, False, False]
    """
    return xp.logical_and(x, y), None


@op(shape=broadcast_shape, dtype=bool_dtype)
def logical_or(xp, x, y):
    """Disjunction:  z = (x or y), where every number but 0 counts as true.

    Parameters
    ----------
    x, y : (...)
        Tensors, arrays or numbers whose shapes broadcast.

    Returns
    -------
    z : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.logical_or

    Examples
    --------
    >>> from minicnn import tensor
    >>> logical_or(tensor([True, True, False]), tensor([True, False, False])).tolist()
    [True, True, False]
    """
    return xp.logical_or(x, y), None


@op(shape=same_shape, dtype=bool_dtype)
def logical_not(xp, x):
    """Negation:  y = (x = 0), true where x is false or 0.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.logical_not

    Examples
    --------
    >>> from minicnn import tensor
    >>> logical_not(tensor([True, False])).tolist()
    [False, True]
    """
    return xp.logical_not(x), None


@op(shape=same_shape, dtype=bool_dtype)
def isnan(xp, x):
    """Test:  y = (x is NaN).

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.isnan

    Examples
    --------
    >>> from minicnn import tensor
    >>> isnan(tensor([1.0, float("nan")])).tolist()
    [False, True]
    """
    return xp.isnan(x), None


@op(shape=same_shape, dtype=bool_dtype)
def isfinite(xp, x):
    """Test:  y = (x is neither NaN nor infinite).

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.elementwise.isfinite

    Examples
    --------
    >>> from minicnn import tensor
    >>> isfinite(tensor([1.0, float("inf")])).tolist()
    [True, False]
    """
    return xp.isfinite(x), None
