"""Transforms of whole batches: neighbours mixed, and their labels with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.core.dispatch import backend_of
from minicnn.core.random import generator
from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, LabelError, OptionError, ShapeError
from minicnn.transforms._arguments import to_numbers
from minicnn.transforms.base import Transform

__all__ = ["CutMix", "MixUp"]


class _Mixing(Transform):
    """Base of the two: checks, and the labels as probabilities."""

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None) -> None:
        (self.alpha,) = to_numbers(alpha, (1,), type(self).__name__, "alpha")
        if alpha <= 0:
            raise OptionError(expected="alpha > 0", got=repr(alpha), op=type(self).__name__)
        if num_classes is not None and (not isinstance(num_classes, (int, np.integer)) or num_classes < 1):
            raise OptionError(expected="num_classes >= 1", got=repr(num_classes), op=type(self).__name__)
        self.num_classes = num_classes

    def forward(self, *batch: Any) -> tuple[Tensor, Tensor]:
        images, labels = batch if len(batch) != 1 else batch[0]
        self._check(images, labels)
        x, q = images.array, self._probabilities(labels)
        lam = float(generator().beta(self.alpha, self.alpha))
        mixed, lam = self._mixed(x, _before(x), lam)
        weight = np.float32(lam)
        return Tensor.wrap(mixed), Tensor.wrap(weight * q + (1 - weight) * _before(q))

    def _mixed(self, x: Any, before: Any, lam: float) -> tuple[Any, float]:
        """The mixed images, and the share that each image has in its mixture."""
        raise NotImplementedError

    def _check(self, images: Any, labels: Any) -> None:
        op = type(self).__name__
        for name, given in (("images", images), ("labels", labels)):
            if not isinstance(given, Tensor):
                raise DTypeError(expected=f"{name} as a tensor", got=type(given).__name__, op=op)
        if images.ndim != 4 or labels.ndim not in (1, 2) or len(images) != len(labels) or not len(labels):
            raise ShapeError(
                expected="images (N, C, H, W) and labels (N,) or probabilities (N, num_classes)",
                got=f"{images.shape} and {labels.shape}",
                op=op,
            )
        if images.dtype.kind != "f":
            raise DTypeError(
                expected="floating point images",
                got=str(images.dtype),
                hint="put it behind ToTensor()",
                op=op,
            )

    def _probabilities(self, labels: Tensor) -> Any:
        """(N, num_classes) float32."""
        op = type(self).__name__
        if labels.ndim == 2 and labels.dtype.kind == "f":  # mixed before
            if self.num_classes not in (None, labels.shape[1]):
                raise ShapeError(
                    expected=f"probabilities (N, {self.num_classes})", got=str(labels.shape), op=op
                )
            return labels.array.astype(np.float32)
        if self.num_classes is None or labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise OptionError(
                expected="num_classes and labels (N,) of integers, or probabilities (N, num_classes)",
                got=f"num_classes={self.num_classes} and {labels.dtype} {labels.shape}",
                op=op,
            )
        low, high = int(labels.array.min()), int(labels.array.max())
        if low < 0 or high >= self.num_classes:
            raise LabelError(
                expected=f"labels from 0 to {self.num_classes - 1}", got=f"{low} to {high}", op=op
            )
        classes = backend_of([labels.array]).xp.arange(self.num_classes)
        return (labels.array[:, None] == classes).astype(np.float32)


def _before(x: Any) -> Any:
    """For each sample the one before it; for the first the last."""
    return backend_of([x]).xp.roll(x, 1, axis=0)


class MixUp(_Mixing):
    """Each image averaged with the one before it in the batch, and its label too.

        λ ~ Beta(alpha, alpha), one for the batch
        x'[n] = λ·x[n] + (1 - λ)·x[n - 1],   q'[n] = λ·q[n] + (1 - λ)·q[n - 1]

    where q[n] is 1 for the label of image n and 0 elsewhere, and before the first stands the last. The loss
    is ``F.cross_entropy(model(images), probabilities)``. A batch has to be shuffled, or neighbours are alike.

    Parameters
    ----------
    alpha : float
        Larger than 0; the smaller, the closer λ is to 0 or 1.
    num_classes : int, optional
        Can be left out where labels come as probabilities.

    Returns
    -------
    images : (N, C, H, W)
    probabilities : (N, num_classes) float32

    Raises
    ------
    OptionError, ShapeError, DTypeError, LabelError
        If options, shapes, types or labels do not fit.

    References
    ----------
    H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.

    Examples
    --------
    >>> mixup = MixUp(alpha=0.2, num_classes=3)
    >>> images, probabilities = mixup(Tensor(np.ones((4, 1, 2, 2))), Tensor([0, 1, 2, 2]))
    >>> images.shape, probabilities.shape, probabilities.sum(1).tolist()
    ((4, 1, 2, 2), (4, 3), [1.0, 1.0, 1.0, 1.0])

    As a loader's ``collate_fn``, where it is random by the loader's seed, epoch and batch:

    >>> from minicnn.data import DataLoader, default_collate
    >>> samples = [(np.ones((1, 2, 2), np.float32), label) for label in (0, 1, 2, 2)]
    >>> loader = DataLoader(samples, 2, collate_fn=lambda batch: mixup(*default_collate(batch)), seed=0)
    >>> [probabilities.shape for images, probabilities in loader]
    [(2, 3), (2, 3)]
    """

    def _mixed(self, x: Any, before: Any, lam: float) -> tuple[Any, float]:
        weight = x.dtype.type(lam)
        return weight * x + (1 - weight) * before, lam


class CutMix(_Mixing):
    """A rectangle of each image is that of the one before it in the batch; labels are mixed by area.

        λ ~ Beta(alpha, alpha), one for the batch; cx, cy evenly among the pixels
        half sides: ⌊W·√(1 - λ) / 2⌋ and ⌊H·√(1 - λ) / 2⌋ around (cx, cy), cut off at the border
        λ' = 1 - area / (H·W),   q'[n] = λ'·q[n] + (1 - λ')·q[n - 1]

    Parameters
    ----------
    alpha, num_classes
        As for :class:`MixUp`, and so are what it returns, what it raises, and its use in a loader.

    References
    ----------
    S. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
    2019.

    Examples
    --------
    >>> cutmix = CutMix(num_classes=2)
    >>> zeros_and_ones = Tensor(np.array([0.0, 1.0]).reshape(2, 1, 1, 1) * np.ones((2, 1, 4, 4)))
    >>> images, probabilities = cutmix(zeros_and_ones, Tensor([0, 1]))
    >>> bool(np.allclose(images.numpy().mean((1, 2, 3)), probabilities.numpy()[:, 1]))
    True
    """

    def _mixed(self, x: Any, before: Any, lam: float) -> tuple[Any, float]:
        height, width = x.shape[-2:]
        rng = generator()
        cx, cy = int(rng.integers(width)), int(rng.integers(height))
        half = 0.5 * math.sqrt(1 - lam)
        rows, columns = (
            slice(max(0, middle - int(half * length)), min(length, middle + int(half * length)))
            for middle, length in ((cy, height), (cx, width))
        )
        mixed = x.copy()
        mixed[..., rows, columns] = before[..., rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return mixed, 1 - area / (height * width)
