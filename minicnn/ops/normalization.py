"""Normalization: subtract a mean, divide by a standard deviation, scale and shift.

They differ only in what the mean is taken over: a channel of the whole batch, a sample, or a group
of channels of a sample. All share :func:`standardize` and its gradient.
"""

from __future__ import annotations

from math import prod
from typing import Any

from minicnn.core.op import op
from minicnn.errors import OptionError, ShapeError
from minicnn.ops.rules import require_dtype_of, require_float, total, whole
from minicnn.ops.special import wide, widened
from minicnn.typing import Array, ArrayModule, Shape

__all__ = ["batch_norm", "batch_norm_inference", "group_norm", "layer_norm"]


# -- what all share --------------------------------------------------------------------------


def standardize(xp: ArrayModule, x: Array, axes: Shape, eps: float) -> tuple[Array, Array, Array]:
    """x̂ = (x - mean) / √(var + eps) over ``axes``, with the mean and the variance (divisor n).

    Two passes, sums in float64: E[x²] - E[x]² would lose all digits of a variance small against
    the mean. The moments keep the reduced dimensions with size 1. All is float32 for float16, which
    cannot hold the square of 300.
    """
    x = wide(xp, x)
    if x.size == 0:
        nothing = xp.zeros(tuple(1 if i in axes else n for i, n in enumerate(x.shape)), x.dtype)
        return x, nothing, nothing
    mean = xp.mean(x, axis=axes, keepdims=True, dtype=xp.float64).astype(x.dtype)
    centred = x - mean
    var = xp.mean(centred * centred, axis=axes, keepdims=True, dtype=xp.float64).astype(x.dtype)
    return centred / xp.sqrt(var + eps), mean, var


def standardize_backward(xp: ArrayModule, g: Array, y: Array, var: Array, axes: Shape, eps: float) -> Array:
    """dL/dx = (g - mean(g) - x̂ · mean(g · x̂)) / √(var + eps)  with g = dL/dx̂, means over ``axes``."""
    count = max(g.size // max(var.size, 1), 1)
    mean_g = total(xp, g, axes, keepdims=True) / count
    mean_gy = total(xp, g * y, axes, keepdims=True) / count
    return (g - mean_g - y * mean_gy) / xp.sqrt(var + eps)


def _scale_shift(y: Array, w: Array | None, b: Array | None, shape: Shape) -> Array:
    """y · w + b, with w and b brought to ``shape``."""
    if w is not None:
        y = y * w.reshape(shape)
    return y if b is None else y + b.reshape(shape)


def _scale_shift_backward(
    xp: ArrayModule, gy: Array, y: Array, needs: tuple[bool, ...], axes: Shape, shape: Shape
) -> tuple[Array | None, Array | None]:
    """dL/dw = Σ dL/dy · x̂ and dL/db = Σ dL/dy, over ``axes``."""
    _, needs_w, needs_b = (*needs, False, False)[:3]
    gw = total(xp, gy * y, axes).reshape(shape) if needs_w else None
    gb = total(xp, gy, axes).reshape(shape) if needs_b else None
    return gw, gb


def _over_channels(x: Array) -> tuple[Shape, Shape]:
    """All dimensions but 1, and the shape that lines up (C,) with x."""
    return (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)


def _check(x: Any, expected: Shape, w: Any, b: Any, **vectors: Any) -> None:
    """Refuse integers, vectors that do not have ``expected`` shape, and parameters of another type."""
    require_float(x)
    vectors = {**vectors, "weight": w, "bias": b}
    for name, vector in vectors.items():
        if vector is not None and tuple(vector.shape) != expected:
            raise ShapeError(
                expected=f"{name} of shape {expected} for input of shape {tuple(x.shape)}",
                got=str(tuple(vector.shape)),
            )
    require_dtype_of(x, weight=w, bias=b)


def _check_eps(eps: float) -> None:
    if not eps >= 0:
        raise OptionError(expected="eps of at least 0", got=str(eps))


def _channels(x: Any) -> int:
    if x.ndim < 2:
        raise ShapeError(expected="input of shape (N, C, ...)", got=str(tuple(x.shape)))
    return x.shape[1]


# -- over the batch --------------------------------------------------------------------------


@op
def batch_norm(xp, x, w=None, b=None, *, eps=1e-5):
    """Normalize each channel over the batch (what training uses).

        y = w[c] · (x - mean[c]) / √(var[c] + eps) + b[c]

    with the mean and the variance (divisor n) of channel c over all other dimensions.

    Parameters
    ----------
    x : (N, C, ...) floating point
    w, b : (C,) or None
    eps : float
        Keeps a channel of constant values finite.

    Returns
    -------
    y : as x

    Raises
    ------
    ShapeError : if a channel has only one value: its variance says nothing, its result would be b
    OptionError : if eps is not above 0
    DTypeError : if x is not floating point, or w or b not of its type

    Notes
    -----
    Saved: x, mean, var (both (C,)), w.  An empty batch gives an empty result.
    Oracle: minicnn.oracles.normalization.batch_norm

    References
    ----------
    Ioffe & Szegedy, "Batch normalization", ICML 2015.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> y = batch_norm(Tensor([[1.0], [2.0], [3.0]]))
    >>> [round(v, 3) for (v,) in y.tolist()]
    [-1.225, 0.0, 1.225]
    """
    axes, shape = _over_channels(x)
    y, mean, var = standardize(xp, x, axes, eps)
    y = _scale_shift(y, w, b, shape).astype(x.dtype, copy=False)
    return y, (x, mean.reshape(-1), var.reshape(-1), w)


@batch_norm.shape
def batch_norm_shape(x, w=None, b=None, *, eps):
    """The shape of x; refuses a single value per channel."""
    if not eps > 0:
        raise OptionError(expected="eps above 0 when training", got=str(eps))
    channels = _channels(x)
    _check(x, (channels,), w, b)
    if prod(x.shape) == channels:
        raise ShapeError(
            expected="more than 1 value per channel when training",
            got=f"input of shape {tuple(x.shape)}",
            hint="use a larger batch (DataLoader(drop_last=True)), or model.eval()",
        )
    return x.shape


@batch_norm.backward
@widened
def batch_norm_backward(xp, gy, saved, needs, *, eps):
    """Gradients through the batch statistics, with x̂ the normalized x and n values per channel.

    dL/dx = w / √(var + eps) · (dL/dy - Σ dL/dy / n - x̂ · Σ (dL/dy · x̂) / n)
    dL/dw = Σ dL/dy · x̂,   dL/db = Σ dL/dy
    """
    x, mean, var, w = saved
    axes, shape = _over_channels(x)
    var = var.reshape(shape)
    y = (x - mean.reshape(shape)) / xp.sqrt(var + eps)
    gx = _scale_shift(standardize_backward(xp, gy, y, var, axes, eps), w, None, shape) if needs[0] else None
    return (gx, *_scale_shift_backward(xp, gy, y, needs, axes, mean.shape))[: len(needs)]


@op
def batch_norm_inference(xp, x, mean, var, w=None, b=None, *, eps=1e-5):
    """Normalize each channel with given statistics (what evaluation uses).

        y = w[c] · (x - mean[c]) / √(var[c] + eps) + b[c]

    Parameters
    ----------
    x : (N, C, ...) floating point
    mean, var : (C,)
        Running statistics; they get no gradient.
    w, b : (C,) or None
    eps : float

    Returns
    -------
    y : as x

    Raises
    ------
    ShapeError : if a vector does not have one number per channel
    OptionError : if eps is below 0
    DTypeError : if x is not floating point, or w or b not of its type

    Notes
    -----
    Saved: x, mean, var (own copies, for training updates the originals in place), w.
    Oracle: minicnn.oracles.normalization.batch_norm_inference

    References
    ----------
    Ioffe & Szegedy, "Batch normalization", ICML 2015, algorithm 2.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> batch_norm_inference(Tensor([[1.0], [5.0]]), Tensor([3.0]), Tensor([4.0]), eps=0.0).tolist()
    [[-1.0], [1.0]]
    """
    _, shape = _over_channels(x)
    values = wide(xp, x)
    mean, var = (xp.array(moment, dtype=values.dtype) for moment in (mean, var))
    y = (values - mean.reshape(shape)) / xp.sqrt(var.reshape(shape) + eps)
    y = _scale_shift(y, w, b, shape).astype(x.dtype, copy=False)
    return y, (x, mean, var, w)


@batch_norm_inference.shape
def batch_norm_inference_shape(x, mean, var, w=None, b=None, *, eps):
    """The shape of x."""
    _check_eps(eps)
    _check(x, (_channels(x),), w, b, running_mean=mean, running_var=var)
    return x.shape


@batch_norm_inference.backward
@widened
def batch_norm_inference_backward(xp, gy, saved, needs, *, eps):
    """dL/dx = w / √(var + eps) · dL/dy,  dL/dw = Σ dL/dy · x̂,  dL/db = Σ dL/dy."""
    x, mean, var, w = saved
    axes, shape = _over_channels(x)
    deviation = xp.sqrt(var.reshape(shape) + eps)
    gx = _scale_shift(gy, w, None, shape) / deviation if needs[0] else None
    y = (x - mean.reshape(shape)) / deviation
    gw, gb = _scale_shift_backward(xp, gy, y, (needs[0], *needs[3:]), axes, mean.shape)
    return (gx, None, None, gw, gb)[: len(needs)]


# -- within a sample -------------------------------------------------------------------------


@op
def layer_norm(xp, x, w=None, b=None, *, normalized_shape, eps=1e-5):
    """Normalize each sample over its last dimensions.

        y = w · (x - mean) / √(var + eps) + b

    with mean and variance (divisor n) over the dimensions that ``normalized_shape`` names.

    Parameters
    ----------
    x : (..., *normalized_shape) floating point
    w, b : normalized_shape, or None
    normalized_shape : tuple of int
        Sizes of the last dimensions.
    eps : float

    Returns
    -------
    y : as x

    Raises
    ------
    ShapeError : if x does not end in normalized_shape
    OptionError : if eps is below 0
    DTypeError : if x is not floating point, or w or b not of its type

    Notes
    -----
    Saved: x, mean, var (both of shape ``...``), w.  Oracle: minicnn.oracles.normalization.layer_norm

    References
    ----------
    Ba, Kiros & Hinton, "Layer normalization", arXiv:1607.06450, 2016.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> y = layer_norm(Tensor([[1.0, 2.0, 3.0]]), normalized_shape=(3,))
    >>> [round(v, 3) for v in y.tolist()[0]]
    [-1.225, 0.0, 1.225]
    """
    kept = x.ndim - len(normalized_shape)
    y, mean, var = standardize(xp, x, tuple(range(kept, x.ndim)), eps)
    outer = x.shape[:kept]
    y = _scale_shift(y, w, b, normalized_shape).astype(x.dtype, copy=False)
    return y, (x, mean.reshape(outer), var.reshape(outer), w)


@layer_norm.shape
def layer_norm_shape(x, w=None, b=None, *, normalized_shape, eps):
    """The shape of x."""
    kept = x.ndim - len(normalized_shape)
    if kept < 0 or not normalized_shape or tuple(x.shape[kept:]) != tuple(normalized_shape):
        sizes = ", ".join(map(str, normalized_shape))
        raise ShapeError(expected=f"input of shape (..., {sizes})", got=str(tuple(x.shape)))
    _check_eps(eps)
    _check(x, tuple(normalized_shape), w, b)
    return x.shape


@layer_norm.backward
@widened
def layer_norm_backward(xp, gy, saved, needs, *, normalized_shape, eps):
    """As for ``batch_norm``; dL/dw and dL/db sum over the dimensions before the normalized ones."""
    x, mean, var, w = saved
    kept, ones = mean.ndim, (1,) * len(normalized_shape)
    var = var.reshape(*mean.shape, *ones)
    y = (x - mean.reshape(*mean.shape, *ones)) / xp.sqrt(var + eps)
    gx = None
    if needs[0]:
        g = _scale_shift(gy, w, None, normalized_shape)
        gx = standardize_backward(xp, g, y, var, tuple(range(kept, x.ndim)), eps)
    outer = tuple(range(kept))
    return (gx, *_scale_shift_backward(xp, gy, y, needs, outer, normalized_shape))[: len(needs)]


@op
def group_norm(xp, x, w=None, b=None, *, num_groups, eps=1e-5):
    """Normalize each group of channels of each sample.

        y = w[c] · (x - mean[n, g]) / √(var[n, g] + eps) + b[c],   g = ⌊c · num_groups / C⌋

    One group is layer normalization with parameters per channel; C groups are instance normalization.

    Parameters
    ----------
    x : (N, C, ...) floating point
    w, b : (C,) or None
    num_groups : int
        Divides C.
    eps : float

    Returns
    -------
    y : as x

    Raises
    ------
    ShapeError : if num_groups does not divide C
    OptionError : if num_groups is below 1, or eps below 0
    DTypeError : if x is not floating point, or w or b not of its type

    Notes
    -----
    Saved: x, mean, var (both (N, num_groups)), w.  Oracle: minicnn.oracles.normalization.group_norm

    References
    ----------
    Wu & He, "Group normalization", ECCV 2018.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> group_norm(Tensor([[1.0, 3.0, 10.0, 30.0]]), num_groups=2, eps=0.0).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    _, shape = _over_channels(x)
    y, mean, var = standardize(xp, _grouped(x, num_groups), (2,), eps)
    y = _scale_shift(y.reshape(x.shape), w, b, shape).astype(x.dtype, copy=False)
    return y, (x, mean[:, :, 0], var[:, :, 0], w)


def _grouped(x: Array, num_groups: int) -> Array:
    """As (N, num_groups, values of a group)."""
    return x.reshape(x.shape[0], num_groups, x.size // max(x.shape[0] * num_groups, 1))


@group_norm.shape
def group_norm_shape(x, w=None, b=None, *, num_groups, eps):
    """The shape of x; refuses groups that do not divide the channels."""
    _check_eps(eps)
    if (whole(num_groups) or 0) < 1:
        raise OptionError(expected="num_groups = an integer of at least 1", got=repr(num_groups))
    channels = _channels(x)
    if channels % num_groups:
        raise ShapeError(expected=f"a number of channels that {num_groups} groups divide", got=str(channels))
    _check(x, (channels,), w, b)
    return x.shape


@group_norm.backward
@widened
def group_norm_backward(xp, gy, saved, needs, *, num_groups, eps):
    """As for ``batch_norm`` with the statistics of a group; dL/dw and dL/db sum per channel."""
    x, mean, var, w = saved
    axes, shape = _over_channels(x)
    var = var[:, :, None]
    y = (_grouped(x, num_groups) - mean[:, :, None]) / xp.sqrt(var + eps)
    gx = None
    if needs[0]:
        g = _grouped(_scale_shift(gy, w, None, shape), num_groups)
        gx = standardize_backward(xp, g, y, var, (2,), eps).reshape(x.shape)
    return (gx, *_scale_shift_backward(xp, gy, y.reshape(x.shape), needs, axes, x.shape[1:2]))[: len(needs)]
