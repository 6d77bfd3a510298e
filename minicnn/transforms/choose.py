"""Transforms of transforms: perhaps all, one of them, or all in a random order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.core.random import generator
from minicnn.errors import OptionError
from minicnn.transforms._arguments import to_chance
from minicnn.transforms.base import Compose, Transform, to_transforms

__all__ = ["RandomApply", "RandomChoice", "RandomOrder"]

all_keep_arrays = Compose.keeps_arrays  # the property of a chain: True if each of them does


class _Several(Transform):
    """Base of the three."""

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        self.transforms = to_transforms(transforms, type(self).__name__)


class RandomApply(_Several):
    """Apply all transforms, one after the other, with probability ``p``.

    Parameters
    ----------
    transforms : sequence of callable
    p : float

    Examples
    --------
    >>> RandomApply([abs, float], p=1)(-3)
    3.0
    """

    keeps_arrays = all_keep_arrays

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], p: float = 0.5) -> None:
        super().__init__(transforms)
        self.p = to_chance(p, "RandomApply")

    def forward(self, image: Any) -> Any:
        if generator().random() < self.p:
            for transform in self.transforms:
                image = transform(image)
        return image


class RandomChoice(_Several):
    """Apply one of the transforms.

    Parameters
    ----------
    transforms : sequence of callable
        Called with what this one is called with, so they may mix batches, as :class:`MixUp` does.
    p : sequence of float, optional
        How likely each of them is, to scale; equally by default.

    Raises
    ------
    OptionError
        If there is no transform, or not one weight for each, or one of them is negative.

    Examples
    --------
    >>> RandomChoice([abs, float], p=[1, 0])(-3)
    3
    """

    keeps_arrays = all_keep_arrays

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        weights = np.ones(len(self.transforms)) if p is None else np.asarray(p, np.float64)
        fitting = weights.shape == (len(self.transforms),) and (weights >= 0).all()
        if not fitting or not 0 < weights.sum() < np.inf:
            raise OptionError(
                expected="one weight >= 0 for each of at least one transform, not all 0",
                got=f"{p} for {len(self.transforms)}",
                op="RandomChoice",
            )
        self.p = p
        self._chances = weights / weights.sum()

    def forward(self, *inputs: Any) -> Any:
        which = int(generator().choice(len(self.transforms), p=self._chances))
        return self.transforms[which](*inputs)


class RandomOrder(_Several):
    """Apply all transforms in a random order.

    Examples
    --------
    >>> RandomOrder([lambda x: x + 1, lambda x: x + 2])(0)
    3
    """

    keeps_arrays = all_keep_arrays

    def forward(self, image: Any) -> Any:
        for which in generator().permutation(len(self.transforms)):
            image = self.transforms[which](image)
        return image
