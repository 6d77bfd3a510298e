"""What all schedules share: counting, writing the learning rates, and state."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

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
        """Go on by one step: call it after ``optimizer.step()``.

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
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._write(self.get_lr() if epoch is None else self._get_closed_form_lr())

    def _write(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._rates()

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

    def _require_positive_int(self, name: str, value: Any) -> None:
        self._require(isinstance(value, int) and value > 0, name, "a positive integer", value)

    def _per_group(self, name: str, value: Any) -> list[float]:
        """One value for all groups, or a list with one for each."""
        groups = len(self.optimizer.param_groups)
        if not isinstance(value, (list, tuple)):
            return [value] * groups
        self._require(len(value) == groups, name, f"for each of {groups} groups", value)
        return list(value)
