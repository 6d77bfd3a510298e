"""Being told of a training's progress, and showing it on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from minicnn.train.trainer import Trainer

__all__ = ["Callback", "LiveProgress", "PlainProgress", "Timer", "WaitingTime", "progress"]


class Callback:
    """Base of all callbacks; each method may be left out.

    What a callback keeps between epochs belongs into its state, so that a resumed training goes on as one
    that was never stopped. Callbacks are told in the order in which the :class:`Trainer` got them.

    Attributes
    ----------
    name : str
        Under which a checkpoint keeps its state; empty if it has none.

    Examples
    --------
    >>> class CountImages(Callback):
    ...     name = "count_images"
    ...     total = 0
    ...     def on_step(self, trainer, record, images):
    ...         self.total += images
    ...     def state_dict(self):
    ...         return {"total": self.total}
    ...     def load_state_dict(self, state):
    ...         self.total = state["total"]
    """

    name = ""

    def on_start(self, trainer: Trainer, updates: int, epochs: int, max_steps: int) -> None:
        """Training begins or goes on, so many updates an epoch, until so many epochs or updates in all."""

    def on_step(self, trainer: Trainer, record: dict[str, Any], images: int) -> None:
        """An update was made; ``record`` has step, epoch, loss and lr."""

    def on_epoch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """An epoch was completed; ``record`` is what :meth:`Trainer.fit` returns for it.

        It is called before the checkpoint of this epoch is written. ``trainer.stop()`` makes it the last.
        """

    def on_save(self, trainer: Trainer, path: Path) -> None:
        """A checkpoint was written."""

    def on_end(self, trainer: Trainer) -> None:
        """Training ended, was stopped, or failed."""

    def evaluating(self, trainer: Trainer) -> AbstractContextManager[Any]:
        """In force while the trainer measures, as averaged weights are."""
        return nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: numbers, texts, arrays, and dicts of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of :meth:`state_dict`."""


class Timer(Callback):
    """Measures the speed of the updates; validation and checkpoints do not count.

    Attributes
    ----------
    updates, images : int
        Updates made, and images trained on, since the start or the resumption.
    seconds : float
        Time spent in updates.
    """

    def __init__(self) -> None:
        self.updates = 0
        self.images = 0
        self.seconds = 0.0
        self._last: float | None = None

    def on_start(self, trainer: Trainer, updates: int, epochs: int, max_steps: int) -> None:
        self.last_step = min(updates * epochs, max_steps or updates * epochs)
        self._last = time.perf_counter()

    def on_step(self, trainer: Trainer, record: dict[str, Any], images: int) -> None:
        now = time.perf_counter()
        self.updates += 1
        self.images += images
        self.seconds += 0.0 if self._last is None else now - self._last
        self._last = now

    def on_epoch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        self._last = time.perf_counter()

    def on_save(self, trainer: Trainer, path: Path) -> None:
        self._last = time.perf_counter()

    @property
    def images_per_second(self) -> float:
        """Images trained on per second of updates; 0 before the first."""
        return self.images / self.seconds if self.seconds else 0.0


class WaitingTime:
    """Adds up the time that an iterator takes to give values; as for :class:`Timer`, its end does not count.

    Attributes
    ----------
    seconds : float

    Examples
    --------
    >>> waiting = WaitingTime()
    >>> list(waiting.of(iter([1, 2]))), waiting.seconds > 0
    ([1, 2], True)
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def of(self, values: Iterator[Any]) -> Iterator[Any]:
        """The same values."""
        nothing = object()
        while True:
            started = time.perf_counter()
            value = next(values, nothing)
            if value is nothing:
                return
            self.seconds += time.perf_counter() - started
            yield value


class PlainProgress(Timer):
    """Plain lines: one an epoch, and one every few seconds within it.

    Parameters
    ----------
    stream : text file
        Standard error by default.
    every : float
        Seconds between lines.
    """

    def __init__(self, stream: IO[str] | None = None, every: float = 10.0) -> None:
        super().__init__()
        self.stream = stream or sys.stderr
        self.every = every
        self._told = 0.0

    def on_start(self, trainer: Trainer, updates: int, epochs: int, max_steps: int) -> None:
        super().on_start(trainer, updates, epochs, max_steps)
        self._told = time.perf_counter()

    def on_step(self, trainer: Trainer, record: dict[str, Any], images: int) -> None:
        super().on_step(trainer, record, images)
        if time.perf_counter() - self._told >= self.every:
            self._told = time.perf_counter()
            self._say(f"epoch {record['epoch'] + 1}  {status(self, trainer, record)}")

    def on_epoch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        super().on_epoch(trainer, record)
        self._told = time.perf_counter()
        self._say(epoch_line(record, self.images_per_second))

    def _say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


class LiveProgress(Timer):
    """A live bar on a terminal, with loss, accuracy, images per second and the time left.

    Parameters
    ----------
    console : rich.console.Console, optional
        Standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[status]}")
        self._bar = Progress(*columns, console=console or Console(stderr=True), transient=True)

    def on_start(self, trainer: Trainer, updates: int, epochs: int, max_steps: int) -> None:
        super().on_start(trainer, updates, epochs, max_steps)
        self._task = self._bar.add_task("training", total=self.last_step, completed=trainer.step, status="")
        self._bar.start()

    def on_step(self, trainer: Trainer, record: dict[str, Any], images: int) -> None:
        super().on_step(trainer, record, images)
        text = status(self, trainer, record)
        self._bar.update(
            self._task, completed=trainer.step, description=f"epoch {record['epoch'] + 1}", status=text
        )

    def on_epoch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        super().on_epoch(trainer, record)
        self._bar.console.print(epoch_line(record, self.images_per_second), highlight=False)

    def on_end(self, trainer: Trainer) -> None:
        self._bar.stop()


def status(timer: Timer, trainer: Trainer, record: dict[str, Any]) -> str:
    """How it stands within an epoch: step, loss, accuracy so far, speed, time left."""
    left = (timer.last_step - trainer.step) * timer.seconds / timer.updates
    accuracy = f"  accuracy {trainer.metrics.accuracy:.2%}" if trainer.mix is None else ""
    return (
        f"step {record['step']}/{timer.last_step}  loss {record['loss']:.4f}{accuracy}  "
        f"{timer.images_per_second:,.0f} images/s  {left:.0f} s left"
    )


def epoch_line(record: dict[str, Any], speed: float) -> str:
    """An epoch in one line."""
    text = f"train loss {record['train_loss']:.4f}"
    if "train_accuracy" in record:
        text += f" accuracy {record['train_accuracy']:.2%}"
    if "val_loss" in record:
        text += ", validation loss {val_loss:.4f} accuracy {val_accuracy:.2%}".format(**record)
    return f"epoch {record['epoch'] + 1}: {text}, {speed:,.0f} images/s"


def progress() -> Timer:
    """A live bar where standard error is a terminal, plain lines elsewhere."""
    return LiveProgress() if sys.stderr.isatty() else PlainProgress()
