"""Which images a run learns from, validates on and tests on, by their indices: always the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.core.random import new_generator
from minicnn.data import Subset, stratified_split
from minicnn.data.duplicates import image_hashes
from minicnn.data.sources import Source

__all__ = ["apart", "split_test", "split_validation", "test_set"]

_HELD_OUT = 0.1  # of the training images, as a test set where the data have none


def split_test(source: Source) -> tuple[Any, Any]:
    """Indices into the training images: of those to learn from, and of those set aside to test on.

    None are set aside where the data have a test set of their own, and a tenth of each class elsewhere.
    """
    if source.test is not None:
        return np.arange(len(source.train)), np.arange(0)
    return apart(source, np.arange(len(source.train)), _HELD_OUT, seed=0)


def split_validation(source: Source, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices into the training images: of those to learn from, and of those held out to validate on.

    None are held out where the data have a validation set of their own, or the fraction is 0.
    """
    indices = split_test(source)[0]
    if not fraction or source.validation is not None:
        return indices, indices[:0]
    return apart(source, indices, fraction, seed)


def apart(source: Source, indices: np.ndarray, fraction: float, seed: int) -> tuple[Any, Any]:
    """These training images without a share of each class, and that share; equal images stay together."""
    labels = np.asarray(source.train.targets)[indices]
    _, first, which = np.unique(image_hashes(source.train, indices), return_index=True, return_inverse=True)
    if len(first) == len(indices):
        kept, held_out = stratified_split(labels, fraction, seed=seed)
    else:
        first_of = first[which]  # for each image, the first that is equal to it
        firsts = np.sort(first)
        chosen = firsts[stratified_split(labels[firsts], fraction, seed=seed)[1]]
        out = np.isin(first_of, chosen)
        rng = new_generator(seed, len(indices))
        kept, held_out = (rng.permutation(np.flatnonzero(side)) for side in (~out, out))
    return indices[kept], indices[held_out]


def test_set(source: Source, transform: Any) -> Any:
    """The images to test on: the data's own test set, or those set aside for it."""
    if source.test is not None:
        return source.test.with_transform(transform)
    return Subset(source.train.with_transform(transform), split_test(source)[1])
