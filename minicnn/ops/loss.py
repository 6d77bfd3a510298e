"""Losses that compare scores with classes. Those that compare numbers are in ``distance.py``."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.core.op import op
from minicnn.errors import DTypeError, LabelError, OptionError, ShapeError
from minicnn.ops.distance import binary_cross_entropy_with_logits, huber_loss, kl_div, l1_loss, mse_loss
from minicnn.ops.probability import log_probabilities
from minicnn.ops.reducing import check_pair, check_reduction, reduce_loss, reduction_factor
from minicnn.ops.rules import require_dtype_of, require_float, total
from minicnn.ops.special import wide, widened
from minicnn.typing import Array, ArrayModule, Shape

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "soft_cross_entropy",
]


# -- classes as indices ----------------------------------------------------------------------


@op
def cross_entropy(xp, x, target, w=None, *, reduction="mean", ignore_index=-100, label_smoothing=0.0):
    """Cross-entropy between the softmax of scores and class labels (F4).

        loss[n] = -Σ_c q[n,c] · log p[n,c],   p = softmax(x),
        q[n,c] = w[t] · (1 - s) · 1[c = t] + w[c] · s / C,   t = target[n],  s = label_smoothing
        mean = Σ_n loss[n] / Σ_n w[target[n]]

    Without weights and smoothing: loss[n] = -log p[n, t], and mean = Σ loss / N.

    Parameters
    ----------
    x : (N, C), (N, C, d1, ...) or (C,)
        Scores (logits), not probabilities.
    target : (N,), (N, d1, ...) or ()
        Class indices from 0 to C - 1, of any integer type.
    w : (C,) or None
        Weight of each class; it gets no gradient.
    reduction : "none", "mean" or "sum"
    ignore_index : int
        Positions with this label count neither in the sum nor in the mean.
    label_smoothing : float
        In [0, 1]: the share of the target that is spread evenly over all classes.

    Returns
    -------
    loss : scalar, or as target for "none"

    Raises
    ------
    LabelError : if a label lies outside 0 … C - 1; the text names its index, its value and the range
    ShapeError : if the shapes do not fit each other
    DTypeError : if x is not floating point or target is not integer
    OptionError : if reduction or label_smoothing is not allowed

    Notes
    -----
    If every position is ignored or of weight 0, the mean is NaN (0 / 0) as in PyTorch, and the gradient 0.
    Saved: p, target, w, Σ_n w[target[n]].  Oracle: minicnn.oracles.loss.cross_entropy

    References
    ----------
    Article §3.4; label smoothing: Szegedy et al., "Rethinking the Inception architecture", CVPR 2016.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> loss = cross_entropy(Tensor([[0.0, 0.0], [0.0, 50.0]]), Tensor([0, 1]), reduction="none")
    >>> [round(v, 4) for v in loss.tolist()]
    [0.6931, 0.0]
    """
    axis = _class_dim(x)
    logp = log_probabilities(xp, x, axis)
    labels, weights = _labels(xp, target, w, ignore_index, logp.dtype)
    losses = _picked(xp, logp, labels, weights, axis)
    if label_smoothing:
        spread = xp.where(target != ignore_index, -_class_sum(xp, logp, w, axis), 0)
        own = (1 - label_smoothing) * losses if label_smoothing < 1 else 0  # 0 · ∞ is NaN
        losses = own + _each_share(label_smoothing, x.shape[axis]) * spread
    amount = _sum(xp, weights)
    loss = _weighted_mean(xp, losses, amount, reduction).astype(x.dtype, copy=False)
    return loss, (xp.exp(logp), target, w, amount)


@cross_entropy.shape
def cross_entropy_shape(x, target, w=None, *, reduction, ignore_index, label_smoothing):
    """The shape of the loss; refuses labels out of range."""
    _check_smoothing(label_smoothing)
    return _check_labels(x, target, w, reduction, ignore_index)


@cross_entropy.backward
@widened
def cross_entropy_backward(xp, gy, saved, needs, *, reduction, ignore_index, label_smoothing):
    """dL/dx[n,c] = dL/dloss[n] · (p[n,c] · Σ_k q[n,k] - q[n,c]);  p - y for one-hot y and no options.

    For the mean, dL/dloss[n] = dL/dy / Σ_n w[target[n]].
    """
    p, target, w, amount = saved
    axis = _class_dim(p)
    labels, weights = _labels(xp, target, w, ignore_index, p.dtype)
    g = _weighted_mean_backward(xp, gy, amount, reduction)
    g = xp.where(target == ignore_index, 0, g)  # of a NaN, too, nothing reaches what is ignored
    hot = xp.expand_dims((1 - label_smoothing) * weights * g, axis)
    q = xp.where(_one_hot(xp, labels, p.shape, axis), hot, 0)
    sum_q = hot
    if label_smoothing:
        even = xp.expand_dims(_each_share(label_smoothing, p.shape[axis]) * g, axis)
        q = q + even * (1 if w is None else _along(w, p.ndim, axis))
        sum_q = sum_q + even * (p.shape[axis] if w is None else _sum(xp, w))
    return (p * sum_q - q, None, None)[: len(needs)]


@op
def nll_loss(xp, x, target, w=None, *, reduction="mean", ignore_index=-100):
    """Negative log-likelihood:  loss[n] = -w[t] · x[n, t],  t = target[n].

    With x = log_softmax(scores) it is the cross-entropy. The mean is Σ_n loss[n] / Σ_n w[target[n]].

    Parameters
    ----------
    x : (N, C), (N, C, d1, ...) or (C,)
        Logarithms of probabilities.
    target, w, reduction, ignore_index
        As in :func:`cross_entropy`.

    Returns
    -------
    loss : scalar, or as target for "none"

    Raises
    ------
    LabelError, ShapeError, DTypeError, OptionError : as :func:`cross_entropy`

    Notes
    -----
    Saved: shape of x, target, w, Σ_n w[target[n]].  Oracle: minicnn.oracles.loss.nll_loss

    Examples
    --------
    >>> from minicnn import Tensor
    >>> nll_loss(Tensor([[-0.5, -1.0], [-2.0, -0.25]]), Tensor([1, 1])).item()
    0.625
    """
    axis = _class_dim(x)
    logp = wide(xp, x)
    labels, weights = _labels(xp, target, w, ignore_index, logp.dtype)
    losses = _picked(xp, logp, labels, weights, axis)
    amount = _sum(xp, weights)
    loss = _weighted_mean(xp, losses, amount, reduction).astype(x.dtype, copy=False)
    return loss, (x.shape, target, w, amount)


@nll_loss.shape
def nll_loss_shape(x, target, w=None, *, reduction, ignore_index):
    """The shape of the loss; refuses labels out of range."""
    return _check_labels(x, target, w, reduction, ignore_index)


@nll_loss.backward
@widened
def nll_loss_backward(xp, gy, saved, needs, *, reduction, ignore_index):
    """dL/dx[n,c] = -w[c] · dL/dloss[n] where c = target[n], else 0."""
    shape, target, w, amount = saved
    axis = min(1, len(shape) - 1)
    labels, weights = _labels(xp, target, w, ignore_index, amount.dtype)
    g = xp.where(target == ignore_index, 0, _weighted_mean_backward(xp, gy, amount, reduction))
    g = xp.expand_dims(-weights * g, axis)
    return (xp.where(_one_hot(xp, labels, shape, axis), g, 0), None, None)[: len(needs)]


# -- classes as probabilities ----------------------------------------------------------------


@op
def soft_cross_entropy(xp, x, target, w=None, *, reduction="mean", label_smoothing=0.0):
    """Cross-entropy between the softmax of scores and target probabilities (F4).

        loss[n] = -Σ_c q[n,c] · log p[n,c],   p = softmax(x),
        q[n,c] = w[c] · ((1 - s) · target[n,c] + s / C),   s = label_smoothing

    The mean divides by the number of positions, whatever the weights. ``nn.functional.cross_entropy``
    comes here when the target has the shape of the input.

    Parameters
    ----------
    x : (N, C), (N, C, d1, ...) or (C,)
        Scores (logits).
    target : as x, floating point
        Probabilities: at least 0, of sum 1 over the classes (not checked).
    w : (C,) or None
        Weight of each class; it gets no gradient.
    reduction : "none", "mean" or "sum"
    label_smoothing : float
        In [0, 1].

    Returns
    -------
    loss : scalar, or x without its class dimension for "none"

    Raises
    ------
    ShapeError, DTypeError : if target has not the shape of x, or is not floating point
    OptionError : if reduction or label_smoothing is not allowed

    Notes
    -----
    A class with q = 0 adds 0, also where log p = -∞.
    Saved: log p, target, w.  Oracle: minicnn.oracles.loss.soft_cross_entropy

    Examples
    --------
    >>> from minicnn import Tensor
    >>> round(soft_cross_entropy(Tensor([[0.0, 0.0]]), Tensor([[0.3, 0.7]])).item(), 4)
    0.6931
    """
    axis = _class_dim(x)
    logp = log_probabilities(xp, x, axis)
    q = _smoothed(wide(xp, target), w, label_smoothing, axis)
    losses = total(xp, q * xp.where(q == 0, 0, -logp), axis)
    return reduce_loss(xp, losses, reduction).astype(x.dtype, copy=False), (logp, target, w)


@soft_cross_entropy.shape
def soft_cross_entropy_shape(x, target, w=None, *, reduction, label_smoothing):
    """The shape of the loss."""
    check_pair(x, target)
    _check_smoothing(label_smoothing)
    _check_weight(x, w)
    axis = _class_dim(x)
    return check_reduction(reduction, x.shape[:axis] + x.shape[axis + 1 :])


@soft_cross_entropy.backward
@widened
def soft_cross_entropy_backward(xp, gy, saved, needs, *, reduction, label_smoothing):
    """dL/dx = dL/dloss · (p · Σ_c q - q),   dL/dtarget = -dL/dloss · (1 - s) · w · log p."""
    logp, target, w = saved
    axis = _class_dim(logp)
    g = reduction_factor(gy, logp.size // max(logp.shape[axis], 1), reduction)
    g = xp.expand_dims(g, axis) if reduction == "none" else g
    gx = gt = None
    if needs[0]:
        q = _smoothed(target, w, label_smoothing, axis)
        gx = g * (xp.exp(logp) * total(xp, q, axis, keepdims=True) - q)
    if needs[1]:
        gt = (label_smoothing - 1) * g * logp
        gt = gt if w is None else gt * _along(w, logp.ndim, axis)
    return (gx, gt, None)[: len(needs)]


def _smoothed(target: Array, w: Array | None, label_smoothing: float, axis: int) -> Array:
    """The weighted target distribution q."""
    q = target
    if label_smoothing:
        q = q * (1 - label_smoothing) + _each_share(label_smoothing, target.shape[axis])
    return q if w is None else q * _along(w, target.ndim, axis)


# -- what they share -------------------------------------------------------------------------


def _each_share(label_smoothing: float, classes: int) -> float:
    """What each class gets of the share that is spread evenly; there may be none."""
    return label_smoothing / max(classes, 1)


def _class_dim(x: Any) -> int:
    """Dimension of the classes: 1, or 0 for a single sample (C,)."""
    return min(1, x.ndim - 1)


def _along(w: Array, ndim: int, axis: int) -> Array:
    """Class weights (C,) lined up with the dimension ``axis`` of ``ndim``."""
    return w.reshape((-1,) + (1,) * (ndim - axis - 1))


def _labels(
    xp: ArrayModule, target: Array, w: Array | None, ignore_index: int, dtype: Any
) -> tuple[Array, Array]:
    """The labels with 0 in ignored positions, and the weight of each position (0 if ignored)."""
    kept = target != ignore_index
    labels = xp.where(kept, target, 0)
    weights = kept if w is None else xp.where(kept, w[labels], 0)
    return labels, weights.astype(dtype)


def _picked(xp: ArrayModule, logp: Array, labels: Array, weights: Array, axis: int) -> Array:
    """-weight · logp at the labels; 0 where the weight is 0, even if logp is -∞."""
    picked = xp.take_along_axis(logp, xp.expand_dims(labels, axis), axis).squeeze(axis)
    return weights * xp.where(weights == 0, 0, 0 - picked)


def _class_sum(xp: ArrayModule, logp: Array, w: Array | None, axis: int) -> Array:
    """Σ_c w[c] · logp[c]; classes of weight 0 add 0."""
    if w is None:
        return total(xp, logp, axis)
    w = _along(w, logp.ndim, axis)
    return total(xp, w * xp.where(w == 0, 0, logp), axis)


def _sum(xp: ArrayModule, values: Array) -> Array:
    """The sum of all, as an array."""
    return xp.asarray(total(xp, values, tuple(range(values.ndim))))


def _one_hot(xp: ArrayModule, labels: Array, shape: Shape, axis: int) -> Array:
    """Whether each element of ``shape`` is that of its position's label."""
    return _along(xp.arange(shape[axis]), len(shape), axis) == xp.expand_dims(labels, axis)


def _weighted_mean(xp: ArrayModule, losses: Array, amount: Array, reduction: str) -> Array:
    """As :func:`reduce_loss`, but the mean divides by the sum of weights; NaN if that is 0."""
    if reduction != "mean":
        return reduce_loss(xp, losses, reduction)
    return _sum(xp, losses) / xp.where(amount == 0, xp.nan, amount)


def _weighted_mean_backward(xp: ArrayModule, gy: Array, amount: Array, reduction: str) -> Array:
    return gy / xp.where(amount == 0, xp.inf, amount) if reduction == "mean" else gy


# -- checks ----------------------------------------------------------------------------------


def _check_smoothing(label_smoothing: float) -> None:
    if not 0 <= label_smoothing <= 1:
        raise OptionError(expected="label_smoothing in [0, 1]", got=str(label_smoothing))


def _check_weight(x: Any, w: Any) -> None:
    require_float(x)
    if x.ndim == 0:
        raise ShapeError(expected="input of shape (N, C), (N, C, d1, ...) or (C,)", got="()")
    classes = x.shape[_class_dim(x)]
    if w is not None and tuple(w.shape) != (classes,):
        raise ShapeError(expected=f"one weight per class, shape ({classes},)", got=str(tuple(w.shape)))
    require_dtype_of(x, weight=w)


def _check_labels(x: Any, target: Any, w: Any, reduction: str, ignore_index: int) -> Shape:
    """The shape of the loss; refuses a target that does not fit the input."""
    _check_weight(x, w)
    axis = _class_dim(x)
    expected = tuple(x.shape[:axis] + x.shape[axis + 1 :])
    if tuple(target.shape) != expected:
        raise ShapeError(
            expected=f"target of shape {expected} with class indices for input of shape {tuple(x.shape)}",
            got=str(tuple(target.shape)),
            hint=_shape_hint(x, target),
        )
    if target.dtype.kind not in "iu":
        raise DTypeError(
            expected="class indices of an integer type", got=str(target.dtype), hint="use .long()"
        )
    if hasattr(target, "min"):  # a meta array has no values
        _check_range(target, x.shape[axis], ignore_index)
    return check_reduction(reduction, expected)


def _shape_hint(x: Any, target: Any) -> str | None:
    if tuple(target.shape) == tuple(x.shape):
        return "one-hot rows must be floating point: use target.float(), or the indices target.argmax(1)"
    if target.ndim == x.ndim and target.shape[1:2] == (1,):
        return "use target.squeeze(1)"
    return None


def _check_range(target: Array, classes: int, ignore_index: int) -> None:
    if target.size == 0:
        return
    low, high = int(target.min()), int(target.max())
    if low >= 0 and high < classes:
        return
    wrong = ((target < 0) | (target >= classes)) & (target != ignore_index)
    if not wrong.any():
        return
    index = np.unravel_index(int(wrong.ravel().argmax()), target.shape)
    place = ", ".join(str(int(i)) for i in index)
    raise LabelError(
        expected=f"labels from 0 to {classes - 1} ({classes} classes)",
        got=f"{int(target[index])} at target[{place}]" if place else str(int(target)),
        hint="these labels count from 1: use target - 1" if (low, high) == (1, classes) else None,
    )
