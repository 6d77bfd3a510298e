"""The training loop, with validation, checkpoints, exact resumption and a watch on the numbers.

At heart it is the four lines of a hand-written loop, and gives the same numbers::

    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from minicnn.core import random
from minicnn.core.fusion import fusing
from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor
from minicnn.data import DataLoader
from minicnn.errors import CheckpointError, NonFiniteError, OptionError
from minicnn.io import checkpoint
from minicnn.nn import Module
from minicnn.nn.functional import cross_entropy
from minicnn.nn.utils import clip_grad_norm_
from minicnn.optim import Optimizer
from minicnn.optim.lr_scheduler import ReduceLROnPlateau
from minicnn.train import anomaly
from minicnn.train.callbacks import Callback, WaitingTime
from minicnn.train.checks import check_finite, check_repeatable, check_schedule, evaluation_mode
from minicnn.train.log import Log, check_length
from minicnn.train.metrics import Metrics
from minicnn.train.signals import Interrupted, StopRequest

__all__ = ["Interrupted", "Trainer"]

_NEVER = (-1, -1)  # step and epoch of the newest checkpoint where there is none


class Trainer:
    """Trains a classifier.

    Parameters
    ----------
    model : Module
        From a batch of images to one row of scores (logits) per image.
    optimizer : Optimizer
        Over the model's parameters.
    loss : callable
        ``loss(scores, labels)``, the mean over the batch.
    classes : int or sequence of str
        The number of classes, or their names.
    scheduler : object, optional
        A learning-rate scheduler; stepped after each update, ``ReduceLROnPlateau`` after each validation.
    clip_norm : float
        Scale the gradient down to this norm where it is longer; 0 leaves it.
    seed : int
        Kept in checkpoints. The order of the images comes from the loader's own seed.
    device : str
        Where the batches go.
    compile : bool
        Compute neighbouring layers at once, as :func:`minicnn.compile` does; the model is not marked.
    run_dir : path-like, optional
        Directory for ``metrics.jsonl`` and ``checkpoints/``; without it nothing is written.
    checkpoint_every : int
        Updates between checkpoints; 0: only at the end of each epoch.
    identity : (mapping of str, str)
        Options that decide the numbers, and the data's fingerprint; kept in checkpoints and compared.
    callbacks : sequence of Callback
        Told of every step and epoch.

    Attributes
    ----------
    step, epoch, position : int
        Updates done, epochs completed, batches of the current one done.
    loading : WaitingTime

    Examples
    --------
    >>> import minicnn
    >>> from minicnn import nn, optim, data
    >>> _ = minicnn.manual_seed(0)
    >>> x = minicnn.randn(32, 2)
    >>> pairs = data.TensorDataset(x, (x[:, 0] > 0).to(minicnn.int64))
    >>> model = nn.Linear(2, 2)
    >>> trainer = Trainer(model, optim.SGD(model.parameters(), lr=1.0), classes=2)
    >>> history = trainer.fit(data.DataLoader(pairs, batch_size=8, shuffle=True, seed=0), epochs=5)
    >>> history[-1]["train_accuracy"] > 0.9
    True
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
        *,
        classes: int | Sequence[str],
        scheduler: Any = None,
        clip_norm: float = 0.0,
        seed: int = 0,
        device: str = "cpu",
        compile: bool = True,
        run_dir: str | Path | None = None,
        checkpoint_every: int = 0,
        identity: tuple[Mapping[str, Any], str] = ({}, ""),
        callbacks: Sequence[Callback] = (),
    ) -> None:
        if clip_norm < 0 or checkpoint_every < 0:
            raise OptionError("clip_norm and checkpoint_every must not be negative", op="Trainer")
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.scheduler, self.clip_norm, self.seed = scheduler, clip_norm, seed
        self.device, self.compile = device, compile
        self.run_dir = None if run_dir is None else Path(run_dir)
        self.checkpoint_every = checkpoint_every
        self.identity = identity
        self.callbacks = list(callbacks)
        self.metrics = Metrics(classes)  # of the current epoch's training batches
        self.step = self.epoch = self.position = 0
        self.loading = WaitingTime()
        self._parameters = list(model.parameters())
        self._stop = StopRequest()
        self._log: Log | None = None
        self._saved = _NEVER  # step and epoch of the newest checkpoint

    # -- training ----------------------------------------------------------------------------

    def fit(
        self, train: DataLoader, validation: Iterable[Any] | None = None, *, epochs: int, max_steps: int = 0
    ) -> list[dict[str, Any]]:
        """Train until ``epochs`` epochs are completed, counting those before a resumption.

        Parameters
        ----------
        train : DataLoader
            Batches (images, labels); its epoch is set before each pass.
        validation : iterable of batches, optional
            Evaluated after each epoch.
        epochs : int
            When to end.
        max_steps : int
            End after this many updates in all, even within an epoch; 0: no such limit.

        Returns
        -------
        list of dict
            Per epoch: ``epoch, step, train_loss, train_accuracy``, and ``val_loss, val_accuracy``.

        Raises
        ------
        OptionError
            If the run directory holds checkpoints that were not resumed or a loader could not repeat its
            passes (no seed, or a sampler's own generator), or if the schedule ends too early.
        NonFiniteError
            If the loss or a gradient is not finite; the parameters are those before the step.
        Interrupted
            After SIGINT or SIGTERM; the state was saved.
        OSError
            If a checkpoint or the log cannot be written.
        """
        self._check(train, validation, epochs, max_steps)
        history: list[dict[str, Any]] = []
        with self._stop, self._logging():
            self._tell("on_start", len(train), epochs, max_steps)
            try:
                while self.epoch < epochs and (
                    self.position == len(train)  # its validation is still to come
                    or not (max_steps and self.step >= max_steps)
                ):
                    if self._train_epoch(train, max_steps):
                        history.append(self._end_epoch(validation))
                self.save()
                self._heed_signals()
            finally:
                self._tell("on_end")
        return history

    def _check(self, train: DataLoader, validation: Any, epochs: int, max_steps: int) -> None:
        """Refuse a training that would fail later, or that its run directory could not take up again."""
        updates = (epochs - self.epoch) * len(train) - self.position
        check_schedule(self.scheduler, min(updates, (max_steps or math.inf) - self.step), validation)
        if self.run_dir is not None:
            check_repeatable(train, validation)
            if self._saved == _NEVER:
                checkpoint.refuse_others(self.run_dir / "checkpoints")

    def _train_epoch(self, loader: DataLoader, max_steps: int) -> bool:
        """The updates of an epoch that are still to be done; False if ``max_steps`` cut it short."""
        loader.set_epoch(self.epoch)
        self.model.train()
        batches: Any = loader.batches(start=self.position)
        with closing(batches):
            for images, labels in self.loading.of(batches):
                self._update(images, labels)
                if self.checkpoint_every and self.step % self.checkpoint_every == 0:
                    self.save()
                self._heed_signals()
                if self.step == max_steps and self.position < len(loader):
                    return False
        return True

    def _update(self, images: Tensor, labels: Tensor) -> None:
        """One step: forward, backward, and the update, if all numbers are finite."""
        images, labels = images.to(self.device), labels.to(self.device)
        random_state = random.get_state()
        self.optimizer.zero_grad()
        with fusing(self.compile):
            scores = self.model(images)
        loss = self.loss(scores, labels)
        value = loss.item()
        if not math.isfinite(value):
            raise self._explain(images, labels, random_state)
        loss.backward()
        gradients = [p.grad.array for p in self._parameters if p.grad is not None]
        if not anomaly.all_finite(gradients):
            raise self._explain(images, labels, random_state)
        if self.clip_norm:
            clip_grad_norm_(self._parameters, self.clip_norm)
        rate = self.optimizer.param_groups[0]["lr"]
        record = {"step": self.step + 1, "epoch": self.epoch, "loss": value, "lr": rate}
        self.metrics.update(labels, scores.detach(), value)  # first: it may refuse the labels
        self.optimizer.step()
        if self.scheduler is not None and not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
        self.step += 1
        self.position += 1
        self._note(record)
        self._tell("on_step", record, len(labels))

    def _tell(self, event: str, *facts: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *facts)

    def _explain(self, images: Tensor, labels: Tensor, random_state: str) -> NonFiniteError:
        """The error that says where a bad number came from; the random state ends as it was."""
        random.set_state(random_state)
        error = anomaly.explain(self.model, lambda: self.loss(self.model(images), labels))
        random.set_state(random_state)
        error.hint = f"step {self.step + 1} was not taken; a lower learning rate or clip_norm may help"
        return error

    def _end_epoch(self, validation: Iterable[Any] | None) -> dict[str, Any]:
        record = {
            "epoch": self.epoch,
            "step": self.step,
            "train_loss": self.metrics.loss,
            "train_accuracy": self.metrics.accuracy,
        }
        if validation is not None:
            measured = self.evaluate(validation)
            record |= {"val_loss": measured.loss, "val_accuracy": measured.accuracy}
            if isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step(measured.loss)
        self._note(record)
        self.epoch += 1
        self.position = 0
        self.metrics = Metrics(self.metrics.classes)
        self.save()
        self._tell("on_epoch", record)
        return record

    def evaluate(self, loader: Iterable[Any]) -> Metrics:
        """Loss and counts over all batches, in evaluation mode; training goes on as if it had not been."""
        metrics = Metrics(self.metrics.classes)
        random_state = random.get_state()
        if hasattr(loader, "set_epoch"):  # a resumed training shall see what an uninterrupted one sees
            loader.set_epoch(self.epoch)
        try:
            with no_grad(), evaluation_mode(self.model):
                for images, labels in loader:
                    images, labels = images.to(self.device), labels.to(self.device)
                    with fusing(self.compile):
                        scores = self.model(images)
                    metrics.update(labels, scores, self.loss(scores, labels).item())
                    if self._stop.signal is not None:
                        break
        finally:
            random.set_state(random_state)
        self._heed_signals()  # only now, so that what is saved is the state of before
        return metrics

    # -- state -------------------------------------------------------------------------------

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
        random.set_state(state["random_state"])
        self.step, self.epoch, self.position = state["step"], state["epoch"], state["position"]

    def save(self) -> Path | None:
        """Write a checkpoint of the present state, unless this step has one; None without a run directory.

        Raises
        ------
        NonFiniteError
            If a number of the state is not finite: it would be no use to go on from.
        OSError
            If it cannot be written; earlier checkpoints are intact then.
        """
        if self.run_dir is None or self._saved == (self.step, self.epoch):
            return None
        state = self.state()
        check_finite(state)
        path = checkpoint.save(self.run_dir / "checkpoints", state)
        self._saved = (self.step, self.epoch)
        return path

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
        self._saved = (self.step, self.epoch)
        return True

    # -- on the side -------------------------------------------------------------------------

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

    def _heed_signals(self) -> None:
        if self._stop.signal is not None:
            raise Interrupted(self._stop.signal, str(self.save() or ""))
