"""What the scores of a whole set tell: top-k, calibration, intervals, and the worst errors.

For the end of a training, where more is asked than :class:`~minicnn.train.metrics.Metrics` counts in a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import OptionError
from minicnn.train import intervals
from minicnn.train.metrics import Metrics, numbers

__all__ = ["Error", "Judgement", "probabilities"]

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

        ``intervals`` are of 95 %, by :mod:`minicnn.train.intervals`: of the accuracy, which is the micro
        averages too, of the top-5 accuracy and of the macro averages; those of a class stand beside its
        measures. ``intervals_note`` says where those of the averages are single numbers, as where all images
        are right, or likely too narrow. Of a calibrated model ``calibration_error`` would stay below
        ``calibration_error_by_chance`` in 95 % of such sets.
        """
        top = f"top{TOP}_accuracy"
        names = (top, "calibration_error", "calibration_error_by_chance", "intervals", "intervals_note")
        report: dict[str, Any] = {**super().report(), **dict.fromkeys(names)}
        if self.count:
            right = {"accuracy": int(np.trace(self.confusion))}
            if len(self.classes) > TOP:
                right[top] = int(self._ranks[:TOP].sum())
                report[top] = self.top(TOP)
            averages, report["intervals_note"] = intervals.of_averages(self.confusion)
            shares = {name: list(intervals.wilson(count, self.count)) for name, count in right.items()}
            report["intervals"] = shares | averages
            report["calibration_error"] = self.calibration_error
            report["calibration_error_by_chance"] = intervals.by_chance(self.bins)
        for row, ends in zip(report["classes"].values(), intervals.of_classes(self.confusion), strict=True):
            row["intervals"] = ends
        worst = [one._asdict() for one in self.worst]
        return report | {"calibration_bins": self.bins.tolist(), "worst": worst}


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
