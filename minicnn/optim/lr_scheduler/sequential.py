"""Schedules one after the other."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, ClassVar

from minicnn.errors import CheckpointError
from minicnn.optim.lr_scheduler.base import LRScheduler
from minicnn.optim.lr_scheduler.plateau import ReduceLROnPlateau
from minicnn.optim.optimizer import Optimizer

__all__ = ["SequentialLR"]


class SequentialLR(LRScheduler):
    """Several schedules one after the other, such as a warm-up and then a cosine.

    At each milestone the next schedule starts, at its own step 0.

    Parameters
    ----------
    optimizer : Optimizer
    schedulers : list of LRScheduler
        In order, all of this optimiser. Not sequences themselves (PyTorch takes them, and mixes up
        their steps), nor :class:`ReduceLROnPlateau`.
    milestones : list of int
        The steps at which the second, third, ... schedule starts.
    last_epoch : int
        See :class:`LRScheduler`.

    Raises
    ------
    OptionError
        If schedules and milestones do not fit each other or the optimiser.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> from minicnn.optim import SGD
    >>> from minicnn.optim.lr_scheduler import ExponentialLR, LinearLR
    >>> optimizer = SGD([Tensor([0.0], requires_grad=True)], lr=1.0)
    >>> warm_up = LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> scheduler = SequentialLR(optimizer, [warm_up, ExponentialLR(optimizer, gamma=0.5)], milestones=[2])
    >>> for epoch in range(4):
    ...     print(scheduler.get_last_lr())
    ...     optimizer.step()
    ...     scheduler.step()
    [0.5]
    [0.75]
    [1.0]
    [0.5]
    """

    not_saved: ClassVar[tuple[str, ...]] = ("optimizer", "_schedulers")

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        self._attach(optimizer)
        for scheduler in schedulers:
            fits = isinstance(scheduler, LRScheduler)
            fits = fits and not isinstance(scheduler, (ReduceLROnPlateau, SequentialLR))
            self._require(fits, "schedules", "that are no sequence and need no figure", scheduler)
            self._require(scheduler.optimizer is optimizer, "schedules", "of one optimizer", "another's")
        fits = 0 < len(schedulers) == len(milestones) + 1
        self._require(fits, "milestones", f"between {len(schedulers)} schedules", milestones)
        for milestone in milestones:
            self._require_int("milestones", milestone, 0)
        self._require(list(milestones) == sorted(milestones), "milestones", "in rising order", milestones)
        self._require_int("last_epoch", last_epoch, -1)
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in schedulers:  # only the first one shall have made its initial step
            scheduler.last_epoch -= 1
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Go on by one step of the schedule in force."""
        with self._all_or_nothing():
            self.last_epoch += 1
            self._step_inner()

    def _step_inner(self) -> None:
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """Its own state, and under ``"_schedulers"`` the states of its schedules."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned, see :meth:`LRScheduler.load_state_dict`."""
        super().load_state_dict(state_dict)
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)

    def _verify(self, state_dict: dict[str, Any]) -> None:
        super()._verify(state_dict)
        states = state_dict.get("_schedulers", [])
        ours, theirs = len(self._schedulers), len(states)
        if ours != theirs:
            raise CheckpointError(expected=f"the states of {ours} schedules", got=str(theirs))
        for scheduler, state in zip(self._schedulers, states, strict=True):
            scheduler._verify(state)
