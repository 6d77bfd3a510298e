"""What a person should hear of a training besides its figures, in a line each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.train.config import Config

__all__ = ["after", "before"]

_WAITING, _LONG = 0.25, 10.0  # of the time; seconds
_UNEVEN = 5  # times as many images of one class as of another


def before(config: Config, labels: np.ndarray, classes: Sequence[str]) -> Iterator[str]:
    """About the images to learn from.

    Examples
    --------
    >>> list(before(Config(), np.array([0] * 60 + [1] * 10), ["cat", "dog"]))
    ['uneven classes, 10 images of dog to 60 of cat: --balance loss (or sample) makes them count alike']
    """
    counts = np.bincount(labels, minlength=len(classes))
    few, many = int(counts.argmin()), int(counts.argmax())
    if config.balance == "none" and counts[many] > _UNEVEN * counts[few]:
        yield (
            f"uneven classes, {counts[few]} images of {classes[few]} to {counts[many]} of {classes[many]}: "
            "--balance loss (or sample) makes them count alike"
        )


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
    if not config.workers and waited > max(_WAITING * seconds, _LONG):
        share = f"{waited / seconds:.0%}"
        yield f"{share} of the time was spent waiting for images: --workers 1 loads them meanwhile"
    loss = records[-1].get("val_loss", records[-1].get("train_loss")) if records else None
    if config.loss == "cross_entropy" and loss is not None and loss > math.log(classes):
        yield (
            f"it did not learn: a loss of {loss:.4g}, where all classes being alike gives "
            f"{math.log(classes):.4g}; try a smaller --lr, or minicnn find-lr"
        )
