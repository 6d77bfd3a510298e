"""Losses: how far a model's output is from its target."""

from __future__ import annotations

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.nn import functional as F
from minicnn.nn.checks import choice, number
from minicnn.nn.module import Module

__all__ = [
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]


class _Loss(Module):
    """What all losses share: how the losses of single elements become one number.

    ``size_average`` and ``reduce`` are PyTorch's old way of saying ``reduction``; they stand here
    because they take part in the order of positional arguments.
    """

    choices: tuple[str, ...] = ("none", "mean", "sum")

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        if not (size_average is None and reduce is None):
            reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        choice(type(self).__name__, "reduction", reduction, self.choices)
        super().__init__()
        self.reduction = reduction


class L1Loss(_Loss):
    """Mean absolute error (F4):  |x - y|.

    Parameters
    ----------
    size_average, reduce : bool, optional
        Old names for ``reduction``.
    reduction : {"mean", "sum", "none"}
        What becomes of the elements' losses.

    Raises
    ------
    OptionError
        If the reduction is unknown.

    Examples
    --------
    >>> import minicnn
    >>> L1Loss()(minicnn.tensor([1.0, 2.0]), minicnn.tensor([1.0, 5.0])).item()
    1.5
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class MSELoss(_Loss):
    """Mean squared error:  (x - y)².

    Parameters
    ----------
    size_average, reduce, reduction
        As for :class:`L1Loss`.

    Raises
    ------
    OptionError
        If the reduction is unknown.

    Examples
    --------
    >>> import minicnn
    >>> MSELoss()(minicnn.tensor([1.0, 2.0]), minicnn.tensor([1.0, 5.0])).item()
    4.5
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """(x - y)² / (2 · beta) where |x - y| < beta, else |x - y| - beta / 2.

    Parameters
    ----------
    size_average, reduce, reduction
        As for :class:`L1Loss`.
    beta : float
        Where the parabola meets the lines; 0 is the L1 loss.

    Raises
    ------
    OptionError
        If the reduction is unknown or beta negative.

    Examples
    --------
    >>> import minicnn
    >>> SmoothL1Loss()(minicnn.tensor([0.5, 2.0]), minicnn.tensor([0.0, 0.0])).item()
    0.8125
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        number("SmoothL1Loss", "beta", beta, 0)
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """(x - y)² / 2 where |x - y| < delta, else delta · (|x - y| - delta / 2).

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What becomes of the elements' losses.
    delta : float
        Where the parabola meets the lines; positive.

    Raises
    ------
    OptionError
        If the reduction is unknown or delta not positive.

    Examples
    --------
    >>> import minicnn
    >>> HuberLoss(delta=2.0)(minicnn.tensor([3.0]), minicnn.tensor([0.0])).item()
    4.0
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        if number("HuberLoss", "delta", delta) <= 0:
            raise OptionError(expected="delta above 0", got=repr(delta), op="HuberLoss")
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class CrossEntropyLoss(_Loss):
    """Cross-entropy (F4) of logits:  -log softmax(x)_y, see :func:`minicnn.nn.functional.cross_entropy`.

    Parameters
    ----------
    weight : Tensor (C,), optional
        Weight of each class.
    size_average, reduce : bool, optional
        Old names for ``reduction``.
    ignore_index : int
        Samples with this label do not count.
    reduction : {"mean", "sum", "none"}
        What becomes of the samples' losses; a mean is weighted.
    label_smoothing : float
        Share of the target, in [0, 1], that is spread over all classes.

    Raises
    ------
    OptionError
        If an option makes no sense.
    LabelError
        On a call, if a label is no class.

    Examples
    --------
    >>> import minicnn
    >>> round(CrossEntropyLoss()(minicnn.zeros(3, 10), minicnn.tensor([1, 5, 9])).item(), 4)  # log 10
    2.3026
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        number("CrossEntropyLoss", "label_smoothing", label_smoothing, 0, 1)
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """Negative log-likelihood of log-probabilities:  -x_y.

    Parameters
    ----------
    weight, size_average, ignore_index, reduce, reduction
        As for :class:`CrossEntropyLoss`, which is this loss after :class:`LogSoftmax`.

    Raises
    ------
    OptionError
        If the reduction is unknown.
    LabelError
        On a call, if a label is no class.

    Examples
    --------
    >>> import minicnn
    >>> NLLLoss()(minicnn.tensor([[-0.5, -1.0]]), minicnn.tensor([1])).item()
    1.0
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(
            input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of logits:  -y · log sigmoid(x) - (1 - y) · log sigmoid(-x).

    Parameters
    ----------
    weight : Tensor, optional
        Weight of each element.
    size_average, reduce, reduction
        As for :class:`L1Loss`.
    pos_weight : Tensor, optional
        Factor of the first term, the positive examples.

    Raises
    ------
    OptionError
        If the reduction is unknown.

    Examples
    --------
    >>> import minicnn
    >>> round(BCEWithLogitsLoss()(minicnn.zeros(2), minicnn.tensor([0.0, 1.0])).item(), 4)  # log 2
    0.6931
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    weight: Tensor | None
    pos_weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence:  y · (log y - x), with x log-probabilities.

    Parameters
    ----------
    size_average, reduce : bool, optional
        Old names for ``reduction``.
    reduction : {"mean", "batchmean", "sum", "none"}
        What becomes of the elements' losses; "batchmean", the sum over the number of samples, is
        the divergence itself.
    log_target : bool
        Whether targets are log-probabilities too.

    Raises
    ------
    OptionError
        If the reduction is unknown.

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.tensor([[0.5, 0.5]])
    >>> KLDivLoss(reduction="batchmean")(x.log(), x).item()
    0.0
    """

    choices = ("none", "mean", "batchmean", "sum")

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)
