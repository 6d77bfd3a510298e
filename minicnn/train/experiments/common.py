"""What the experiments share: small splits, small networks, one training, and statistics over seeds."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minicnn import nn, optim
from minicnn.core.random import manual_seed, new_generator
from minicnn.core.tensor import Tensor
from minicnn.data import DataLoader, Subset, statistics, stratified_split
from minicnn.data.sealed import Sealed
from minicnn.data.sources import Source
from minicnn.data.vision import ImageArrays
from minicnn.errors import OptionError
from minicnn.nn.functional import cross_entropy
from minicnn.train.preprocess import augmented, plain
from minicnn.train.splits import apart, split_test, test_set
from minicnn.train.trainer import Trainer

__all__ = [
    "Measured",
    "Size",
    "Split",
    "Summary",
    "holm",
    "network",
    "one_training",
    "share",
    "smaller",
    "split_of",
    "statistics_library",
    "summary",
]

_BATCH = 256  # images measured at a time


@dataclass(frozen=True)
class Size:
    """How large an experiment is.

    Parameters
    ----------
    train_images, val_images : int
        How many to learn from, and how many to validate on.
    epochs : int
        Of each training.
    seeds : int
        Trainings of each way, with other first weights and orders; 2 at least.

    Raises
    ------
    OptionError
        If there are fewer than 2 seeds.
    """

    train_images: int
    val_images: int
    epochs: int
    seeds: int = 5

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise OptionError(
                expected="2 seeds or more, for an interval", got=str(self.seeds), op="experiment"
            )

    def settings(self, split: Split) -> dict[str, Any]:
        """What the results say of it: as many images as there are, where the classes did not share evenly."""
        images = {"train_images": len(split.few), "val_images": len(split.validation)}
        return {"data": split.name, **images, "epochs": self.epochs, "seeds": self.seeds}


@dataclass(frozen=True)
class Split:
    """Images to learn from, few and more, to validate on, and to test on; the last are sealed.

    ``images`` have the labels to learn and to validate on, some of them wrong, ``clean`` the right ones.
    """

    name: str
    images: ImageArrays
    clean: ImageArrays
    few: np.ndarray
    more: np.ndarray
    validation: np.ndarray
    test: Sealed
    image_shape: tuple[int, int, int]
    classes: list[str]
    mean: Sequence[float]
    std: Sequence[float]

    def part(self, indices: np.ndarray, augment: str = "none", *, clean: bool = False) -> Subset[Any]:
        """Images as the model sees them."""
        change = augmented(augment, self.mean, self.std, self.image_shape)
        images = self.clean if clean else self.images
        return Subset(images.with_transform(change), indices.tolist())


def split_of(source: Source, few: int, more: int, validation: int, noise: float = 0.0) -> Split:
    """A fixed, stratified split with so many images in each part; ``more`` includes the few.

    Equal images are not both learned from and validated on, so of a set with some there may be fewer. Of
    the labels of the few, of the rest of ``more``, and of those to validate on, the share ``noise`` is
    replaced by other classes, always the same.

    Raises
    ------
    OptionError
        If there are not so many images, or they are of one class.
    """
    indices, labels = split_test(source)[0], np.asarray(source.train.targets)
    if len(source.classes) < 2:
        raise OptionError(f"{source.name}: only one class: there is nothing to tell apart", op="split")
    if few < len(source.classes) or few > more or more + validation > len(indices):
        raise OptionError(
            expected=f"--train-images {len(source.classes)} or more, {len(indices)} images in all at most",
            got=f"--train-images {few}{f', {more} for more data' * (more > few)}, --val-images {validation}",
            op="split",
        )
    rest, held_out = apart(source, indices, validation / len(indices), seed=0)
    larger = _some(rest, labels, more, seed=1)
    small = _some(larger, labels, few, seed=2)
    mean, std = statistics(source.train, small)
    test = Sealed(test_set(source, plain(mean, std)))
    images = copy.copy(source.train)
    for number, part in enumerate((small, np.setdiff1d(larger, small), held_out)):
        images.labels = _with_noise(images.labels, part, noise, len(source.classes), seed=3 + number)
    parts = (small, larger, held_out)
    return Split(
        source.name, images, source.train, *parts, test, source.image_shape, source.classes, mean, std
    )


def _with_noise(labels: np.ndarray, indices: np.ndarray, share: float, classes: int, seed: int) -> np.ndarray:
    """The labels, with a share of those at the indices changed to any other class."""
    rng = new_generator(seed)
    changed = rng.permutation(indices)[: round(share * len(indices))]
    labels = labels.copy()
    labels[changed] = (labels[changed] + rng.integers(1, classes, len(changed))) % classes
    return labels


def _some(indices: np.ndarray, labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """So many of them, with the same share of every class."""
    if count >= len(indices):
        return indices
    return indices[stratified_split(labels[indices], count / len(indices), seed=seed)[1]]


def network(image_shape: Sequence[int], classes: int, width: int = 32, dropout: float = 0.0) -> nn.Module:
    """Two convolutions with pooling and two dense layers, without what regularises by itself.

    Parameters
    ----------
    image_shape : (C, H, W)
    classes : int
    width : int
        Channels of the first convolution; the second has twice, the dense layer four times as many.
    dropout : float
        In front of both dense layers.
    """
    channels, *sides = image_shape
    pools = [2 if side >= 4 else 1 for side in (min(sides), min(sides) // 2)]
    features = 2 * width * math.prod(side // pools[0] // pools[1] for side in sides)
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(pools[0]),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(pools[1]),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(features, 4 * width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(4 * width, classes),
    )


class Measured(NamedTuple):
    """What one training came to: accuracies in [0, 1], losses by cross-entropy or as asked for.

    ``clean_accuracy`` is that on the validation images with their right labels.
    """

    train_accuracy: float
    val_accuracy: float
    clean_accuracy: float
    train_loss: float
    val_loss: float
    curve: list[float]  # validation accuracy after each epoch


def one_training(
    model: Callable[[], nn.Module],
    optimizer: Callable[[Any], optim.Optimizer],
    split: Split,
    indices: np.ndarray,
    *,
    seed: int,
    epochs: int,
    batch_size: int = 32,
    augment: str = "none",
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> tuple[Trainer, Measured]:
    """Train a new model; then measure it on its own training images, unchanged, and on the validation images.

    ``batch_size`` 0: all images at a time, which is gradient descent.
    """
    manual_seed(seed)
    made = model()
    trainer = Trainer(made, optimizer(made.parameters()), loss, classes=split.classes, seed=seed)
    batch = batch_size or len(indices)
    accumulate = -(-batch // 512)  # a whole set at a time would not fit
    options: dict[str, Any] = {"batch_size": -(-batch // accumulate), "shuffle": True, "seed": seed}
    trainer.accumulate = accumulate
    learned = DataLoader(split.part(indices, augment), **options)
    validation = DataLoader(split.part(split.validation), batch_size=_BATCH)
    history = trainer.fit(learned, validation, epochs=epochs)
    own = trainer.evaluate(DataLoader(split.part(indices), batch_size=_BATCH))
    clean = trainer.evaluate(DataLoader(split.part(split.validation, clean=True), batch_size=_BATCH))
    last = history[-1]
    curve = [record["val_accuracy"] for record in history]
    accuracies = (own.accuracy, last["val_accuracy"], clean.accuracy)
    return trainer, Measured(*accuracies, own.loss, last["val_loss"], curve)


class Summary(NamedTuple):
    """Mean over seeds with a 95 % interval by Student's t, as far as such values can be."""

    mean: float
    low: float
    high: float


def summary(values: Sequence[float], least: float = -math.inf, most: float = math.inf) -> Summary:
    """Mean and interval of values from several seeds, which cannot be below ``least`` or above ``most``.

    Examples
    --------
    >>> [round(float(x), 4) for x in summary([0.90, 0.91, 0.92])]
    [0.91, 0.8852, 0.9348]
    >>> summary([0.7, 1.0], most=1.0).high
    1.0
    """
    array = np.asarray(values, np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return Summary(mean, math.nan, math.nan)
    half = statistics_library().t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / math.sqrt(len(array))
    return Summary(mean, max(mean - half, least), min(mean + half, most))


def share(values: Sequence[float]) -> Summary:
    """:func:`summary` of accuracies."""
    return summary(values, 0.0, 1.0)


def smaller(values: Sequence[float], others: Sequence[float]) -> float:
    """The p value of a paired t test against: the values are not smaller than the others of the same seed.

    1 where all differences are equal: of chance they say nothing then.

    Examples
    --------
    >>> smaller([0.1, 0.12, 0.11], [0.2, 0.23, 0.2]) < 0.01
    True
    """
    if np.ptp(np.subtract(values, others)) < 1e-12:
        return 1.0
    return float(statistics_library().ttest_rel(values, others, alternative="less").pvalue)


def holm(chances: Sequence[float]) -> list[float]:
    """p values of several tests, each made larger so that all of them together are wrong as seldom as one.

    References
    ----------
    S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(chances), 0.0
    for rank, index in enumerate(sorted(range(len(chances)), key=lambda index: chances[index])):
        largest = max(largest, min(1.0, (len(chances) - rank) * chances[index]))
        adjusted[index] = largest
    return adjusted


def statistics_library() -> Any:
    """SciPy's statistics."""
    try:
        from scipy import stats  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise OptionError("scipy is not installed", hint='pip install "minicnn[experiment]"') from error
    return stats
