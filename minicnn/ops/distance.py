"""Losses element by element: how far numbers are from target numbers, or probabilities from each other."""

from __future__ import annotations

from typing import Any

from minicnn.core.op import op
from minicnn.errors import OptionError, ShapeError
from minicnn.ops.reducing import check_pair, check_reduction, reduce_loss, reduction_factor
from minicnn.ops.rules import broadcast_shape, require_dtype_of
from minicnn.ops.special import logistic
from minicnn.typing import Array, ArrayModule, Shape

__all__ = ["binary_cross_entropy_with_logits", "huber_loss", "kl_div", "l1_loss", "mse_loss"]


def _pair_shape(x: Any, target: Any, *, reduction: str) -> Shape:
    """The shape of a loss of two operands of equal shape."""
    check_pair(x, target)
    return check_reduction(reduction, x.shape)


def _both(g: Array, needs: tuple[bool, ...]) -> tuple[Array | None, Array | None]:
    """The two gradients of a loss of x - target."""
    return g if needs[0] else None, -g if needs[1] else None


# -- of differences --------------------------------------------------------------------------


@op
def l1_loss(xp, x, target, *, reduction="mean"):
    """Mean absolute error:  loss = Σ |x - target| / n   (F4).

    Parameters
    ----------
    x, target : any equal shape, floating point
    reduction : "none", "mean" or "sum"

    Returns
    -------
    loss : scalar, or as x for "none"

    Raises
    ------
    ShapeError : if the shapes differ
    DTypeError : if one is not floating point, or their types differ
    OptionError : if reduction is not allowed

    Notes
    -----
    Saved: x, target.  Oracle: minicnn.oracles.loss.l1_loss

    References
    ----------
    Article §3.4.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> l1_loss(Tensor([1.0, 5.0]), Tensor([2.0, 2.0])).item()
    2.0
    """
    return reduce_loss(xp, xp.abs(x - target), reduction), (x, target)


l1_loss.shape(_pair_shape)


@l1_loss.backward
def l1_loss_backward(xp, gy, saved, needs, *, reduction):
    """dL/dx = -dL/dtarget = dL/dy · sign(x - target) / n;  0 where they are equal; n = 1 but for the mean."""
    x, target = saved
    return _both(reduction_factor(gy, x.size, reduction) * xp.sign(x - target), needs)


@op
def mse_loss(xp, x, target, *, reduction="mean"):
    """Mean squared error:  loss = Σ (x - target)² / n.

    Parameters
    ----------
    x, target : any equal shape, floating point
    reduction : "none", "mean" or "sum"

    Returns
    -------
    loss : scalar, or as x for "none"

    Raises
    ------
    ShapeError, DTypeError, OptionError : as :func:`l1_loss`

    Notes
    -----
    Saved: x, target.  Oracle: minicnn.oracles.loss.mse_loss

    Examples
    --------
    >>> from minicnn import Tensor
    >>> mse_loss(Tensor([1.0, 5.0]), Tensor([2.0, 2.0])).item()
    5.0
    """
    return reduce_loss(xp, xp.square(x - target), reduction), (x, target)


mse_loss.shape(_pair_shape)


@mse_loss.backward
def mse_loss_backward(xp, gy, saved, needs, *, reduction):
    """dL/dx = -dL/dtarget = dL/dy · 2 (x - target) / n;  n = 1 but for the mean."""
    x, target = saved
    return _both(reduction_factor(gy, x.size, reduction) * (2 * (x - target)), needs)


@op
def huber_loss(xp, x, target, *, reduction="mean", delta=1.0):
    """Squared error near the target, absolute error far from it.

        loss = ½ d²                 if |d| < delta,   d = x - target
               delta (|d| - ½ delta)   otherwise

    Parameters
    ----------
    x, target : any equal shape, floating point
    reduction : "none", "mean" or "sum"
    delta : float
        Above 0. The smooth L1 loss is this with delta = beta, divided by beta.

    Returns
    -------
    loss : scalar, or as x for "none"

    Raises
    ------
    ShapeError, DTypeError : as :func:`l1_loss`
    OptionError : if reduction is not allowed, or delta ≤ 0

    Notes
    -----
    With m = min(|d|, delta) both cases are m · (|d| - m / 2), and nothing large is squared.
    Saved: x, target.  Oracle: minicnn.oracles.loss.huber_loss

    References
    ----------
    Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> huber_loss(Tensor([0.5, -3.0]), Tensor([0.0, 0.0]), reduction="none").tolist()
    [0.125, 2.5]
    """
    distance = xp.abs(x - target)
    near = xp.minimum(distance, delta)
    return reduce_loss(xp, near * (distance - 0.5 * near), reduction), (x, target)


@huber_loss.shape
def huber_loss_shape(x, target, *, reduction, delta):
    """The shape of the loss; refuses delta ≤ 0."""
    if not delta > 0:
        raise OptionError(expected="delta above 0", got=str(delta))
    return _pair_shape(x, target, reduction=reduction)


@huber_loss.backward
def huber_loss_backward(xp, gy, saved, needs, *, reduction, delta):
    """dL/dx = -dL/dtarget = dL/dy · clip(x - target, -delta, delta) / n;  n = 1 but for the mean."""
    x, target = saved
    return _both(reduction_factor(gy, x.size, reduction) * xp.clip(x - target, -delta, delta), needs)


# -- of probabilities ------------------------------------------------------------------------


@op
def binary_cross_entropy_with_logits(xp, x, target, w=None, pos_weight=None, *, reduction="mean"):
    """Cross-entropy of independent yes/no questions, from scores.

        loss = w · (pos_weight · t · softplus(-x) + (1 - t) · softplus(x)),   t = target
             = -w · (pos_weight · t · log p + (1 - t) · log(1 - p)),   p = sigmoid(x)

    Parameters
    ----------
    x : any shape
        Scores (logits), not probabilities.
    target : as x
        Probabilities of "yes", in [0, 1].
    w : broadcasts to x, or None
        Weight of each element.
    pos_weight : broadcasts to x, or None
        Weight of "yes", often one per class.
    reduction : "none", "mean" or "sum"
        The mean is over all elements, whatever the weights.

    Returns
    -------
    loss : scalar, or as x for "none"

    Raises
    ------
    ShapeError : if target has not the shape of x, or a weight does not broadcast to it
    DTypeError : if x or target is not floating point, or the types differ
    OptionError : if reduction is not allowed

    Notes
    -----
    The weights get no gradient. A share of 0 adds 0, also where the score is infinite.
    Saved: x, target, w, pos_weight.
    Oracle: minicnn.oracles.loss.binary_cross_entropy_with_logits

    Examples
    --------
    >>> from minicnn import Tensor
    >>> binary_cross_entropy_with_logits(Tensor([1e4, -1e4]), Tensor([1.0, 1.0])).item()
    5000.0
    """
    yes, no = _yes_and_no(target, w, pos_weight)
    losses = yes * xp.where(yes == 0, 0, _softplus(xp, -x)) + no * xp.where(no == 0, 0, _softplus(xp, x))
    return reduce_loss(xp, losses, reduction), (x, target, w, pos_weight)


@binary_cross_entropy_with_logits.shape
def binary_cross_entropy_with_logits_shape(x, target, w=None, pos_weight=None, *, reduction):
    """The shape of the loss."""
    check_pair(x, target)
    require_dtype_of(x, weight=w, pos_weight=pos_weight)
    for name, weight in (("weight", w), ("pos_weight", pos_weight)):
        if weight is not None and broadcast_shape(x, weight) != tuple(x.shape):
            expected = f"{name} that broadcasts to the input's shape {tuple(x.shape)}"
            raise ShapeError(expected=expected, got=str(tuple(weight.shape)))
    return check_reduction(reduction, x.shape)


@binary_cross_entropy_with_logits.backward
def binary_cross_entropy_with_logits_backward(xp, gy, saved, needs, *, reduction):
    """Gradients with p = sigmoid(x), v = pos_weight, each times dL/dloss · w.

    dL/dx = (1 - t) · p - v · t · (1 - p),   dL/dtarget = v · softplus(-x) - softplus(x)
    """
    x, target, w, pos_weight = saved
    g = reduction_factor(gy, x.size, reduction)
    gx = gt = None
    if needs[0]:
        yes, no = _yes_and_no(target, w, pos_weight)
        gx = g * (no * logistic(xp, x) - yes * logistic(xp, -x))
    if needs[1]:
        v = 1 if pos_weight is None else pos_weight
        gt = g * (v * _softplus(xp, -x) - _softplus(xp, x)) * (1 if w is None else w)
    return (gx, gt, None, None)[: len(needs)]


def _yes_and_no(target: Array, w: Array | None, pos_weight: Array | None) -> tuple[Array, Array]:
    """The weights of log p and of log(1 - p)."""
    yes, no = target, 1 - target
    if pos_weight is not None:
        yes = yes * pos_weight
    return (yes, no) if w is None else (yes * w, no * w)


def _softplus(xp: ArrayModule, x: Array) -> Array:
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


@op
def kl_div(xp, x, target, *, reduction="mean", log_target=False):
    """Kullback-Leibler divergence of a distribution, given by its logarithm x, from the target.

        loss = target · (log target - x)        (0 where target is 0)
        loss = exp(target) · (target - x)       for log_target=True

    Parameters
    ----------
    x : any shape
        Logarithms of probabilities.
    target : as x
        Probabilities, or their logarithms.
    reduction : "none", "mean", "sum" or "batchmean"
        "batchmean" divides the sum by the size of dimension 0, which is the divergence's definition;
        "mean" divides by the number of elements, as in PyTorch.
    log_target : bool

    Returns
    -------
    loss : scalar, or as x for "none"

    Raises
    ------
    ShapeError, DTypeError, OptionError : as :func:`l1_loss`

    Notes
    -----
    The derivative by a target of 0 is taken as -x. Saved: x, target.
    Oracle: minicnn.oracles.loss.kl_div

    References
    ----------
    Kullback & Leibler, "On information and sufficiency", Annals of Mathematical Statistics 22, 1951.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> half = Tensor([[0.5, 0.5]])
    >>> kl_div(half.log(), half, reduction="batchmean").item()
    0.0
    """
    p, log_p = _target_and_log(xp, target, log_target)
    losses = p * xp.where(p == 0, 0, log_p - x)
    if reduction == "batchmean":
        return reduce_loss(xp, losses, "sum") / (x.shape[0] or xp.nan), (x, target)
    return reduce_loss(xp, losses, reduction), (x, target)


def _target_and_log(xp: ArrayModule, target: Array, log_target: bool) -> tuple[Array, Array]:
    """Target probabilities and their logarithms; for a probability of 0 the logarithm is given as 0."""
    if log_target:
        return xp.exp(target), target
    return target, xp.log(xp.where(target == 0, 1, target))


@kl_div.shape
def kl_div_shape(x, target, *, reduction, log_target):
    """The shape of the loss."""
    check_pair(x, target)
    if reduction == "batchmean" and x.ndim == 0:
        raise ShapeError(expected="a batch dimension for reduction 'batchmean'", got="()")
    return check_reduction(reduction, x.shape, choices=("none", "mean", "sum", "batchmean"))


@kl_div.backward
def kl_div_backward(xp, gy, saved, needs, *, reduction, log_target):
    """Gradients with p = target or exp(target), each times dL/dloss.

    dL/dx = -p,   dL/dtarget = log target + 1 - x,  or for log_target  p · (target + 1 - x)
    """
    x, target = saved
    g = gy / max(x.shape[0], 1) if reduction == "batchmean" else reduction_factor(gy, x.size, reduction)
    p, log_p = _target_and_log(xp, target, log_target)
    gt = None
    if needs[1]:
        gt = p * (log_p + 1 - x) if log_target else log_p + (p > 0) - x
        gt = g * gt
    return (-p * g if needs[0] else None), gt
