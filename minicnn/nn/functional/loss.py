"""Losses under PyTorch's names, signatures and defaults.

Everywhere ``reduction`` is "none", "mean" or "sum", and ``size_average`` and ``reduce`` are its older
spelling, still accepted: False for ``reduce`` means "none", False for ``size_average`` means "sum".
"""

from __future__ import annotations

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError, ShapeError
from minicnn.ops import loss as ops

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
]


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy between scores (logits) and classes, given as indices or as probabilities (F4).

    Parameters
    ----------
    input : (N, C), (N, C, d1, ...) or (C,)
        Scores, not probabilities: the softmax is part of the loss.
    target : (N,), (N, d1, ...) or () of integers; or floating point in the shape of input
        Class indices; or probabilities.
    weight : (C,), optional
        Weight of each class. With indices the mean is the weighted mean, Σ loss / Σ weight[target].
    ignore_index : int
        Label of positions that do not count; for indices only.
    reduction : "none", "mean" or "sum"
    label_smoothing : float
        In [0, 1].

    Returns
    -------
    Tensor
        A scalar; for "none" a loss per position.

    Raises
    ------
    LabelError
        If a label lies outside 0 … C - 1.
    ShapeError, DTypeError, OptionError
        If operands or options do not fit.

    Notes
    -----
    See :func:`minicnn.ops.loss.cross_entropy` and :func:`minicnn.ops.loss.soft_cross_entropy`.
    If every position is ignored the mean is NaN, as in PyTorch.

    Examples
    --------
    >>> import minicnn
    >>> scores = minicnn.tensor([[0.0, 0.0], [0.0, 50.0]])
    >>> round(cross_entropy(scores, minicnn.tensor([0, 1])).item(), 4)
    0.3466
    """
    reduction = _reduction(size_average, reduce, reduction)
    if target.shape != input.shape or target.dtype.kind != "f":
        return ops.cross_entropy(
            input,
            target,
            weight,
            reduction=reduction,
            ignore_index=ignore_index,
            label_smoothing=float(label_smoothing),
        )
    if ignore_index >= 0:
        raise OptionError("ignore_index is for class indices, not for probabilities", op="cross_entropy")
    return ops.soft_cross_entropy(
        input, target, weight, reduction=reduction, label_smoothing=float(label_smoothing)
    )


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-weight[target] · input[n, target], for log-probabilities; see :func:`minicnn.ops.loss.nll_loss`.

    Examples
    --------
    >>> import minicnn
    >>> nll_loss(minicnn.tensor([[-0.5, -1.0], [-2.0, -0.25]]), minicnn.tensor([1, 1])).item()
    0.625
    """
    reduction = _reduction(size_average, reduce, reduction)
    return ops.nll_loss(input, target, weight, reduction=reduction, ignore_index=ignore_index)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Mean absolute error (F4); see :func:`minicnn.ops.distance.l1_loss`.

    Parameters
    ----------
    input, target : any equal shape
        PyTorch broadcasts with a warning; here it is a ShapeError.
    weight : as input, optional
        Weight of each element; the mean is then Σ weight · loss / Σ weight.

    Examples
    --------
    >>> import minicnn
    >>> l1_loss(minicnn.tensor([1.0, 5.0]), minicnn.tensor([2.0, 2.0])).item()
    2.0
    """
    reduction = _reduction(size_average, reduce, reduction)
    if weight is None:
        return ops.l1_loss(input, target, reduction=reduction)
    return _weighted(ops.l1_loss(input, target, reduction="none"), weight, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Mean squared error; parameters as :func:`l1_loss`; see :func:`minicnn.ops.distance.mse_loss`.

    Examples
    --------
    >>> import minicnn
    >>> mse_loss(minicnn.tensor([1.0, 5.0]), minicnn.tensor([2.0, 2.0])).item()
    5.0
    """
    reduction = _reduction(size_average, reduce, reduction)
    if weight is None:
        return ops.mse_loss(input, target, reduction=reduction)
    return _weighted(ops.mse_loss(input, target, reduction="none"), weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Huber loss with delta = beta, divided by beta: of slope 1 far from the target.

        loss = ½ d² / beta if |d| < beta, else |d| - ½ beta,   d = input - target

    ``beta = 0`` is :func:`l1_loss`.

    References
    ----------
    Girshick, "Fast R-CNN", ICCV 2015.

    Examples
    --------
    >>> import minicnn
    >>> d = minicnn.tensor([1.0, -4.0])
    >>> smooth_l1_loss(d, minicnn.zeros(2), reduction="none", beta=2.0).tolist()
    [0.25, 3.0]
    """
    reduction = _reduction(size_average, reduce, reduction)
    if beta == 0:
        return ops.l1_loss(input, target, reduction=reduction)
    if not beta > 0:
        raise OptionError(expected="beta of at least 0", got=str(beta), op="smooth_l1_loss")
    return ops.huber_loss(input, target, reduction=reduction, delta=float(beta)) * (1 / float(beta))


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """½ d² if |d| < delta, else delta · (|d| - ½ delta); see :func:`minicnn.ops.distance.huber_loss`.

    With ``weight`` the mean divides by the number of elements, as in PyTorch and unlike in :func:`l1_loss`.

    Examples
    --------
    >>> import minicnn
    >>> huber_loss(minicnn.tensor([1.0, -4.0]), minicnn.zeros(2), reduction="none", delta=2.0).tolist()
    [0.5, 6.0]
    """
    if weight is None:
        return ops.huber_loss(input, target, reduction=reduction, delta=float(delta))
    losses = ops.huber_loss(input, target, reduction="none", delta=float(delta))
    weighted = _weighted(losses, weight, "sum" if reduction == "mean" else reduction)
    return weighted / max(input.array.size, 1) if reduction == "mean" else weighted


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of yes/no questions; see :func:`minicnn.ops.distance.binary_cross_entropy_with_logits`.

    Parameters
    ----------
    input : any shape
        Scores (logits).
    target : as input
        In [0, 1], floating point.
    weight, pos_weight : broadcast to input, optional
        Weight of each element; weight of "yes".

    Examples
    --------
    >>> import minicnn
    >>> binary_cross_entropy_with_logits(minicnn.tensor([1e4, -1e4]), minicnn.ones(2)).item()
    5000.0
    """
    reduction = _reduction(size_average, reduce, reduction)
    return ops.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction=reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Kullback-Leibler divergence of exp(input) from target; see :func:`minicnn.ops.distance.kl_div`.

    Parameters
    ----------
    input : any shape
        Logarithms of probabilities.
    target : as input
        Probabilities, or their logarithms for ``log_target``.
    reduction : "none", "mean", "sum" or "batchmean"
        The divergence as it is defined is "batchmean".

    Examples
    --------
    >>> import minicnn
    >>> half = minicnn.tensor([[0.5, 0.5]])
    >>> kl_div(half.log(), half, reduction="batchmean").item()
    0.0
    """
    reduction = _reduction(size_average, reduce, reduction)
    return ops.kl_div(input, target, reduction=reduction, log_target=log_target)


def _reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """``reduction``, unless one of the two older arguments is given."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is not None and not reduce:
        return "none"
    return "sum" if size_average is not None and not size_average else "mean"


def _weighted(losses: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """The weighted losses, their sum, or their weighted mean."""
    if weight.shape != losses.shape:
        raise ShapeError(expected=f"weight of the input's shape {losses.shape}", got=str(weight.shape))
    if reduction not in ("none", "mean", "sum"):
        raise OptionError(expected="reduction out of 'none', 'mean', 'sum'", got=repr(reduction))
    weighted = losses * weight
    if reduction == "none":
        return weighted
    return weighted.sum() if reduction == "sum" else weighted.sum() / weight.sum()
