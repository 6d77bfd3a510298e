"""How far shares and averages of counted images can be trusted: intervals, and what chance alone gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from minicnn.core.random import new_generator

__all__ = ["bootstrap", "by_chance", "of_averages", "of_classes", "wilson"]

_SAMPLES = 2000
_FEW = 20  # images of a class
_DEGENERATE = "macro averages: drawing these images anew always gives the same, which is no interval"
_NARROW = f"macro averages: a class has fewer than {_FEW} images, for which intervals may be too narrow"


def of_classes(confusion: np.ndarray) -> list[dict[str, list[float] | None]]:
    """Of each class the intervals of precision, recall and F1, all by :func:`wilson`; None of no images.

    Of the images taken for a class a share is of it, and of those of a class a share is found. F1 follows
    from a share too: with J that of the right ones among all images of the class or taken for it::

        F1 = 2 J / (1 + J)

    Parameters
    ----------
    confusion : (K, K) array of int
        Counts of (true class, predicted class).

    Examples
    --------
    >>> first = of_classes(np.array([[90, 10], [20, 80]]))[0]
    >>> [f"{low:.3f} {high:.3f}" for low, high in first.values()]
    ['0.736 0.879', '0.826 0.945', '0.799 0.900']
    """
    right, true, taken = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    rows = np.stack([right, taken, true, true + taken - right], axis=1)
    return [
        {
            "precision": _interval(right, taken),
            "recall": _interval(right, true),
            "f1": None if not either else [2 * end / (1 + end) for end in wilson(right, either)],
        }
        for right, taken, true, either in rows.tolist()
    ]


def of_averages(confusion: np.ndarray) -> tuple[dict[str, list[float]], str | None]:
    """:func:`bootstrap` intervals of macro precision, recall and F1, and what speaks against them."""
    low, high = bootstrap(confusion, averages)
    names = ("macro_precision", "macro_recall", "macro_f1")
    ends = {name: [float(low[i]), float(high[i])] for i, name in enumerate(names)}
    if (low == high).all():
        return ends, _DEGENERATE
    images = confusion.sum(axis=1)
    return ends, _NARROW if images[images > 0].min() < _FEW else None


def averages(confusions: np.ndarray) -> np.ndarray:
    """Macro precision, recall and F1 of confusion matrices (S, K, K), as (S, 3)."""
    right = np.diagonal(confusions, axis1=1, axis2=2)
    true, taken = confusions.sum(axis=2), confusions.sum(axis=1)
    count = np.maximum((true + taken > 0).sum(axis=1), 1)  # of the classes that occur
    values = (right / np.maximum(taken, 1), right / np.maximum(true, 1))
    f1 = 2 * right / np.maximum(true + taken, 1)
    return np.stack([value.sum(axis=1) / count for value in (*values, f1)], axis=1)


def by_chance(bins: np.ndarray, *, share: float = 0.95, samples: int = _SAMPLES, seed: int = 0) -> float:
    """What a calibration error of these images stays below in most cases if the model is calibrated.

    The error adds up amounts, so it is above 0 for the best of models. An interval around it, drawn from the
    images, would never hold 0; so this is the other question: how large is it where every confidence p is
    true, that is, the answer right with the chance p? The answers are drawn anew, for each bin as if all its
    confidences were their mean.

    Parameters
    ----------
    bins : (B, 3) array
        :attr:`Judgement.bins <minicnn.train.judgement.Judgement>`.
    share : float
        Of the cases, between 0 and 1.

    References
    ----------
    J. Bröcker, L. A. Smith, "Increasing the Reliability of Reliability Diagrams", 2007.

    Examples
    --------
    >>> few, many = np.array([[50, 40.0, 0]]), np.array([[5000, 4000.0, 0]])
    >>> by_chance(few) > 7 * by_chance(many)
    True
    """
    images, confidence = bins[:, 0].astype(np.int64), bins[:, 1]
    chances = np.minimum(confidence / np.maximum(images, 1), 1)
    right = new_generator(seed).binomial(images, chances, size=(samples, len(bins)))
    errors = np.abs(right - confidence).sum(axis=1) / max(int(images.sum()), 1)
    return float(np.quantile(errors, share))


def wilson(right: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share, which is right for few images and near 0 and 1, too::

        (p + z² / 2n ± z √(p (1 - p) / n + z² / 4n²)) / (1 + z² / n),   p = right / n

    with z the quantile of the normal distribution at (1 + level) / 2: 1.96.

    Parameters
    ----------
    right, count : int
        How many of how many; count > 0.
    level : float
        Between 0 and 1.

    Returns
    -------
    low, high : float

    References
    ----------
    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.

    Examples
    --------
    >>> [round(end, 4) for end in wilson(100, 100)]
    [0.963, 1.0]
    """
    share, square = right / count, NormalDist().inv_cdf((1 + level) / 2) ** 2
    middle = share + square / (2 * count)
    half = math.sqrt(square * (share * (1 - share) / count + square / (4 * count**2)))
    low, high = ((middle + sign * half) / (1 + square / count) for sign in (-1, 1))
    return (low if right else 0.0), (high if right < count else 1.0)  # not off by the last digit


def _interval(right: int, count: int) -> list[float] | None:
    return list(wilson(right, count)) if count else None


_ROOM = 1 << 22  # numbers of the matrices that are drawn together


def bootstrap(
    confusion: np.ndarray,
    measure: Callable[[np.ndarray], np.ndarray],
    *,
    level: float = 0.95,
    samples: int = _SAMPLES,
    seed: int = 0,
) -> tuple[Any, Any]:
    """A bias-corrected percentile bootstrap interval of a measure over the images.

    Drawing N images with replacement and counting them is drawing the cells of the confusion matrix from a
    multinomial distribution with N draws, so the images themselves are not needed. With z the quantile of the
    normal distribution at (1 + level) / 2, and z0 that at the share of the drawn values below the measure
    itself, the ends are the quantiles of the drawn values at Φ(2 z0 ± z). Where the drawn values are too low,
    as those of F1 are with few images of a class, the interval moves up by as much.

    Parameters
    ----------
    confusion : (K, K) array of int
        Counts of (true class, predicted class).
    measure : callable
        From matrices (S, K, K) to numbers (S,), or (S, M) of several measures.
    level : float
        The share of the samples inside the interval, between 0 and 1.
    samples : int
        How many times to draw.
    seed : int
        Of the draws.

    Returns
    -------
    low, high : float, or (M,) arrays

    References
    ----------
    B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, section 14.3, with acceleration 0.

    Examples
    --------
    >>> low, high = bootstrap(np.array([[45, 5], [5, 45]]), lambda m: np.trace(m, axis1=1, axis2=2) / 100)
    >>> 0.82 < low < 0.9 < high < 0.97
    True
    """
    total = int(confusion.sum())
    chances = confusion.reshape(-1) / total
    cells = np.flatnonzero(chances)
    rng, together = new_generator(seed), max(1, _ROOM // confusion.size)
    values = []
    for start in range(0, samples, together):
        drawn = np.zeros((min(together, samples - start), confusion.size), np.int64)
        drawn[:, cells] = rng.multinomial(total, chances[cells], size=len(drawn))
        values.append(measure(drawn.reshape(-1, *confusion.shape)))
    drawn, found = np.concatenate(values), measure(confusion[None])[0]
    if drawn.ndim == 1:
        return _ends(drawn, found, level)
    ends = [_ends(drawn[:, column], found[column], level) for column in range(drawn.shape[1])]
    low, high = np.array(ends).T
    return low, high


def _ends(drawn: np.ndarray, found: float, level: float) -> tuple[float, float]:
    """Those of the interval of one measure, from its drawn values and its own."""
    normal, least = NormalDist(), 1 / len(drawn)
    below = float(np.mean(drawn < found) + np.mean(drawn == found) / 2)
    z, z0 = normal.inv_cdf((1 + level) / 2), normal.inv_cdf(min(max(below, least), 1 - least))
    low, high = np.quantile(drawn, [normal.cdf(2 * z0 - z), normal.cdf(2 * z0 + z)])
    return float(low), float(high)
