"""Reductions over dimensions: sum, mean, variance, norm, all, any.

``dim`` is here a sorted tuple of the dimensions to reduce, counted from the front
(:func:`minicnn.ops.rules.normal_dims` makes it); the public functions take PyTorch's forms.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.core.op import op
from minicnn.ops.rules import bool_dtype, reduce_shape, require_float, total
from minicnn.typing import Array, ArrayModule, Shape

__all__ = ["all_", "any_", "mean", "norm", "std", "sum_", "var"]


def _sum_dtype(x: Any, **attrs: Any) -> np.dtype:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.int64)


def _float_reduce_shape(x: Any, *, dim: Shape, keepdim: bool, **attrs: Any) -> Shape:
    require_float(x)
    return reduce_shape(x, dim=dim, keepdim=keepdim)


def _count(shape: Shape, dim: Shape) -> int:
    return math.prod(shape[d] for d in dim)


def _spread(xp: ArrayModule, g: Array, shape: Shape, dim: Shape) -> Array:
    """A reduced array stretched to ``shape`` again, as a view."""
    return xp.broadcast_to(g.reshape([1 if i in dim else n for i, n in enumerate(shape)]), shape)


@op(shape=reduce_shape, dtype=_sum_dtype)
def sum_(xp, x, *, dim, keepdim=False):
    """Sum over dimensions:  y = Σ x.

    Parameters
    ----------
    x : (...)
        Integers and bools are summed as int64.
    dim : tuple of int
        The dimensions to sum over, sorted, counted from the front.
    keepdim : bool
        Keep them with size 1.

    Returns
    -------
    y : (...)
        0 where there is nothing to sum.

    Notes
    -----
    The rounding error grows with log n only (:func:`minicnn.ops.rules.total`). Saved: x's shape.
    Oracle: minicnn.oracles.reduction.sum_

    Examples
    --------
    >>> from minicnn import tensor
    >>> sum_(tensor([[1.0, 2.0], [3.0, 4.0]]), dim=(0,)).tolist()
    [4.0, 6.0]
    """
    if x.dtype.kind == "f":
        return total(xp, x, dim, keepdim), (x.shape,)
    return xp.sum(x, axis=dim, keepdims=keepdim, dtype=np.int64), (x.shape,)


@sum_.backward
def sum_backward(xp, gy, saved, needs, *, dim, keepdim):
    """dL/dx = dL/dy, the same for all that was summed."""
    (shape,) = saved
    return (_spread(xp, gy, shape, dim),)


@op
def mean(xp, x, *, dim, keepdim=False):
    """Mean over dimensions:  y = (1/n) Σ x.

    Parameters
    ----------
    x : (...) floating point
    dim, keepdim :
        As in :func:`sum_`.

    Returns
    -------
    y : (...)
        NaN where there is nothing to average.

    Raises
    ------
    DTypeError
        For integers and bools.

    Notes
    -----
    Saved: x's shape.
    Oracle: minicnn.oracles.reduction.mean

    Examples
    --------
    >>> from minicnn import tensor
    >>> mean(tensor([[1.0, 2.0], [3.0, 4.0]]), dim=(0, 1)).item()
    2.5
    """
    return average(xp, x, dim, keepdim), (x.shape,)


mean.shape(_float_reduce_shape)


@mean.backward
def mean_backward(xp, gy, saved, needs, *, dim, keepdim):
    """dL/dx = dL/dy / n."""
    (shape,) = saved
    return (_spread(xp, gy / max(_count(shape, dim), 1), shape, dim),)


def average(xp: ArrayModule, x: Array, dim: Shape, keepdim: bool = False) -> Array:
    """The mean of an array over dimensions, without losing digits; NaN where there is nothing to average."""
    if x.dtype.itemsize == 2:  # the sum may be too large for float16 where the mean is not
        return average(xp, x.astype(xp.float32), dim, keepdim).astype(x.dtype)
    return _divide(total(xp, x, dim, keepdim), _count(x.shape, dim))


def _divide(amount: Array, count: float) -> Array:
    """``amount / count``; NaN, without a warning, where there is nothing to divide by."""
    return amount / count if count > 0 else amount * math.nan


@op
def var(xp, x, *, dim, correction=1, keepdim=False):
    """Variance over dimensions:  y = Σ (x - mean)² / (n - correction).

    Parameters
    ----------
    x : (...) floating point
    dim, keepdim :
        As in :func:`sum_`.
    correction : float
        1 for the unbiased estimate, 0 for the variance of the values themselves.

    Returns
    -------
    y : (...)
        NaN where n ≤ correction.

    Raises
    ------
    DTypeError
        For integers and bools.

    Notes
    -----
    Computed in two passes, never as E[x²] - E[x]², which cancels where the mean is large. Saved: x,
    mean (with kept dimensions).
    Oracle: minicnn.oracles.reduction.var

    Examples
    --------
    >>> from minicnn import tensor
    >>> var(tensor([1.0, 2.0, 3.0]), dim=(0,)).item()
    1.0
    """
    m = _centre(xp, x, dim)
    return _variance(xp, x - m, dim, correction, keepdim), (x, m)


var.shape(_float_reduce_shape)


@var.backward
def var_backward(xp, gy, saved, needs, *, dim, correction, keepdim):
    """dL/dx = dL/dy · 2 (x - mean) / (n - correction)."""
    x, m = saved
    scale = _divide(2 * gy, _count(x.shape, dim) - correction)
    return (_spread(xp, scale, x.shape, dim) * (x - m),)


def _centre(xp: ArrayModule, x: Array, dim: Shape) -> Array:
    """The mean, corrected by the mean of what is left: equal numbers then have a variance of exactly 0."""
    m = average(xp, x, dim, True)
    return m + average(xp, x - m, dim, True)


def _variance(xp: ArrayModule, centred: Array, dim: Shape, correction: float, keepdim: bool) -> Array:
    if centred.dtype.itemsize == 2:  # the squares may be too large for float16 where their mean is not
        wide = _variance(xp, centred.astype(xp.float32), dim, correction, keepdim)
        return wide.astype(centred.dtype)
    squares = total(xp, centred * centred, dim, keepdim)
    return _divide(squares, _count(centred.shape, dim) - correction)


@op
def std(xp, x, *, dim, correction=1, keepdim=False):
    """Standard deviation over dimensions:  y = √var(x).

    Parameters
    ----------
    x : (...)
    dim, correction, keepdim :
        As in :func:`var`.

    Returns
    -------
    y : (...)

    Notes
    -----
    Where the values are all equal the gradient is 0. Saved: x, mean (with kept dimensions), y.
    Oracle: minicnn.oracles.reduction.std

    Examples
    --------
    >>> from minicnn import tensor
    >>> std(tensor([1.0, 2.0, 3.0]), dim=(0,)).item()
    1.0
    """
    m = _centre(xp, x, dim)
    y = xp.sqrt(_variance(xp, x - m, dim, correction, keepdim))
    return y, (x, m, y)


std.shape(_float_reduce_shape)


@std.backward
def std_backward(xp, gy, saved, needs, *, dim, correction, keepdim):
    """dL/dx = dL/dy · (x - mean) / ((n - correction) · y), and 0 where y = 0."""
    x, m, y = saved
    scale = _divide(_over(xp, gy, y), _count(x.shape, dim) - correction)
    return (_spread(xp, scale, x.shape, dim) * (x - m),)


def _over(xp: ArrayModule, g: Array, y: Array) -> Array:
    """``g / y``, and 0 where y = 0."""
    zero = y == 0
    return xp.where(zero, 0, g / xp.where(zero, 1, y))


@op
def norm(xp, x, *, dim, p=2.0, keepdim=False):
    """Norm over dimensions:  y = (Σ |x|^p)^(1/p), Euclidean for p = 2.

    Parameters
    ----------
    x : (...) floating point
    dim, keepdim :
        As in :func:`sum_`.
    p : float
        At least 0 and finite. For 0 it is the number of elements that are not 0.

    Returns
    -------
    y : (...)

    Raises
    ------
    DTypeError
        For integers and bools.

    Notes
    -----
    Powers are summed in float64, so that float32 neither overflows nor underflows. The gradient is 0
    where x = 0, whatever p, and everywhere for p = 0. Saved: x, y.
    Oracle: minicnn.oracles.reduction.norm

    Examples
    --------
    >>> from minicnn import tensor
    >>> norm(tensor([3.0, 4.0]), dim=(0,)).item()
    5.0
    """
    size = xp.abs(x).astype(np.float64, copy=False)
    powers = size**p if p else (size != 0).astype(np.float64)
    total_power = xp.sum(powers, axis=dim, keepdims=keepdim)
    y = (total_power ** (1 / p) if p else total_power).astype(x.dtype)
    return y, (x, y)


norm.shape(_float_reduce_shape)


@norm.backward
def norm_backward(xp, gy, saved, needs, *, dim, p, keepdim):
    """dL/dx = dL/dy · sign(x) · (|x| / y)^(p-1), and 0 where x = 0 or y = 0."""
    x, y = saved
    if p == 0:
        return (xp.zeros_like(x),)
    ratio = xp.abs(_over(xp, x, _spread(xp, y, x.shape, dim)))
    zero = ratio == 0
    slope = xp.where(zero, 0, xp.where(zero, 1, ratio) ** (p - 1))
    return (_spread(xp, gy, x.shape, dim) * xp.sign(x) * slope,)


@op(shape=reduce_shape, dtype=bool_dtype)
def all_(xp, x, *, dim, keepdim=False):
    """Conjunction over dimensions:  y = (all x ≠ 0); true where there are none.

    Parameters
    ----------
    x : (...)
    dim, keepdim :
        As in :func:`minicnn.ops.reduction.sum_`.

    Returns
    -------
    y : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.reduction.all_

    Examples
    --------
    >>> from minicnn import tensor
    >>> all_(tensor([True, False]), dim=(0,)).item()
    False
    """
    return xp.all(x, axis=dim, keepdims=keepdim), None


@op(shape=reduce_shape, dtype=bool_dtype)
def any_(xp, x, *, dim, keepdim=False):
    """Disjunction over dimensions:  y = (any x ≠ 0); false where there are none.

    Parameters
    ----------
    x : (...)
    dim, keepdim :
        As in :func:`minicnn.ops.reduction.sum_`.

    Returns
    -------
    y : (...)

    Notes
    -----
    No derivative. Saved: nothing.
    Oracle: minicnn.oracles.reduction.any_

    Examples
    --------
    >>> from minicnn import tensor
    >>> any_(tensor([True, False]), dim=(0,)).item()
    True
    """
    return xp.any(x, axis=dim, keepdims=keepdim), None
