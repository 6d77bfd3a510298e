"""All that decides how a training goes on: kept in checkpoints, and taken up again to the bit."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from minicnn.core import random
from minicnn.errors import CheckpointError
from minicnn.io import checkpoint
from minicnn.nn import Module
from minicnn.optim import Optimizer
from minicnn.train.callbacks import Callback
from minicnn.train.checks import check_finite
from minicnn.train.log import Log, check_length
from minicnn.train.metrics import Metrics

__all__ = ["NEVER", "Resumable"]

NEVER = (-1, -1)  # step and epoch of the newest checkpoint where there is none


class Resumable:
    """The half of a :class:`~minicnn.train.trainer.Trainer` that keeps and takes up its state."""

    model: Module
    optimizer: Optimizer
    scheduler: Any
    metrics: Metrics
    callbacks: list[Callback]
    run_dir: Path | None
    identity: tuple[Mapping[str, Any], str]
    seed: int
    step: int
    epoch: int
    position: int
    keep: int
    _log: Log | None
    _saved: tuple[int, int]  # step and epoch of the newest checkpoint
    _newest: Path | None  # its file

    def state(self) -> dict[str, Any]:
        """All that decides how the training goes on: the fields of :data:`minicnn.io.checkpoint.STATE`."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "position": self.position,
            "seed": self.seed,
            "random_state": random.get_state(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "metrics": self.metrics.state_dict(),
            "callbacks": {c.name: c.state_dict() for c in self.callbacks if c.name},
            "log_bytes": self._log.sync() if self._log else 0,
            "config": dict(self.identity[0]),
            "data_fingerprint": self.identity[1],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of :meth:`state`; if that fails, nothing is changed.

        Raises
        ------
        OptionError
            If it belongs to another configuration or data set, naming the first option that differs.
        CheckpointError
            If it belongs to another model, optimizer or scheduler.
        """
        checkpoint.check_identity(state, *self.identity)
        before = copy.deepcopy(self.state())
        try:
            self._take(state)
        except BaseException:
            self._take(before)
            raise

    def _take(self, state: dict[str, Any]) -> None:
        if (self.scheduler is None) != (state["scheduler"] is None):
            raise CheckpointError("either the checkpoint has a scheduler or this training, but not both")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.metrics.load_state_dict(state["metrics"])
        for callback in self.callbacks:
            if callback.name in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][callback.name])
        random.set_state(state["random_state"])
        self.step, self.epoch, self.position = state["step"], state["epoch"], state["position"]

    def save(self) -> Path | None:
        """Write a checkpoint of the present state, unless this step has one, and give its file.

        Without a run directory there is none.

        Raises
        ------
        NonFiniteError
            If a number of the state is not finite: it would be no use to go on from.
        OSError
            If it cannot be written; earlier checkpoints are intact then.
        """
        if self.run_dir is None or self._saved == (self.step, self.epoch):
            return self._newest
        state = self.state()
        check_finite(state)
        self._newest = checkpoint.save(self.run_dir / "checkpoints", state, keep=self.keep)
        self._saved = (self.step, self.epoch)
        for callback in self.callbacks:
            callback.on_save(self, self._newest)  # type: ignore[arg-type]
        return self._newest

    def resume(self) -> bool:
        """Go on from the newest good checkpoint of the run directory; False if there is none.

        The log is cut back to what it was at the checkpoint.

        Raises
        ------
        OptionError
            If it belongs to another configuration or data set.
        CheckpointError
            If every checkpoint is damaged, or the newest good one does not fit this training or the log.
        """
        if self.run_dir is None or (found := checkpoint.latest(self.run_dir / "checkpoints")) is None:
            return False
        path, state = found
        check_length(self.run_dir / "metrics.jsonl", state["log_bytes"])
        self.load_state(state)
        with closing(Log(self.run_dir / "metrics.jsonl")) as log:
            log.truncate(state["log_bytes"])
        checkpoint.drop_newer(path)
        self._saved, self._newest = (self.step, self.epoch), path
        return True

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """Keep ``metrics.jsonl`` open; a training from the start begins it anew."""
        if self.run_dir is None:
            yield
            return
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with closing(Log(self.run_dir / "metrics.jsonl")) as self._log:
            if not (self.step or self.epoch):
                self._log.truncate(0)
            try:
                yield
            finally:
                self._log.sync()
                self._log = None

    def _note(self, record: dict[str, Any]) -> None:
        if self._log:
            self._log.write(record)
