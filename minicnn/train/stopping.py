"""Keeping the best model of a training, and ending it when it no longer gets better."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.core.tensor import Tensor
from minicnn.errors import CheckpointError, OptionError
from minicnn.io import load, save
from minicnn.train.callbacks import Callback

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer

__all__ = ["MONITORS", "BestModel", "EarlyStopping"]

# What may be watched, and whether more of it is better.
MONITORS = {"val_loss": False, "val_accuracy": True, "train_loss": False, "train_accuracy": True}


class _Watch(Callback):
    """Knows the best value of a measure so far."""

    def __init__(self, monitor: str, min_delta: float = 0.0) -> None:
        if monitor not in MONITORS:
            raise OptionError(
                expected=f"a measure out of {', '.join(MONITORS)}", got=repr(monitor), op=type(self).__name__
            )
        if min_delta < 0:
            raise OptionError(expected="min_delta >= 0", got=str(min_delta), op=type(self).__name__)
        self.monitor = monitor
        self.min_delta = min_delta
        self.best: float | None = None

    def improves(self, record: dict[str, Any]) -> bool:
        """Whether the measure is better than ever before, by more than ``min_delta``; then it is the best."""
        value = record.get(self.monitor)
        if value is None:
            lacking = (
                "mixed images have none" if self.monitor == "train_accuracy" else "there is no validation"
            )
            raise OptionError(f"{self.monitor} is watched, and {lacking}", op=type(self).__name__)
        if math.isnan(value):
            return False
        gain = math.inf if self.best is None else value - self.best
        if not MONITORS[self.monitor] and self.best is not None:
            gain = -gain
        if gain > self.min_delta:
            self.best = value
            return True
        return False


class EarlyStopping(_Watch):
    """Ends the training when a measure has not become better for some epochs.

    Parameters
    ----------
    patience : int
        So many epochs in a row without a better value end it.
    monitor : {"val_loss", "val_accuracy", "train_loss", "train_accuracy"}
        What is watched.
    min_delta : float
        Better by less does not count.

    Raises
    ------
    OptionError
        If the patience is not positive or there is no such measure; while training, if there is no
        validation, or no training accuracy because images are mixed.

    References
    ----------
    L. Prechelt, "Early Stopping - But When?", 1998.

    Examples
    --------
    >>> watch = EarlyStopping(patience=2, monitor="val_accuracy")
    >>> [watch.is_over({"val_accuracy": a}) for a in (0.5, 0.6, 0.6, 0.59)]
    [False, False, False, True]
    """

    name = "early_stopping"

    def __init__(self, patience: int, monitor: str = "val_loss", min_delta: float = 0.0) -> None:
        super().__init__(monitor, min_delta)
        if patience < 1:
            raise OptionError(expected="patience >= 1", got=str(patience), op="EarlyStopping")
        self.patience = patience
        self.waited = 0

    def is_over(self, record: dict[str, Any]) -> bool:
        """Whether an epoch with these measures is the last."""
        self.waited = 0 if self.improves(record) else self.waited + 1
        return self.waited >= self.patience

    def on_start(self, trainer: Trainer, updates: int, epochs: int, max_steps: int) -> None:
        if self.waited >= self.patience:  # it was resumed after its end
            trainer.stop()

    def on_epoch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        if self.is_over(record):
            trainer.stop()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.waited = state["best"], int(state["waited"])


class BestModel(_Watch):
    """Keeps the weights of the epoch with the best value of a measure.

    They are those that validation measures: of the moving average, if there is one. With a run directory
    they are in ``best.safetensors``, else in memory.

    Parameters
    ----------
    monitor : {"val_loss", "val_accuracy", "train_loss", "train_accuracy"}
        What is watched.

    Attributes
    ----------
    epoch : int or None
        The epoch of the best weights; the first is 0.
    """

    name = "best_model"

    def __init__(self, monitor: str = "val_accuracy") -> None:
        super().__init__(monitor)
        self.epoch: int | None = None
        self._weights: dict[str, Tensor] | None = None

    def on_epoch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        if not self.improves(record):
            return
        self.epoch = record["epoch"]
        with ExitStack() as stack:
            for callback in trainer.callbacks:
                stack.enter_context(callback.evaluating(trainer))
            weights = {name: Tensor(value.array.copy()) for name, value in trainer.model.state_dict().items()}
        path = _file(trainer)
        if path is None:
            self._weights = weights
        else:
            save(weights, path)

    def restore(self, trainer: Trainer) -> bool:
        """Give the model its best weights; False if no epoch was completed.

        Raises
        ------
        CheckpointError
            If they are gone: without a run directory a checkpoint does not keep them.
        """
        if self.epoch is None:
            return False
        path = _file(trainer)
        weights: Any = self._weights if path is None else load(path)
        if weights is None:
            raise CheckpointError("the best weights were in memory alone; give the Trainer a run directory")
        trainer.model.load_state_dict(weights)
        return True

    def require_weights(self, trainer: Trainer) -> None:
        """Refuse to go on with a training whose best weights so far are gone.

        Raises
        ------
        CheckpointError
            If there were some.
        """
        path = _file(trainer)
        if self.epoch is not None and path is not None and not path.is_file():
            raise CheckpointError(
                f"{path}: gone, with the weights of epoch {self.epoch + 1}, the best so far"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.epoch = state["best"], state["epoch"]


def _file(trainer: Trainer) -> Path | None:
    return None if trainer.run_dir is None else trainer.run_dir / "best.safetensors"
