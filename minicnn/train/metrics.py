"""Measures of classification, from counts over the whole set, never from averages of batches.

An average of per-batch recalls is wrong as soon as batches differ in size or mix; counts are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, LabelError, OptionError, ShapeError

__all__ = ["Metrics", "numbers"]


class Metrics:
    """Counts of (true class, predicted class) pairs, and a sum of losses.

    With M[i, j] = number of images of class i that were taken for class j, and sums over the row
    of true i and the column of predicted i::

        accuracy     = Σ_i M[i, i] / Σ_ij M[i, j]
        precision_i  = M[i, i] / Σ_j M[j, i]
        recall_i     = M[i, i] / Σ_j M[i, j]
        F1_i         = 2 M[i, i] / (Σ_j M[i, j] + Σ_j M[j, i])

    A quotient 0 / 0 counts as 0, as in scikit-learn with ``zero_division=0``; a macro average is
    the plain mean over the classes that occur as truth or prediction.

    Parameters
    ----------
    classes : int or sequence of str
        The number of classes, or their names.

    Examples
    --------
    >>> m = Metrics(["cat", "dog"])
    >>> m.update([0, 0, 1], [0, 1, 1], loss=0.5)
    >>> m
    Metrics(3 images, accuracy 66.67%, macro F1 66.67%, loss 0.5000)
    >>> m.accuracy, m.recall.tolist(), m.confusion.tolist(), m.loss
    (0.6666666666666666, [0.5, 1.0], [[1, 1], [0, 1]], 0.5)
    """

    def __init__(self, classes: int | Sequence[str]) -> None:
        names = [str(i) for i in range(classes)] if isinstance(classes, int) else list(classes)
        if not names:
            raise OptionError(expected="at least one class", got="none", op="Metrics")
        self.classes = names
        self.confusion = np.zeros((len(names), len(names)), np.int64)
        self.loss_sum = 0.0

    def __repr__(self) -> str:
        if not self.count:
            return f"{type(self).__name__}(no images)"
        facts = f"accuracy {self.accuracy:.2%}, macro F1 {self.macro(self.f1):.2%}, loss {self.loss:.4f}"
        return f"{type(self).__name__}({self.count:,} images, {facts})"

    def update(self, targets: Any, predictions: Any, loss: float = 0.0) -> None:
        """Count a batch.

        Parameters
        ----------
        targets : (N,) array_like of int
            True classes.
        predictions : (N,) array_like of int, or (N, classes) scores
            Predicted classes; of scores, the first of the largest counts.
        loss : float
            Mean loss of the batch; it enters with weight N.

        Raises
        ------
        ShapeError
            If the two disagree in length.
        LabelError
            If a class lies outside 0 .. classes - 1.
        DTypeError
            If classes are not whole numbers.
        """
        targets = _labels(targets)
        scores = numbers(predictions)
        predictions = scores.argmax(axis=1) if scores.ndim == 2 else _labels(scores)
        if targets.ndim != 1 or targets.shape != predictions.shape:
            raise ShapeError(
                expected="as many predictions as targets, in one dimension",
                got=f"targets {targets.shape}, predictions {predictions.shape}",
                op="Metrics",
            )
        count = len(self.classes)
        for name, labels in (("target", targets), ("prediction", predictions)):
            wrong = (labels < 0) | (labels >= count)
            if wrong.any():
                at = int(wrong.argmax())
                raise LabelError(
                    expected=f"classes 0 to {count - 1}",
                    got=f"{name} {labels[at]} at index {at}",
                    op="Metrics",
                )
        pairs = np.bincount(targets * count + predictions, minlength=count * count)
        self.confusion += pairs.reshape(count, count)
        self.loss_sum += float(loss) * len(targets)

    # -- what follows from the counts --------------------------------------------------------

    @property
    def count(self) -> int:
        """The number of images counted."""
        return int(self.confusion.sum())

    @property
    def loss(self) -> float:
        """The mean loss per image."""
        return self.loss_sum / max(self.count, 1)

    @property
    def accuracy(self) -> float:
        """The share of images whose class was predicted, in [0, 1]."""
        return int(np.trace(self.confusion)) / max(self.count, 1)

    @property
    def support(self) -> np.ndarray:
        """(classes,) number of images of each true class."""
        return self.confusion.sum(axis=1)

    @property
    def precision(self) -> np.ndarray:
        """(classes,) of those taken for a class, the share that is of it."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def recall(self) -> np.ndarray:
        """(classes,) of those of a class, the share that was found."""
        return _ratio(np.diag(self.confusion), self.support)

    @property
    def f1(self) -> np.ndarray:
        """(classes,) harmonic mean of precision and recall."""
        return _ratio(2 * np.diag(self.confusion), self.support + self.confusion.sum(axis=0))

    def macro(self, values: np.ndarray) -> float:
        """The mean of per-class values over the classes that occur as truth or prediction."""
        occurs = (self.support + self.confusion.sum(axis=0)) > 0
        return float(values[occurs].mean()) if occurs.any() else 0.0

    # -- as plain data -----------------------------------------------------------------------

    def report(self) -> dict[str, Any]:
        """All measures as a dict for JSON; of no images there is no loss, accuracy or average, but None."""
        names = ("precision", "recall", "f1", "support")
        columns = [getattr(self, name).tolist() for name in names]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        means = {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "macro_precision": self.macro(self.precision),
            "macro_recall": self.macro(self.recall),
            "macro_f1": self.macro(self.f1),
            # Of single labels each wrong one is missed once and taken once: all three are the accuracy.
            **dict.fromkeys(("micro_precision", "micro_recall", "micro_f1"), self.accuracy),
        }
        return {
            "count": self.count,
            **(means if self.count else dict.fromkeys(means)),
            "classes": dict(zip(self.classes, rows, strict=True)),
            "confusion": self.confusion.tolist(),
        }

    def state_dict(self) -> dict[str, Any]:
        """The counts, to go on counting later."""
        return {"confusion": self.confusion.copy(), "loss_sum": self.loss_sum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the counts of :meth:`state_dict`."""
        self.confusion = numbers(state["confusion"]).astype(np.int64).reshape(self.confusion.shape)
        self.loss_sum = float(state["loss_sum"])


def numbers(values: Any) -> np.ndarray:
    """The numbers of a tensor or of anything like an array."""
    return values.cpu_array() if isinstance(values, Tensor) else np.asarray(values)


def _labels(values: Any) -> np.ndarray:
    labels = numbers(values)
    if labels.size and labels.dtype.kind not in "iu":
        raise DTypeError(expected="classes as whole numbers", got=str(labels.dtype), op="Metrics")
    return labels.astype(np.int64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)
