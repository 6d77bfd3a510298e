"""How far a measured accuracy can be trusted: top-k, calibration, intervals, and the worst errors.

For the end of a training, where more is asked than :class:`~minicnn.train.metrics.Metrics` counts in a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from minicnn.core.random import new_generator
from minicnn.errors import OptionError
from minicnn.train.metrics import Metrics, numbers

__all__ = ["Error", "Judgement", "bootstrap", "probabilities", "wilson"]

BINS = 15
TOP = 5
WORST = 24  # errors that are kept: four rows of six pictures


class Error(NamedTuple):
    """An image that was taken for another class.

    Attributes
    ----------
    confidence : float
        The probability given to the wrong class, in (0, 1].
    image : int
        Its place in the data set, if that was gone through in order.
    target, prediction : int
        The true class, and what it was taken for.
    """

    confidence: float
    image: int
    target: int
    prediction: int


class Judgement(Metrics):
    """What :class:`~minicnn.train.metrics.Metrics` counts, and what scores tell besides.

    With p the probabilities of an image (softmax of its scores), and ĉ = argmax p::

        top-k accuracy = share of images whose class is among the k largest of p
        ECE = Σ_b |B_b| / N · | share correct in B_b - mean of max p in B_b |

    where image n is in bin b if max p_n lies in ((b - 1) / 15, b / 15].

    Parameters
    ----------
    classes : int or sequence of str
        The number of classes, or their names.

    Attributes
    ----------
    bins : (15, 3) array
        Of each bin: images, the sum of their confidences, and how many of them are right.
    worst : list of Error
        The 24 errors with the highest confidence, the highest first.

    References
    ----------
    C. Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 5.

    Examples
    --------
    >>> judged = Judgement(3)
    >>> judged.update([0, 1], [[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    >>> judged.accuracy, judged.top(2), judged.worst[0].prediction
    (0.5, 1.0, 0)
    """

    def __init__(self, classes: int | Sequence[str]) -> None:
        super().__init__(classes)
        self.bins = np.zeros((BINS, 3))
        self.worst: list[Error] = []
        self._ranks = np.zeros(len(self.classes), np.int64)  # images whose class had this rank, 0 the first

    def update(self, targets: Any, predictions: Any, loss: float = 0.0) -> None:
        """Count a batch of scores (N, classes); see :meth:`Metrics.update`.

        Raises
        ------
        OptionError
            If the predictions are classes: they tell neither ranks nor confidence.
        """
        scores = numbers(predictions)
        if scores.ndim != 2:
            raise OptionError(
                expected="scores (N, classes)", got=f"predictions of shape {scores.shape}", op="Judgement"
            )
        before = self.count
        super().update(targets, scores, loss)  # checks both
        labels = numbers(targets).astype(np.int64)
        chances = probabilities(scores)
        self._ranks += np.bincount(_ranks(scores, labels), minlength=len(self._ranks))
        taken = scores.argmax(axis=1)
        confidence = chances[np.arange(len(chances)), taken]
        self._count_confidence(confidence, taken == labels)
        wrong = np.flatnonzero(taken != labels)
        errors = [Error(float(confidence[i]), before + int(i), int(labels[i]), int(taken[i])) for i in wrong]
        self.worst = sorted(self.worst + errors, key=lambda one: (-one.confidence, one.image))[:WORST]

    def _count_confidence(self, confidence: np.ndarray, right: np.ndarray) -> None:
        which = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        for column, weights in enumerate((np.ones(len(which)), confidence, right)):
            self.bins[:, column] += np.bincount(which, weights, minlength=BINS)

    def top(self, k: int) -> float:
        """The share of images whose class is among the k with the highest scores, in [0, 1].

        Of equal scores the class of the lower index comes first.
        """
        return int(self._ranks[:k].sum()) / max(self.count, 1)

    @property
    def calibration_error(self) -> float:
        """The expected calibration error, in [0, 1]: 0 where confidence is accuracy."""
        return float(np.abs(self.bins[:, 2] - self.bins[:, 1]).sum()) / max(self.count, 1)

    def report(self) -> dict[str, Any]:
        """As :meth:`Metrics.report`, with the measures of this class; None where they say nothing.

        ``intervals`` are of 95 %: :func:`wilson`'s for the accuracy, :func:`bootstrap`'s for macro F1.
        ``intervals_note`` says where the latter is a single number, as where all images are right, or likely
        too narrow.
        """
        names = (f"top{TOP}_accuracy", "calibration_error", "intervals", "intervals_note")
        more: dict[str, Any] = dict.fromkeys(names)
        if self.count:
            more["calibration_error"] = self.calibration_error
            low, high = bootstrap(self.confusion, _macro_f1)
            right = int(np.trace(self.confusion))
            more["intervals"] = {"accuracy": list(wilson(right, self.count)), "macro_f1": [low, high]}
            more["intervals_note"] = _doubts(self.confusion, low, high)
            if len(self.classes) > TOP:
                more[f"top{TOP}_accuracy"] = self.top(TOP)
        worst = [one._asdict() for one in self.worst]
        return {**super().report(), **more, "calibration_bins": self.bins.tolist(), "worst": worst}


def probabilities(scores: np.ndarray) -> np.ndarray:
    """softmax(scores) over the last axis, in float64.

    Examples
    --------
    >>> probabilities(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    scores = scores.astype(np.float64)
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes come before the true one."""
    own = scores[np.arange(len(scores)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(axis=1)


_DEGENERATE = "macro_f1: drawing these images anew always gives the same, which is no interval"
_FEW = 20  # images of a class
_NARROW = f"macro_f1: a class has fewer than {_FEW} images, for which the interval may be too narrow"


def _doubts(confusion: np.ndarray, low: float, high: float) -> str | None:
    """What speaks against an interval of macro F1."""
    if low == high:
        return _DEGENERATE
    images = confusion.sum(axis=1)
    return _NARROW if images[images > 0].min() < _FEW else None


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


_ROOM = 1 << 22  # numbers of the matrices that are drawn together


def bootstrap(
    confusion: np.ndarray,
    measure: Callable[[np.ndarray], np.ndarray],
    *,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
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
        From matrices (S, K, K) to S numbers.
    level : float
        The share of the samples inside the interval, between 0 and 1.
    samples : int
        How many times to draw.
    seed : int
        Of the draws.

    Returns
    -------
    low, high : float

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
    below = np.mean(drawn < found) + np.mean(drawn == found) / 2
    normal = NormalDist()
    z, z0 = (
        normal.inv_cdf((1 + level) / 2),
        normal.inv_cdf(min(max(float(below), 1 / samples), 1 - 1 / samples)),
    )
    low, high = np.quantile(drawn, [normal.cdf(2 * z0 - z), normal.cdf(2 * z0 + z)])
    return float(low), float(high)


def _macro_f1(confusions: np.ndarray) -> np.ndarray:
    right = np.diagonal(confusions, axis1=1, axis2=2)
    both = confusions.sum(axis=1) + confusions.sum(axis=2)
    occurs = both > 0
    return (2 * right / np.maximum(both, 1)).sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)
