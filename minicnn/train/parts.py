"""Which images a run learns from, validates on and tests on, and how they come."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.data import DataLoader, Subset, WeightedRandomSampler, check_fitted, statistics
from minicnn.data.duplicates import Overlap, image_hashes, overlaps
from minicnn.data.sealed import Sealed
from minicnn.data.sources import Source
from minicnn.errors import OptionError
from minicnn.train.choices import class_weights
from minicnn.train.config import Config
from minicnn.train.preprocess import augmented, plain
from minicnn.train.splits import split_validation, test_set

__all__ = ["Parts", "parts_of"]


class Parts(NamedTuple):
    """The loaders of a run, statistics and labels of what it learns from, images that are in two parts.

    ``hashes`` are those of the images of each part: "training", "validation", "test".
    """

    train: DataLoader
    validation: DataLoader | None
    test: Sealed
    statistics: tuple[list[float], list[float]]
    overlaps: list[Overlap]
    labels: np.ndarray
    hashes: dict[str, np.ndarray]


def parts_of(source: Source, config: Config) -> Parts:
    """The images to learn from, to validate on, and to test on; the last are seen only at the end."""
    indices, held_out = split_validation(source, config.val_fraction, config.seed)
    if not len(indices):
        raise OptionError("no training image is left", hint="the data set is too small for these fractions")
    mean, std = statistics(source.train, indices)
    usual = plain(mean, std)
    learned = source.train.with_transform(augmented(config.augment, mean, std, source.image_shape))
    options: dict[str, Any] = {
        "batch_size": config.batch_size,
        "num_workers": config.workers,
        "multiprocessing_context": "spawn" if config.processes and config.workers else None,
        "seed": config.seed,
    }
    # Batch normalization cannot learn from a single image, so such a rest is left out.
    lonely = len(indices) % config.batch_size == 1 and len(indices) > 1
    labels = np.asarray(source.train.targets)[indices]
    order: dict[str, Any] = {"shuffle": True}
    if config.balance == "sample":
        weights = class_weights(labels, len(source.classes))[labels]
        order = {"sampler": WeightedRandomSampler(weights, len(labels))}
    loader = DataLoader(Subset(learned, indices), drop_last=lonely, **order, **options)
    checked: Any = Subset(source.train.with_transform(usual), held_out)
    if source.validation is not None:
        checked = source.validation.with_transform(usual)
    validation = DataLoader(checked, **options) if len(checked) else None
    test = test_set(source, usual)
    check_fitted(loader, checked, test)  # as the training does, but before anything is written
    hashes = _hashes(source, indices, held_out)
    shared = overlaps(hashes)
    return Parts(loader, validation, Sealed(test), (list(mean), list(std)), shared, labels, hashes)


def _hashes(source: Source, learned: np.ndarray, held_out: np.ndarray) -> dict[str, np.ndarray]:
    """The hashes of the images that a run learns from, validates on and tests on."""
    known = image_hashes(source.train)
    set_aside = np.setdiff1d(np.arange(len(known)), np.concatenate([learned, held_out]))
    return {
        "training": known[learned],
        "validation": known[held_out] if source.validation is None else image_hashes(source.validation),
        "test": known[set_aside] if source.test is None else image_hashes(source.test),
    }
