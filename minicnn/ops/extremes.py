"""Extremes over dimensions, and where they are: amax, amin, argmax, argmin.

``dim`` is as in :mod:`minicnn.ops.reduction`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minicnn.core.op import op
from minicnn.errors import ShapeError
from minicnn.ops.rules import index_dtype, reduce_shape
from minicnn.typing import Array, ArrayModule, Shape

__all__ = ["amax", "amin", "argmax", "argmin"]


def _extreme_shape(x: Any, *, dim: Shape, keepdim: bool) -> Shape:
    """As :func:`minicnn.ops.rules.reduce_shape`; refuses to choose from nothing."""
    if not all(x.shape[d] for d in dim):
        raise ShapeError(expected="at least one element to choose from", got=f"shape {x.shape}, dim {dim}")
    return reduce_shape(x, dim=dim, keepdim=keepdim)


@op
def amax(xp, x, *, dim, keepdim=False):
    """Largest element over dimensions:  y = max x.

    Parameters
    ----------
    x : (...)
    dim, keepdim :
        As in :func:`minicnn.ops.reduction.sum_`.

    Returns
    -------
    y : (...)

    Raises
    ------
    ShapeError
        If there is nothing to choose from.

    Notes
    -----
    NaN wins over everything. Of equal elements the first in row-major order gets the gradient.
    Saved: x's shape, and the index of the chosen element among those reduced, in y's shape.
    Oracle: minicnn.oracles.reduction.amax

    Examples
    --------
    >>> from minicnn import tensor
    >>> amax(tensor([[1.0, 4.0], [3.0, 2.0]]), dim=(1,)).tolist()
    [4.0, 3.0]
    """
    return _extreme(xp, xp.argmax, x, dim, keepdim)


amax.shape(_extreme_shape)


@amax.backward
def amax_backward(xp, gy, saved, needs, *, dim, keepdim):
    """dL/dx = dL/dy at the chosen element, else 0."""
    shape, index = saved
    rows = math.prod(n for i, n in enumerate(shape) if i not in dim)
    chosen = xp.zeros((rows, math.prod(shape[d] for d in dim)), gy.dtype)
    chosen[xp.arange(rows), index.reshape(-1)] = gy.reshape(-1)
    return (_from_rows(xp, chosen, shape, dim),)


@op
def amin(xp, x, *, dim, keepdim=False):
    """Smallest element over dimensions:  y = min x.

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
    As :func:`amax`. Saved: nothing.
    Oracle: minicnn.oracles.reduction.amin

    Examples
    --------
    >>> from minicnn import tensor
    >>> amin(tensor([[1.0, 4.0], [3.0, 2.0]]), dim=(1,)).tolist()
    [1.0, 2.0]
    """
    return _extreme(xp, xp.argmin, x, dim, keepdim)


amin.shape(_extreme_shape)


@amin.backward
def amin_backward(xp, gy, saved, needs, *, dim, keepdim):
    """dL/dx = dL/dy at the chosen element, else 0."""
    return amax_backward(xp, gy, saved, needs, dim=dim, keepdim=keepdim)


def _extreme(
    xp: ArrayModule, choose: Callable[..., Array], x: Array, dim: Shape, keepdim: bool
) -> tuple[Array, Any]:
    rows = _as_rows(xp, x, dim)
    index = choose(rows, axis=1)
    shape = reduce_shape(x, dim=dim, keepdim=keepdim)
    y = rows[xp.arange(len(rows)), index]
    return y.reshape(shape), (x.shape, index.reshape(shape))


def _as_rows(xp: ArrayModule, x: Array, dim: Shape) -> Array:
    """(kept, reduced): one row per result, its elements in row-major order."""
    kept = [i for i in range(x.ndim) if i not in dim]
    rows = math.prod(x.shape[i] for i in kept)
    return xp.transpose(x, (*kept, *dim)).reshape(rows, math.prod(x.shape[d] for d in dim))


def _from_rows(xp: ArrayModule, rows: Array, shape: Shape, dim: Shape) -> Array:
    """The reverse of :func:`_as_rows`."""
    order = [*(i for i in range(len(shape)) if i not in dim), *dim]
    return xp.transpose(rows.reshape([shape[i] for i in order]), [order.index(i) for i in range(len(shape))])


@op(dtype=index_dtype)
def argmax(xp, x, *, dim, keepdim=False):
    """Index of the largest element over dimensions, the first of equal ones:  y = argmax x.

    Parameters
    ----------
    x : (...)
    dim, keepdim :
        As in :func:`minicnn.ops.reduction.sum_`. Over several dimensions the index counts in row-major order.

    Returns
    -------
    y : (...) int64

    Notes
    -----
    A NaN counts as largest. No derivative. Saved: nothing.
    Oracle: minicnn.oracles.reduction.argmax

    Examples
    --------
    >>> from minicnn import tensor
    >>> argmax(tensor([[1.0, 4.0], [3.0, 2.0]]), dim=(1,)).tolist()
    [1, 0]
    """
    index = xp.argmax(_as_rows(xp, x, dim), axis=1)
    return index.reshape(reduce_shape(x, dim=dim, keepdim=keepdim)), None


argmax.shape(_extreme_shape)


@op(dtype=index_dtype)
def argmin(xp, x, *, dim, keepdim=False):
    """Index of the smallest element over dimensions, the first of equal ones:  y = argmin x.

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
    As :func:`argmax`; a NaN counts as smallest. Saved: nothing.
    Oracle: minicnn.oracles.reduction.argmin

    Examples
    --------
    >>> from minicnn import tensor
    >>> argmin(tensor([[1.0, 4.0], [3.0, 2.0]]), dim=(1,)).tolist()
    [0, 1]
    """
    index = xp.argmin(_as_rows(xp, x, dim), axis=1)
    return index.reshape(reduce_shape(x, dim=dim, keepdim=keepdim)), None


argmin.shape(_extreme_shape)
