"""What all schedules share: counting, writing the learning rates, and state."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from minicnn.errors import CheckpointError, OptionError
from minicnn.optim.optimizer import Optimizer

__all__ = ["LRScheduler"]


class LRScheduler:
    """Base class of the schedules: sets ``group["lr"]`` of an optimiser, one step at a time.

    A subclass sets its options, calls ``super().__init__`` and gives :meth:`get_lr`. In its
    formulas e is ``last_epoch``, the number of steps so far, and lr₀ the group's initial rate.

    Parameters
    ----------
    optimizer : Optimizer
        Its groups get the key ``"initial_lr"``.
    last_epoch : int
        -1 to start. Another value continues a schedule whose optimiser was restored, with its
        ``"initial_lr"``; :meth:`load_state_dict` is the better way.

    Attributes
    ----------
    base_lrs : list of float
        The initial learning rate of each group.
    last_epoch : int
        The number of steps so far.

    Raises
    ------
    OptionError
        If ``optimizer`` is none, or a continued schedule has no ``"initial_lr"``.

    Notes
    -----
    The sequences are PyTorch's, including how each rate follows from the one before it, so a rate
    that was changed by hand in between is carried on.
    """

    not_saved: ClassVar[tuple[str, ...]] = ("optimizer",)

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self._require_int("last_epoch", last_epoch, -1)
        self._attach(optimizer)
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise self._refuse("groups with initial_lr to go on from", f"last_epoch={last_epoch} without")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _attach(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise self._refuse("an optimizer", type(optimizer).__name__)
        self.optimizer = optimizer

    def _initial_step(self) -> None:
        self._step_count = 0
        self.step()

    @property
    def _is_initial(self) -> bool:
        """True in the step that the constructor takes."""
        return self._step_count == 1

    # -- to be given by subclasses -----------------------------------------------------------

    def get_lr(self) -> list[float]:
        """The learning rates at ``last_epoch``, from those in force; see :meth:`get_last_lr`."""
        raise NotImplementedError(f"{type(self).__name__} has no formula")

    def _get_closed_form_lr(self) -> list[float]:
        """The learning rates at ``last_epoch``, from the initial ones."""
        return self.get_lr()

    # -- use ---------------------------------------------------------------------------------

    def step(self, epoch: int | None = None) -> None:
        """Go on by one step: call it after ``optimizer.step()``. An error leaves all as it was.

        Parameters
        ----------
        epoch : int, optional
            Jump there instead, by the closed formula.
        """
        if self._step_count == 1 and not self.optimizer.steps and type(self.optimizer).step is Optimizer.step:
            warnings.warn(
                f"{type(self).__name__}.step() came before optimizer.step(): "
                "the first learning rate of the schedule is left out",
                UserWarning,
                stacklevel=2,
            )
        with self._all_or_nothing():
            self._step_count += 1
            self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        with self._all_or_nothing():
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            self._write(self.get_lr() if epoch is None else self._get_closed_form_lr())

    def _write(self, rates: list[float]) -> None:
        for group, rate in list(zip(self.optimizer.param_groups, rates, strict=True)):
            group["lr"] = rate
        self._last_lr = self._rates()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Put the counters back if the rates cannot be computed, which reads the counters."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            vars(self).update(before)
            raise

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The learning rates that the last step set, one per group."""
        return self._last_lr

    # -- saving ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser (and functions), as plain numbers, lists and dicts."""
        return self._savable(vars(self))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; the schedule then goes on bitwise.

        Restore the optimiser too, after the schedule was made: making one sets learning rates.

        Raises
        ------
        CheckpointError
            If the entries are not those of this schedule.
        """
        self._verify(state_dict)
        vars(self).update(self._savable(state_dict))

    def _savable(self, entries: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in entries.items() if name not in self.not_saved}

    def _verify(self, state_dict: dict[str, Any]) -> None:
        ours, theirs = set(self._savable(vars(self))), set(self._savable(state_dict))
        if ours != theirs:
            raise CheckpointError(
                expected=f"the state of {type(self).__name__}",
                got=f"one without {sorted(ours - theirs)} and with {sorted(theirs - ours)}",
            )

    # -- helpers -----------------------------------------------------------------------------

    def _refuse(self, expected: str, got: str) -> OptionError:
        return OptionError(expected=expected, got=got, op=type(self).__name__)

    def _require(self, holds: bool, name: str, range_: str, value: Any) -> None:
        if not holds:
            raise self._refuse(f"{name} {range_}", repr(value))

    def _require_int(self, name: str, value: Any, low: int) -> None:
        range_ = "a positive integer" if low == 1 else f"an integer >= {low}"
        self._require(isinstance(value, int) and value >= low, name, range_, value)

    def _require_positive_int(self, name: str, value: Any) -> None:
        self._require_int(name, value, 1)

    def _require_number(self, name: str, value: Any, interval: str) -> None:
        """A number in an interval that is written as in ``"(0, 1]"``."""
        low, high = (float(end) for end in interval[1:-1].split(","))
        fits = isinstance(value, (int, float, np.number)) and low <= value <= high
        fits = fits and (value != low or interval[0] == "[") and (value != high or interval[-1] == "]")
        self._require(bool(fits), name, f"in {interval}", value)

    def _numbers(self, name: str, value: Any, interval: str) -> list[float]:
        """Numbers in an interval, one per group."""
        numbers = self._per_group(name, value)
        for number in numbers:
            self._require_number(name, number, interval)
        return numbers

    def _per_group(self, name: str, value: Any) -> list[float]:
        """One value for all groups, or a list with one for each."""
        groups = len(self.optimizer.param_groups)
        if not isinstance(value, (list, tuple)):
            return [value] * groups
        self._require(len(value) == groups, name, f"for each of {groups} groups", value)
        return list(value)
