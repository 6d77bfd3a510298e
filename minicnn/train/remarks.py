"""What a person should hear of a training besides its figures, in a line each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.core.threads import processors
from minicnn.data.catalog import CATALOG
from minicnn.train.config import Config

__all__ = ["after", "before"]

_WAITING, _LONG = 0.25, 10.0  # of the time; seconds
_RISEN = 1.2  # times the least validation loss
_UNEVEN = 5  # times as many images of one class as of another


def before(config: Config, labels: np.ndarray, classes: Sequence[str]) -> Iterator[str]:
    """About what was asked for, and the images to learn from.

    Examples
    --------
    >>> list(before(Config(), np.array([0] * 60 + [1] * 10), ["cat", "dog"]))
    ['uneven classes, 10 images of dog to 60 of cat: --balance loss (or sample) makes them count alike']
    >>> list(before(Config(optimizer="adam", momentum=0.5), np.array([0, 1]), ["cat", "dog"]))
    ['--momentum has no effect: it is of --optimizer sgd']
    """
    yield from _idle(config)
    counts = np.bincount(labels, minlength=len(classes))
    few, many = int(counts.argmin()), int(counts.argmax())
    if config.patience and config.schedule == "onecycle":
        yield (
            "onecycle lowers the rate towards the end, which --patience may cut off: "
            "--schedule cosine suffers less, and --best in place of --patience not at all"
        )
    if config.balance == "none" and counts[many] > _UNEVEN * counts[few]:
        yield (
            f"uneven classes, {counts[few]} images of {classes[few]} to {counts[many]} of {classes[many]}: "
            "--balance loss (or sample) makes them count alike"
        )


def _idle(config: Config) -> Iterator[str]:
    """Options that were given and have no effect without another."""
    usual = Config()
    lacking = {
        "momentum": ("it is of --optimizer sgd", config.optimizer == "sgd"),
        "mix_alpha": ("without --mix", config.mix != "none"),
        "monitor": ("without --best or --patience", config.best or config.patience),
        "processes": ("with --workers 0", config.workers),
        "data_dir": ("it is for data sets known by name", config.data.lower().replace("_", "-") in CATALOG),
    }
    for name, (why, heeded) in lacking.items():
        if not heeded and getattr(config, name) != getattr(usual, name):
            yield f"--{name.replace('_', '-')} has no effect: {why}"


def after(
    config: Config,
    records: Sequence[dict[str, Any]],
    epochs: int,
    best: int | None,
    classes: int,
    waited: float = 0.0,
    seconds: float = 0.0,
) -> Iterator[str]:
    """About its end, from the records of its epochs, and the seconds of it that were waited for images.

    Examples
    --------
    >>> list(after(Config(epochs=9, patience=2), [{"val_loss": 0.2}], 5, 2, 10))
    ['stopped early, after epoch 5: no better val_loss for 2 epochs', 'the weights are those of epoch 3']
    """
    if config.patience and epochs < config.epochs and not config.max_steps:
        yield f"stopped early, after epoch {epochs}: no better {config.monitor} for {config.patience} epochs"
    if best is not None:
        yield f"the weights are those of epoch {best + 1}"
    more = config.workers + 1
    # Of a processor that computes already a worker takes what it saves.
    if config.threads + more <= processors() and waited > max(_WAITING * seconds, _LONG):
        waiting = f"{waited / seconds:.0%} of the time was spent waiting for images"
        yield f"{waiting}: --workers {more} loads more of them meanwhile"
    yield from _learning(config, records, best, classes)


def _learning(
    config: Config, records: Sequence[dict[str, Any]], best: int | None, classes: int
) -> Iterator[str]:
    """Whether it learned at all, and whether it went on to learn the training images by heart."""
    watched = "val_loss" if records and "val_loss" in records[-1] else "train_loss"
    losses = [record[watched] for record in records]
    if not losses or config.loss != "cross_entropy":
        return
    least = min(losses)
    if least > math.log(classes):
        yield (
            f"it did not learn: a loss of {least:.4g} at best, where all classes being alike gives "
            f"{math.log(classes):.4g}; try a smaller --lr, or minicnn find-lr"
        )
    elif watched == "val_loss" and best is None and losses[-1] > _RISEN * least:
        epoch = records[losses.index(least)]["epoch"] + 1
        yield (
            f"the validation loss was {least:.4g} after epoch {epoch} and is {losses[-1]:.4g} now: it learns "
            "by heart; --best keeps the best epoch, --augment and more images help"
        )
