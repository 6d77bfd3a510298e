"""Softmax, which turns scores into probabilities, and its logarithm; the cross-entropy is built on it."""

from __future__ import annotations

from typing import Any

from minicnn.core.op import op
from minicnn.errors import ShapeError
from minicnn.ops.rules import require_float, total
from minicnn.ops.special import wide, widened
from minicnn.typing import Array, ArrayModule, Shape

__all__ = ["log_softmax", "softmax"]


@op
def softmax(xp, x, *, dim):
    """Probabilities from scores (logits):  y_i = exp(x_i) / Σ_j exp(x_j)  along ``dim``   (F3).

    Parameters
    ----------
    x : any shape, floating point
    dim : int
        The dimension of the classes, counted from the front.

    Returns
    -------
    y : as x, in [0, 1], of sum 1 along ``dim``

    Raises
    ------
    DTypeError : if x is not floating point
    ShapeError : if there is no such dimension

    Notes
    -----
    The largest score is subtracted first, so nothing overflows; -∞ gives 0. Where the largest
    is infinite or NaN, the result is NaN, as in PyTorch.
    Saved: y.  Oracle: minicnn.oracles.activation.softmax

    References
    ----------
    Bridle, "Training stochastic model recognition algorithms", NIPS 1989.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> softmax(Tensor([[1e4, 1e4, -1e4]]), dim=1).tolist()
    [[0.5, 0.5, 0.0]]
    """
    if x.size == 0:
        return x, (x,)
    axis = _axis(x, dim)
    e = xp.exp(below_maximum(xp, wide(xp, x), axis))
    y = (e / total(xp, e, axis, keepdims=True)).astype(x.dtype, copy=False)
    return y, (y,)


def _softmax_shape(x: Any, *, dim: int) -> Shape:
    """The shape of x; refuses a dimension that does not exist."""
    require_float(x)
    last = max(x.ndim, 1) - 1
    if not 0 <= dim <= last:
        raise ShapeError(expected=f"dim from 0 to {last} for shape {tuple(x.shape)}", got=str(dim))
    return x.shape


def _axis(x: Any, dim: int) -> Shape:
    """The dimension as NumPy's axes; none for a single number, which has, as in PyTorch, a dimension 0."""
    return (dim,) if x.ndim else ()


softmax.shape(_softmax_shape)


@softmax.backward
@widened
def softmax_backward(xp, gy, saved, needs, *, dim):
    """dL/dx_i = y_i · (dL/dy_i - Σ_j dL/dy_j · y_j)."""
    (y,) = saved
    return (y * (gy - total(xp, gy * y, _axis(y, dim), keepdims=True)),)


@op
def log_softmax(xp, x, *, dim):
    """Logarithm of the softmax:  y_i = x_i - log Σ_j exp(x_j)  along ``dim``.

    Parameters
    ----------
    x : any shape, floating point
    dim : int
        The dimension of the classes, counted from the front.

    Returns
    -------
    y : as x, at most 0

    Raises
    ------
    DTypeError : if x is not floating point
    ShapeError : if there is no such dimension

    Notes
    -----
    Exact where log(softmax(x)) would be log(0). Infinities and NaN as in ``softmax``.
    Saved: y.  Oracle: minicnn.oracles.activation.log_softmax

    Examples
    --------
    >>> from minicnn import Tensor
    >>> log_softmax(Tensor([[1e4, 0.0]]), dim=1).tolist()
    [[0.0, -10000.0]]
    """
    y = log_probabilities(xp, x, _axis(x, dim)).astype(x.dtype, copy=False)
    return y, (y,)


log_softmax.shape(_softmax_shape)


@log_softmax.backward
@widened
def log_softmax_backward(xp, gy, saved, needs, *, dim):
    """dL/dx_i = dL/dy_i - exp(y_i) · Σ_j dL/dy_j."""
    (y,) = saved
    return (gy - xp.exp(y) * total(xp, gy, _axis(y, dim), keepdims=True),)


def log_probabilities(xp: ArrayModule, x: Array, axis: int | Shape) -> Array:
    """The logarithm of the softmax of an array, also used by the cross-entropy; of float16 in float32."""
    x = wide(xp, x)
    if x.size == 0:
        return x
    shifted = below_maximum(xp, x, axis)
    shifted = xp.where(shifted == -_largest(xp, x), -xp.inf, shifted)
    return shifted - xp.log(total(xp, xp.exp(shifted), axis, keepdims=True))


def below_maximum(xp: ArrayModule, x: Array, axis: int | Shape) -> Array:
    """x - max(x) along ``axis``: at most 0, and NaN where the maximum is not finite.

    Differences beyond the range of the type, also those of -∞, become its lowest number: no warnings.
    """
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.nan)
    half = 0.5 * x - 0.5 * top  # the difference itself may overflow
    return 2 * xp.maximum(half, -0.5 * _largest(xp, x))


def _largest(xp: ArrayModule, x: Array) -> float:
    return float(xp.finfo(x.dtype).max)
