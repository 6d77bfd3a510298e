"""The training loop, with validation, checkpoints, exact resumption and a watch on the numbers.

At heart it is the four lines of a hand-written loop, and gives the same numbers::

    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from minicnn.core import random
from minicnn.core.fusion import fusing
from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor
from minicnn.data import DataLoader, check_fitted
from minicnn.errors import NonFiniteError, OptionError
from minicnn.io import checkpoint
from minicnn.nn import Module
from minicnn.nn.functional import cross_entropy
from minicnn.nn.utils import clip_grad_norm_
from minicnn.optim import Optimizer
from minicnn.optim.lr_scheduler import ReduceLROnPlateau
from minicnn.train import anomaly
from minicnn.train.callbacks import Callback, WaitingTime
from minicnn.train.checks import check_repeatable, check_schedule, evaluation_mode, require_finite
from minicnn.train.log import Log
from minicnn.train.metrics import Metrics
from minicnn.train.resumption import NEVER, Resumable
from minicnn.train.signals import Interrupted, StopRequest

__all__ = ["Interrupted", "Trainer"]

_MIXING = 0x6D6978  # tells the generator of a batch's mixing from that of its images


class Trainer(Resumable):
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
    accumulate : int
        Batches whose gradients, each counting by its images, make one update: a batch size of so many times
        the loader's, but batch normalisation and class weights still see each batch by itself.
    mix : callable, optional
        ``mix(images, labels)`` gives the images to train on and, for each, the probabilities of all classes,
        as :class:`~minicnn.transforms.MixUp` does. Its randomness depends on seed, epoch and batch alone.
    validation_loss : callable, optional
        The loss to measure with; by default the one to train with.
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
    keep : int
        How many of the newest checkpoints to keep, 2 at least: the newest may be damaged.
    identity : (mapping of str, str)
        Options that decide the numbers, and the data's fingerprint; kept in checkpoints and compared.
    callbacks : sequence of minicnn.train.Callback
        Told of every step, epoch and checkpoint, in this order; a subclass defines what it wants to hear of.

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
        accumulate: int = 1,
        mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
        validation_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        seed: int = 0,
        device: str = "cpu",
        compile: bool = True,
        run_dir: str | Path | None = None,
        checkpoint_every: int = 0,
        keep: int = 2,
        identity: tuple[Mapping[str, Any], str] = ({}, ""),
        callbacks: Sequence[Callback] = (),
    ) -> None:
        if clip_norm < 0 or checkpoint_every < 0 or accumulate < 1 or keep < 2:
            raise OptionError(
                expected="clip_norm and checkpoint_every >= 0, accumulate >= 1, keep >= 2",
                got=f"{clip_norm}, {checkpoint_every}, {accumulate}, {keep}",
                op="Trainer",
            )
        names = [callback.name for callback in callbacks if callback.name]
        if len(set(names)) < len(names):
            raise OptionError(
                expected="callbacks of different names, by which checkpoints keep their states",
                got=", ".join(names),
                hint="give one of them a name of its own",
                op="Trainer",
            )
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.scheduler, self.clip_norm, self.seed = scheduler, clip_norm, seed
        self.accumulate, self.mix, self.validation_loss = accumulate, mix, validation_loss or loss
        self.device, self.compile = device, compile
        self.run_dir = None if run_dir is None else Path(run_dir)
        self.checkpoint_every, self.keep = checkpoint_every, keep
        self.identity = identity
        self.callbacks = list(callbacks)
        self.metrics = Metrics(classes)  # of the current epoch's training batches
        self.step = self.epoch = self.position = 0
        self.loading = WaitingTime()
        self._parameters = list(model.parameters())
        self._signals = StopRequest()
        self._stopped = False
        self._log: Log | None = None
        self._saved, self._newest = NEVER, None

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
            End after this many updates in all, even within an epoch; 0: no such limit. Callbacks may end it
            sooner by :meth:`stop`.

        Returns
        -------
        list of dict
            Per epoch: ``epoch, step, train_loss, train_accuracy`` unless images are mixed, and ``val_loss,
            val_accuracy`` if there is a validation.

        Raises
        ------
        OptionError
            If the run directory holds checkpoints that were not resumed or a loader could not repeat its
            passes (no seed, or a sampler's own generator), if the schedule ends too early, or if a transform
            was fitted on more than the images to train on; see :func:`minicnn.data.check_fitted`.
        NonFiniteError
            If the loss or a gradient is not finite; the parameters are those before the step. Also if the
            validation loss is not.
        Interrupted
            After SIGINT or SIGTERM; the state was saved.
        OSError
            If a checkpoint or the log cannot be written.
        """
        self._check(train, validation, epochs, max_steps)
        history: list[dict[str, Any]] = []
        with self._signals, self._logging():
            self._stopped = False
            self._tell("on_start", self.updates(len(train)), epochs, max_steps)
            try:
                while (
                    self.epoch < epochs
                    and not self._stopped
                    and (
                        self.position == len(train)  # its validation is still to come
                        or not (max_steps and self.step >= max_steps)
                    )
                ):
                    if self._train_epoch(train, max_steps):
                        history.append(self._end_epoch(validation))
                self.save()
                self._heed_signals()
            finally:
                self._tell("on_end")
        return history

    def stop(self) -> None:
        """End the training with the present epoch."""
        self._stopped = True

    def updates(self, batches: int) -> int:
        """How many updates so many batches make."""
        return -(-batches // self.accumulate)

    def _check(self, train: DataLoader, validation: Any, epochs: int, max_steps: int) -> None:
        """Refuse a training that would fail later, or that its run directory could not take up again."""
        check_fitted(train, *[] if validation is None else [validation])
        updates = (epochs - self.epoch) * self.updates(len(train)) - self.updates(self.position)
        check_schedule(self.scheduler, min(updates, (max_steps or math.inf) - self.step), validation)
        if self.run_dir is not None:
            check_repeatable(train, validation)
            if self._saved == NEVER:
                checkpoint.refuse_others(self.run_dir / "checkpoints")

    def _train_epoch(self, loader: DataLoader, max_steps: int) -> bool:
        """The updates of an epoch that are still to be done; False if ``max_steps`` cut it short."""
        loader.set_epoch(self.epoch)
        self.model.train()
        batches: Any = loader.batches(start=self.position)
        with closing(batches):
            for images, labels in self.loading.of(batches):
                left = len(loader) - self.position
                if not self._learn(images, labels, left):
                    continue  # what is half added up is not saved
                if self.checkpoint_every and self.step % self.checkpoint_every == 0:
                    self.save()
                self._heed_signals()
                if self.step == max_steps and self.position < len(loader):
                    return False
        return True

    def _learn(self, images: Tensor, labels: Tensor, left: int) -> bool:
        """One batch: forward, backward, and the update if it is its turn; False if it is not.

        All numbers must be finite before the parameters change.
        """
        images, labels = images.to(self.device), labels.to(self.device)
        place = self.position % self.accumulate  # among the batches of this update
        together = min(self.accumulate, place + left)
        random_state = random.get_state()
        if not place:
            self.optimizer.zero_grad()
            self._sums = (0.0, 0)  # of the losses and the images of this update
        images, targets = self._mixed(images, labels)
        with fusing(self.compile):
            scores = self.model(images)
        loss = self.loss(scores, targets)
        value = loss.item()
        if not math.isfinite(value):
            raise self._explain(images, targets, random_state)
        (loss if together == 1 else loss * len(labels)).backward()  # _update divides by the images of all
        gradients = [p.grad.array for p in self._parameters if p.grad is not None]
        if not anomaly.all_finite(gradients):
            raise self._explain(images, targets, random_state)
        self.metrics.update(labels, scores.detach(), value)  # before the update: it may refuse the labels
        self._sums = (self._sums[0] + value * len(labels), self._sums[1] + len(labels))
        self.position += 1
        if place + 1 < together:
            return False
        if together > 1:
            for gradient in gradients:
                gradient /= self._sums[1]
        self._update(self._sums[0] / self._sums[1], self._sums[1])
        return True

    def _mixed(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What to train on: the batch itself, or images mixed with each other and their probabilities."""
        if self.mix is None:
            return images, labels
        with random.use_generator(random.new_generator(self.seed, self.epoch, self.position, _MIXING)):
            return self.mix(images, labels)

    def _update(self, loss: float, images: int) -> None:
        if self.clip_norm:
            clip_grad_norm_(self._parameters, self.clip_norm)
        rate = self.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        if self.scheduler is not None and not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
        self.step += 1
        record = {"step": self.step, "epoch": self.epoch, "loss": loss, "lr": rate}
        self._note(record)
        self._tell("on_step", record, images)

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
        _require_images(self.metrics, "to train on")
        record = {"epoch": self.epoch, "step": self.step, "train_loss": self.metrics.loss}
        if self.mix is None:  # what is mixed has no one class
            record["train_accuracy"] = self.metrics.accuracy
        if validation is not None:
            measured = self.evaluate(validation)
            _require_images(measured, "to validate on")
            require_finite(measured.loss, "validation")
            record |= {"val_loss": measured.loss, "val_accuracy": measured.accuracy}
            if isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step(measured.loss)
        self._note(record)
        self.epoch += 1
        self.position = 0
        self.metrics = Metrics(self.metrics.classes)
        self._tell("on_epoch", record)
        self.save()
        return record

    def evaluate(self, loader: Iterable[Any]) -> Metrics:
        """Loss and counts over all batches, in evaluation mode; training goes on as if it had not been."""
        metrics = Metrics(self.metrics.classes)
        random_state = random.get_state()
        if hasattr(loader, "set_epoch"):  # a resumed training shall see what an uninterrupted one sees
            loader.set_epoch(self.epoch)
        try:
            with ExitStack() as stack:
                for context in (no_grad(), evaluation_mode(self.model)):
                    stack.enter_context(context)
                for callback in self.callbacks:
                    stack.enter_context(callback.evaluating(self))
                for images, labels in loader:
                    images, labels = images.to(self.device), labels.to(self.device)
                    with fusing(self.compile):
                        scores = self.model(images)
                    metrics.update(labels, scores, self.validation_loss(scores, labels).item())
                    if self._signals.signal is not None:
                        break
        finally:
            random.set_state(random_state)
        self._heed_signals()  # only now, so that what is saved is the state of before
        return metrics

    def _heed_signals(self) -> None:
        if self._signals.signal is not None:
            raise Interrupted(self._signals.signal, str(self.save() or ""))


def _require_images(counted: Metrics, what: str) -> None:
    if not counted.count:
        raise OptionError(
            f"a pass over the batches {what} gave no image",
            hint="an iterator gives them only once",
            op="Trainer",
        )
