"""What was learned from which samples: numbers that remember it, and the check that they may be used.

A data set is cut into a training part and others that measure how well a model does on images it has not
seen. Whatever is fitted to data, such as the mean that ``Normalize`` subtracts, may look at the training part
only, or the others measure too well.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.data.dataset import ConcatDataset, Subset, TensorDataset
from minicnn.data.duplicates import image_hashes
from minicnn.data.loader import DataLoader
from minicnn.data.pack import pixel_hash
from minicnn.data.sampler import BatchSampler, RandomSampler, SequentialSampler, WeightedRandomSampler
from minicnn.data.vision import ImageArrays, ImageFolder, LabelledImages
from minicnn.errors import OptionError

__all__ = ["Fitted", "check_fitted", "fingerprints", "statistics"]

_BLOCK = 4 << 20  # bytes of images looked at together


class Fitted(tuple[float, ...]):
    """Numbers, one per channel, that remember the samples they were taken from.

    Attributes
    ----------
    fitted_on : (N,) array of uint64
        What :func:`fingerprints` gives for those samples.
    """

    fitted_on: np.ndarray

    def __new__(cls, numbers: Iterable[float], fitted_on: np.ndarray) -> Fitted:
        """A tuple with a memory."""
        made = super().__new__(cls, numbers)
        made.fitted_on = fitted_on
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self), self.fitted_on


def statistics(dataset: Any, indices: Iterable[int] | None = None) -> tuple[Fitted, Fitted]:
    """Mean and standard deviation of each channel, for ``Normalize``, which remembers what they come from.

    Fit them on the images that you train on; :func:`check_fitted` finds out if you did not.

    Parameters
    ----------
    dataset : data set or DataLoader
        Of images in memory, in a pack or in a folder, or a ``Subset`` of it; its transform is left out.
    indices : iterable of int, optional
        The images to look at; all by default.

    Returns
    -------
    mean, std : tuples of float, one number per channel, of pixels from 0 to 1
        A channel without any variation has ``std`` 1.

    Raises
    ------
    OptionError
        If there are no images, or it is no such data set.

    Examples
    --------
    >>> from minicnn.data.sources import load
    >>> mean, std = statistics(load("digits").train)
    >>> f"{mean[0]:.3f} {std[0]:.3f}"
    '0.305 0.376'
    """
    counts: Any = 0
    for root, chosen in _roots(dataset, indices):
        for images in _images(root, chosen):
            channels = images.reshape(-1, images.shape[3] if images.ndim == 4 else 1)
            counts = counts + np.stack([np.bincount(channel, minlength=256) for channel in channels.T])
    if np.ndim(counts) == 0:
        raise OptionError("statistics of no images", op="statistics")
    # Whole counts of each grey value: exact, whatever the order.
    levels = np.arange(256) / 255
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    variance = (counts * (levels - mean[:, None]) ** 2).sum(axis=1) / total
    std = np.where(variance > 0, np.sqrt(variance), 1.0)
    samples = fingerprints(dataset, indices)
    return Fitted(mean.tolist(), samples), Fitted(std.tolist(), samples)


def fingerprints(dataset: Any, indices: Iterable[int] | None = None) -> np.ndarray:
    """A number for each sample, the same wherever the sample turns up again and whatever the transform.

    Images in memory and in packs are known by their pixels, those in folders by their path, the samples of a
    ``TensorDataset`` by the row of the first tensor. A data set of your own needs a method
    ``fingerprints(indices)`` that returns as many numbers.

    Parameters
    ----------
    dataset : data set or DataLoader
        Of a loader the samples that it may draw. A sampler of your own, or batch sampler, says in an
        attribute ``indices`` which ones those are.
    indices : iterable of int, optional
        All by default.

    Returns
    -------
    (N,) array of uint64

    Raises
    ------
    OptionError
        If the samples of a data set cannot be told apart, or nobody knows which ones a sampler draws.

    Examples
    --------
    >>> samples = TensorDataset(np.arange(6).reshape(3, 2))
    >>> bool((fingerprints(Subset(samples, [2, 0])) == fingerprints(samples, [2, 0])).all())
    True
    """
    parts = [_known_by(root, chosen) for root, chosen in _roots(dataset, indices)]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def check_fitted(train: Any, *others: Any) -> None:
    """Refuse what was fitted on samples outside the training part.

    Call it before a hand-written loop, as ``minicnn train`` does. A transform says what it was fitted on in
    an attribute ``fitted_on``: :func:`fingerprints` of those samples. ``Normalize`` takes it over from
    :func:`statistics`; a transform of your own sets it when it is fitted. One without it counts as fitted on
    nothing.

    Parameters
    ----------
    train : data set or DataLoader
        What the model learns from.
    *others : data set, DataLoader or transform
        The validation and test parts, and anything else with ``fitted_on``.

    Raises
    ------
    OptionError
        If a transform of any of them was fitted on a sample that is not in ``train``.

    Examples
    --------
    >>> from minicnn import transforms
    >>> from minicnn.data import random_split
    >>> from minicnn.data.sources import load
    >>> images = load("digits").train
    >>> train, validation = random_split(images, [0.9, 0.1])
    >>> check_fitted(train, transforms.Normalize(*statistics(train)))
    >>> check_fitted(train, transforms.Normalize(*statistics(images)))
    Traceback (most recent call last):
    minicnn.errors.OptionError: check_fitted: Normalize was fitted on 1438 samples, of which 143 are not in
    the training part; fit it on the training part only: statistics(train)
    """
    fitted = [part for thing in (train, *others) for part in _fitted(thing)]
    if not fitted:
        return
    allowed = np.unique(fingerprints(train))
    for part in fitted:
        outside = np.isin(part.fitted_on, allowed, invert=True)
        if outside.any():
            raise OptionError(
                f"{type(part).__name__} was fitted on {len(outside)} samples, of which {outside.sum()} "
                "are not in the training part",
                hint="fit it on the training part only: statistics(train)",
                op="check_fitted",
            )


_INSIDE = ("dataset", "datasets", "transform", "transforms", "target_transform", "collate_fn")


def _fitted(thing: Any) -> Iterator[Any]:
    """Everything with ``fitted_on`` in a loader, a data set or a transform."""
    if getattr(thing, "fitted_on", None) is not None:
        yield thing
    for name in _INSIDE:
        inner = getattr(thing, name, None)
        for part in inner if isinstance(inner, (list, tuple)) else (inner,):
            if part is not None:
                yield from _fitted(part)


def _roots(dataset: Any, indices: Iterable[int] | None) -> Iterator[tuple[Any, np.ndarray]]:
    """The data sets that really hold the samples, and which of theirs are meant."""
    if isinstance(dataset, DataLoader):
        dataset = Subset(dataset.dataset, _drawn(dataset))
    chosen = np.arange(len(dataset)) if indices is None else np.asarray(list(indices), np.int64)
    if isinstance(dataset, Subset):
        yield from _roots(dataset.dataset, np.asarray(dataset.indices, np.int64)[chosen])
    elif isinstance(dataset, ConcatDataset):
        ends = dataset.cumulative_sizes
        which = np.searchsorted(ends, chosen, side="right")
        for number, part in enumerate(dataset.datasets):
            yield from _roots(part, chosen[which == number] - (ends[number - 1] if number else 0))
    else:
        yield dataset, chosen


def _drawn(loader: DataLoader) -> np.ndarray:
    """The indices of the samples that a loader may draw."""
    sampler: Any = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    if isinstance(sampler, BatchSampler):
        sampler = sampler.sampler
    if isinstance(sampler, (SequentialSampler, RandomSampler)):
        return np.arange(len(sampler.data_source))
    if isinstance(sampler, WeightedRandomSampler):
        return np.flatnonzero(sampler.weights)
    known = getattr(sampler, "indices", sampler)
    if not isinstance(known, (Sequence, np.ndarray)):
        raise OptionError(
            f"nobody knows which samples {type(sampler).__name__} draws",
            hint="give it an attribute indices",
            op="fingerprints",
        )
    return np.hstack([np.empty(0, np.int64), *known])  # of batches in one piece


def _images(root: Any, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """The pixels of images as they are before any transform, (N, H, W) or (N, H, W, C), some at a time."""
    if isinstance(root, ImageArrays):
        count = max(1, _BLOCK // int(np.prod(root.pixels.shape[1:])))
        for start in range(0, len(chosen), count):
            yield root.pixels[chosen[start : start + count]]
    elif isinstance(root, LabelledImages):
        plain = root.with_transform(None)
        for index in chosen.tolist():
            yield np.asarray(plain[index][0])[None]
    else:
        raise OptionError(
            expected="a data set of images, or a Subset of it", got=type(root).__name__, op="statistics"
        )


def _known_by(root: Any, chosen: np.ndarray) -> np.ndarray:
    """The fingerprints of samples of one data set."""
    if hasattr(root, "fingerprints"):
        return np.asarray(root.fingerprints(chosen), np.uint64)
    if isinstance(root, ImageArrays):
        return image_hashes(root, chosen).view(np.uint64)[::2]  # half of the bytes tell enough
    if isinstance(root, ImageFolder):
        return _hashed(os.path.abspath(root.samples[index][0]).encode() for index in chosen.tolist())
    if isinstance(root, TensorDataset):
        rows = root.tensors[0].cpu_array()
        return _hashed(np.ascontiguousarray(rows[index]) for index in chosen.tolist())
    raise OptionError(
        f"cannot tell the samples of {type(root).__name__} from others",
        hint="give it a method fingerprints(indices) that returns a number for each",
        op="fingerprints",
    )


def _hashed(contents: Iterable[Any]) -> np.ndarray:
    return np.frombuffer(b"".join(pixel_hash(content)[:8] for content in contents), np.uint64)
