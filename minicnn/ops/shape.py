"""Rearranging: reshape, permute, broadcast, pad, concatenate."""

from __future__ import annotations

import math
from typing import Any

from minicnn.core.op import op
from minicnn.errors import ShapeError
from minicnn.ops.rules import common_dtype, form, normal_dim, unbroadcast
from minicnn.typing import Array, Shape

__all__ = ["broadcast_to", "concatenate", "pad", "permute", "reshape"]


def reshape_shape(x: Any, *, shape: Shape) -> Shape:
    count = math.prod(x.shape)
    known = math.prod(n for n in shape if n != -1)
    unknown = shape.count(-1)
    fits = count == known if not unknown else unknown == 1 and known > 0 and count % known == 0
    if not fits or min(shape, default=0) < -1:
        raise ShapeError(expected=f"a shape for the {count} elements of {x.shape}", got=str(shape))
    return tuple(count // known if n == -1 else n for n in shape)


@op(view=True, shape=reshape_shape)
def reshape(xp, x, *, shape):
    """The same elements in row-major order, in another shape:  x.shape -> shape.

    Parameters
    ----------
    x : (...)
    shape : tuple of int
        With the same number of elements; one size may be -1, it is then computed.

    Returns
    -------
    y : shape
        Shares x's memory where the order of x's elements in memory allows it.

    Raises
    ------
    ShapeError
        If the number of elements differs.

    Notes
    -----
    Saved: x's shape.
    Oracle: minicnn.oracles.shape.reshape

    Examples
    --------
    >>> from minicnn import tensor
    >>> reshape(tensor([1, 2, 3, 4]), shape=(2, -1)).tolist()
    [[1, 2], [3, 4]]
    """
    if shape and min(shape) < -1:  # NumPy takes any negative size for -1
        raise ValueError("a negative size")
    return x.reshape(shape), (x.shape,)


@reshape.backward(view=True)
def reshape_backward(xp, gy, saved, needs, *, shape):
    """dL/dx = dL/dy in x's shape."""
    (x_shape,) = saved
    return (gy.reshape(x_shape),)


def permute_shape(x: Any, *, dim: Shape) -> Shape:
    if sorted(dim) != list(range(x.ndim)):
        raise ShapeError(expected=f"each of the dimensions 0 to {x.ndim - 1} once", got=str(dim))
    return tuple(x.shape[d] for d in dim)


@op(view=True, shape=permute_shape)
def permute(xp, x, *, dim):
    """Reorder dimensions:  y.shape[i] = x.shape[dim[i]].

    Parameters
    ----------
    x : (...)
    dim : tuple of int
        Each of x's dimensions once, counted from the front.

    Returns
    -------
    y : (x.shape[dim[0]], x.shape[dim[1]], ...)
        A view.

    Raises
    ------
    ShapeError
        If ``dim`` is not such a reordering.

    Notes
    -----
    Saved: nothing.
    Oracle: minicnn.oracles.shape.permute

    Examples
    --------
    >>> from minicnn import zeros
    >>> permute(zeros(2, 3, 4), dim=(2, 0, 1)).shape
    (4, 2, 3)
    """
    return x.transpose(dim), None


@permute.backward(view=True)
def permute_backward(xp, gy, saved, needs, *, dim):
    """dL/dx = dL/dy in the old order."""
    return (gy.transpose([dim.index(i) for i in range(len(dim))]),)


@op(view=True)
def broadcast_to(xp, x, *, shape):
    """Stretch dimensions of size 1, and add dimensions in front:  x.shape -> shape.

    Parameters
    ----------
    x : (...)
    shape : tuple of int

    Returns
    -------
    y : shape
        A view; its elements share memory.

    Raises
    ------
    ShapeError
        If x's shape does not broadcast to ``shape``.

    Notes
    -----
    Saved: x's shape.
    Oracle: minicnn.oracles.shape.broadcast_to

    Examples
    --------
    >>> from minicnn import tensor
    >>> broadcast_to(tensor([1, 2]), shape=(2, 2)).tolist()
    [[1, 2], [1, 2]]
    """
    return xp.broadcast_to(x, shape), (x.shape,)


@broadcast_to.shape
def broadcast_to_shape(x: Any, *, shape: Shape) -> Shape:
    aligned = zip(reversed(x.shape), reversed(shape), strict=False)
    if x.ndim > len(shape) or min(shape, default=0) < 0 or any(old not in (1, new) for old, new in aligned):
        raise ShapeError(expected=f"a shape that {x.shape} broadcasts to", got=str(shape))
    return tuple(shape)


@broadcast_to.backward
def broadcast_to_backward(xp, gy, saved, needs, *, shape):
    """dL/dx = dL/dy summed over the copies."""
    (x_shape,) = saved
    return (unbroadcast(xp, gy, x_shape),)


@op
def pad(xp, x, *, padding, value=0.0):
    """Add a border of a constant value, or cut one off:  y[i] = x[i - before], else ``value``.

    Parameters
    ----------
    x : (...)
    padding : tuple of (before, after)
        Elements to add before and after, for each dimension; negative numbers cut off.
    value : float
        What the border holds.

    Returns
    -------
    y : (n + before + after, ...)

    Raises
    ------
    ShapeError
        If there is not one pair for each dimension, or more is cut off than there is.

    Notes
    -----
    Saved: x's shape.
    Oracle: minicnn.oracles.shape.pad

    Examples
    --------
    >>> from minicnn import tensor
    >>> pad(tensor([1.0, 2.0]), padding=((1, 2),)).tolist()
    [0.0, 1.0, 2.0, 0.0, 0.0]
    """
    y = xp.full(pad_shape(x, padding=padding), value, x.dtype)
    source, target = _pad_places(x.shape, padding)
    y[target] = x[source]
    return y, (x.shape,)


@pad.shape
def pad_shape(x: Any, *, padding: tuple[tuple[int, int], ...], value: float = 0.0) -> Shape:
    if len(padding) != x.ndim:
        raise ShapeError(expected=f"a pair of paddings for each of {x.ndim} dimensions", got=str(padding))
    shape = tuple(n + before + after for n, (before, after) in zip(x.shape, padding, strict=True))
    if min(shape, default=0) < 0:
        raise ShapeError(expected=f"no more cut off than {x.shape} has", got=f"padding {padding}")
    return shape


@pad.backward
def pad_backward(xp, gy, saved, needs, *, padding, value):
    """dL/dx = dL/dy without the border; 0 for what was cut off."""
    (shape,) = saved
    source, target = _pad_places(shape, padding)
    if min(map(min, padding), default=0) >= 0:
        return (gy[target],)
    gx = xp.zeros(shape, gy.dtype)
    gx[source] = gy[target]
    return (gx,)


def _pad_places(
    shape: Shape, padding: tuple[tuple[int, int], ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Which part of x is kept, and where it lies in the result."""
    source, target = [], []
    for n, (before, after) in zip(shape, padding, strict=True):
        start = max(-before, 0)
        stop = max(n - max(-after, 0), start)
        source.append(slice(start, stop))
        target.append(slice(max(before, 0), max(before, 0) + stop - start))
    return tuple(source), tuple(target)


@op(dtype=common_dtype)
def concatenate(xp, *xs, dim=0):
    """Join tensors along a dimension:  y = [x_1, x_2, ...].

    Parameters
    ----------
    *xs : (..., n_i, ...)
        At least one; all sizes but those of ``dim`` agree.
    dim : int
        The dimension to join, counted from the front.

    Returns
    -------
    y : (..., Σ n_i, ...)
        In the operands' common dtype.

    Raises
    ------
    ShapeError
        If other sizes differ.

    Notes
    -----
    Saved: the operands' forms.
    Oracle: minicnn.oracles.shape.concatenate

    Examples
    --------
    >>> from minicnn import tensor
    >>> concatenate(tensor([1, 2]), tensor([3])).tolist()
    [1, 2, 3]
    """
    dtype = common_dtype(*xs)
    y = xp.concatenate([x.astype(dtype, copy=False) for x in xs], axis=dim)
    return y, tuple(form(x) for x in xs)


@concatenate.shape
def concatenate_shape(*xs: Any, dim: int = 0) -> Shape:
    first = xs[0].shape
    if dim < 0:
        raise ShapeError(expected="a dimension counted from the front", got=repr(dim))
    dim = normal_dim(dim, len(first))
    rest = first[:dim] + first[dim + 1 :]
    for x in xs:
        if x.ndim != len(first) or not first or x.shape[:dim] + x.shape[dim + 1 :] != rest:
            raise ShapeError(
                expected=f"shapes that agree in all but dimension {dim}",
                got=", ".join(str(x.shape) for x in xs),
            )
    return (*first[:dim], sum(x.shape[dim] for x in xs), *first[dim + 1 :])


@concatenate.backward
def concatenate_backward(xp, gy, saved, needs, *, dim):
    """dL/dx_i = the part of dL/dy that x_i became."""
    gradients: list[Array | None] = []
    start = 0
    for (shape, dtype), need in zip(saved, needs, strict=True):
        part = (slice(None),) * dim + (slice(start, start + shape[dim]),)
        gradients.append(gy[part].astype(dtype, copy=False) if need else None)
        start += shape[dim]
    return tuple(gradients)
