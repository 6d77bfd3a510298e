"""A schedule that watches a figure of merit."""

from __future__ import annotations

import math

from minicnn.optim.lr_scheduler.base import LRScheduler
from minicnn.optim.optimizer import Optimizer

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(LRScheduler):
    """Multiply the learning rate by ``factor`` when a figure has not improved for a while.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}
        Whether smaller (a loss) or larger (an accuracy) is better.
    factor : float
        Below 1.
    patience : int
        How many steps without improvement are tolerated.
    threshold : float
        What counts as an improvement,
    threshold_mode : {"rel", "abs"}
        as a fraction of the best so far, or as a difference from it.
    cooldown : int
        Steps to wait after a reduction.
    min_lr : float or list of float
        Never below this.
    eps : float
        Smaller changes are not made.

    Raises
    ------
    OptionError
        If an option is out of its range.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> from minicnn.optim import SGD
    >>> optimizer = SGD([Tensor([0.0], requires_grad=True)], lr=1.0)
    >>> scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in [3.0, 2.0, 2.0, 2.0]:
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        self._require_number("factor", factor, "[0, 1)")
        self._require_int("patience", patience, 0)
        self._require_number("threshold", threshold, "[0, inf)")
        self._require_int("cooldown", cooldown, 0)
        self._require_number("eps", eps, "[0, inf)")
        self._require(mode in ("min", "max"), "mode", "'min' or 'max'", mode)
        self._require(threshold_mode in ("rel", "abs"), "threshold_mode", "'rel' or 'abs'", threshold_mode)
        self._attach(optimizer)
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self._numbers("min_lr", min_lr, "[0, inf)")
        self.min_lr = min_lr
        self.eps = eps
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def step(self, metrics: float, epoch: int | None = None) -> None:  # type: ignore[override]
        """Look at the figure after an epoch, and reduce the rates if it is time.

        Parameters
        ----------
        metrics : float or Tensor with one element
            The figure watched. NaN counts as no improvement.
        epoch : int, optional
            The number of this step.
        """
        current = float(metrics)
        with self._all_or_nothing():
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            self._look(current)

    def _look(self, current: float) -> None:
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._write(self.get_lr())
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def get_lr(self) -> list[float]:
        """The rates after a reduction."""
        pairs = list(zip(self._rates(), self._per_group("min_lr", self.min_lr), strict=True))
        reduced = [max(rate * self.factor, least) for rate, least in pairs]
        return [new if rate - new > self.eps else rate for (rate, _), new in zip(pairs, reduced, strict=True)]

    def _is_better(self, current: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "rel":
            bar = self.best * (1.0 + sign * self.threshold)
        else:
            bar = self.best + sign * self.threshold
        return current > bar if self.mode == "max" else current < bar
