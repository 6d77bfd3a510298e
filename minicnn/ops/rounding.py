"""Whole numbers nearby: floor, ceil, round, and the sign; without derivative."""

from __future__ import annotations

from minicnn.core.op import op
from minicnn.ops.rules import same_shape

__all__ = ["ceil", "floor", "round_", "sign"]


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
