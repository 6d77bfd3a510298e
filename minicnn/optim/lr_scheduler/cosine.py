"""Schedules along a cosine: annealing, with warm restarts, and one cycle."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

from minicnn.optim.lr_scheduler.base import LRScheduler
from minicnn.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts", "OneCycleLR"]


class CosineAnnealingLR(LRScheduler):
    """Let the learning rate fall along half a cosine.

        lr = eta_min + (lr₀ - eta_min) (1 + cos(π e / T_max)) / 2

    Past T_max it rises again along the same curve.

    Parameters
    ----------
    optimizer : Optimizer
    T_max : int
        Steps to reach the minimum.
    eta_min : float
        The minimum.
    last_epoch : int
        See :class:`LRScheduler`.

    Raises
    ------
    OptionError
        If ``T_max`` is no positive integer or ``eta_min`` is negative.

    References
    ----------
    Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> from minicnn.optim import SGD
    >>> optimizer = SGD([Tensor([0.0], requires_grad=True)], lr=1.0)
    >>> scheduler = CosineAnnealingLR(optimizer, T_max=2)
    >>> for epoch in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     print(round(scheduler.get_last_lr()[0], 9))
    0.5
    0.0
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self._require_positive_int("T_max", T_max)
        self.T_max = T_max
        self._require_number("eta_min", eta_min, "[0, inf)")
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        rates = self._rates()
        if self._is_initial:
            return rates
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # just past a minimum
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            pairs = zip(rates, self.base_lrs, strict=True)
            return [rate + (base - self.eta_min) * rise for rate, base in pairs]
        now, before = (1 + math.cos(math.pi * e / self.T_max) for e in (self.last_epoch, self.last_epoch - 1))
        return [now / before * (rate - self.eta_min) + self.eta_min for rate in rates]

    def _get_closed_form_lr(self) -> list[float]:
        fall = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * fall for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing that starts again after T_0 steps, then after T_0 T_mult, and so on.

        lr = eta_min + (lr₀ - eta_min) (1 + cos(π T_cur / T_i)) / 2

    with T_cur the steps since the last restart and T_i the length of this round.

    Parameters
    ----------
    optimizer : Optimizer
    T_0 : int
        Steps in the first round.
    T_mult : int
        How many times longer each next round is.
    eta_min : float
        The minimum.
    last_epoch : int
        See :class:`LRScheduler`.

    Raises
    ------
    OptionError
        If ``T_0`` or ``T_mult`` is no positive integer or ``eta_min`` is negative.

    References
    ----------
    Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> from minicnn.optim import SGD
    >>> optimizer = SGD([Tensor([0.0], requires_grad=True)], lr=1.0)
    >>> scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> for epoch in range(3):
    ...     print(round(scheduler.get_last_lr()[0], 9))
    ...     optimizer.step()
    ...     scheduler.step()
    1.0
    0.5
    1.0
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self._require_positive_int("T_0", T_0)
        self._require_positive_int("T_mult", T_mult)
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self._require_number("eta_min", eta_min, "[0, inf)")
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``T_cur``."""
        fall = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * fall / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on by one step, or to ``epoch``, which may be a fraction: epoch + batch / batches.

        Raises
        ------
        OptionError
            If ``epoch`` is negative.
        """
        self._require(epoch is None or 0 <= epoch < math.inf, "epoch", "at least 0", epoch)
        with self._all_or_nothing():
            self._go_to(epoch)
            self._write(self.get_lr())

    def _go_to(self, epoch: float | None) -> None:
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = epoch or 0
            self.T_cur, self.T_i = self._place(epoch)
        self.last_epoch = math.floor(epoch)

    def _place(self, epoch: float) -> tuple[float, int]:
        """(T_cur, T_i) at an epoch: how far into which round."""
        if self.T_mult == 1:
            return epoch % self.T_0, self.T_0
        begin, length = 0, self.T_0
        while epoch >= begin + length:
            begin, length = begin + length, length * self.T_mult
        return epoch - begin, length


class OneCycleLR(LRScheduler):
    """One cycle: up from max_lr / div_factor to max_lr, then down far below the start.

    Momentum goes the other way, from max_momentum to base_momentum and back. Call :meth:`step` after
    every batch. Between two ends a and b, at the fraction t of a phase,

        cos:     b + (a - b) (1 + cos(π t)) / 2
        linear:  a + (b - a) min(t, 1)

    PyTorch has no such limit: after the last update its linear rate is negative.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rates are replaced.
    max_lr : float or list of float
        The peak, for all groups or for each.
    total_steps : int, optional
        Steps in the cycle; or give ``epochs`` and ``steps_per_epoch``.
    epochs, steps_per_epoch : int, optional
        Their product is the number of steps.
    pct_start : float
        The fraction of the cycle that goes up, in [0, 1].
    anneal_strategy : {"cos", "linear"}
        The curve.
    cycle_momentum : bool
        Move the momentum too (β₁ of Adam).
    base_momentum, max_momentum : float or list of float
        Its lowest and highest value.
    div_factor : float
        The cycle starts at max_lr / div_factor,
    final_div_factor : float
        and ends at that over final_div_factor.
    three_phase : bool
        Come down symmetrically first, and only then go below the start.
    last_epoch : int
        See :class:`LRScheduler`.

    Raises
    ------
    OptionError
        If an option is out of its range, the optimiser has no momentum to move, or the schedule is
        stepped past its end.

    References
    ----------
    Smith & Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2019.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> from minicnn.optim import SGD
    >>> optimizer = SGD([Tensor([0.0], requires_grad=True)], lr=1.0, momentum=0.9)
    >>> scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=4, pct_start=0.5)
    >>> for batch in range(4):
    ...     print(round(scheduler.get_last_lr()[0], 6), round(optimizer.param_groups[0]["momentum"], 6))
    ...     optimizer.step()
    ...     scheduler.step()
    0.04 0.95
    1.0 0.85
    0.500002 0.9
    4e-06 0.95
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        if total_steps is None:
            self._require_positive_int("total_steps, or epochs", epochs)
            self._require_positive_int("steps_per_epoch", steps_per_epoch)
            total_steps = epochs * steps_per_epoch  # type: ignore[operator]
        self._require_positive_int("total_steps", total_steps)
        self._require_number("pct_start", pct_start, "[0, 1]")
        self._require_number("div_factor", div_factor, "(0, inf)")
        self._require_number("final_div_factor", final_div_factor, "(0, inf)")
        known = anneal_strategy in ("cos", "linear")
        self._require(known, "anneal_strategy", "'cos' or 'linear'", anneal_strategy)
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self._phases = _phases(pct_start * total_steps, total_steps, three_phase)
        peaks = self._numbers("max_lr", max_lr, "[0, inf)")
        lows = self._numbers("base_momentum", base_momentum, "[0, 1)")
        highs = self._numbers("max_momentum", max_momentum, "[0, 1)")
        has_momentum = bool({"momentum", "betas"} & optimizer.defaults.keys())
        self._require(not cycle_momentum or has_momentum, "momentum", "in the optimizer", "none")
        if last_epoch == -1:
            for group, peak, low, high in zip(optimizer.param_groups, peaks, lows, highs, strict=True):
                start = peak / div_factor
                group.update(initial_lr=start, max_lr=peak, min_lr=start / final_div_factor)
                if cycle_momentum:
                    group.update(base_momentum=low, max_momentum=high)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``; also sets the momenta."""
        if self.last_epoch > self.total_steps:
            raise self._refuse(f"at most {self.total_steps} steps", str(self.last_epoch))
        fraction, start_lr, end_lr, start_momentum, end_momentum = self._phase()
        groups = self.optimizer.param_groups
        for group in groups if self.cycle_momentum else ():
            momentum = self._between(group[start_momentum], group[end_momentum], fraction)
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum
        return [self._between(group[start_lr], group[end_lr], fraction) for group in groups]

    def _phase(self) -> list[Any]:
        """How far into the phase in force, and the group's keys of its rates and momenta at both ends."""
        ends = [phase[0] for phase in self._phases]
        i = min(bisect_left(ends, self.last_epoch), len(ends) - 1)
        begin = ends[i - 1] if i else 0.0
        length = ends[i] - begin
        return [(self.last_epoch - begin) / length if length else 1.0, *self._phases[i][1:]]

    def _between(self, start: float, end: float, fraction: float) -> float:
        if self.anneal_strategy == "linear":
            # The step after the last update is past the end, where the line would go below zero.
            return (end - start) * min(fraction, 1.0) + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * fraction) + 1)


def _phases(peak: float, total: int, three_phase: bool) -> list[list[Any]]:
    """Each phase's last step, and the keys of a group's rates and momenta at its two ends."""
    up = [peak - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum"]
    if not three_phase:
        return [up, [total - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"]]
    down = [2 * peak - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"]
    return [up, down, [total - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"]]
