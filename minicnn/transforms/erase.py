"""Holes: rectangles of other numbers at random places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.core.random import generator
from minicnn.errors import OptionError
from minicnn.transforms import functional as F
from minicnn.transforms._arguments import to_chance, to_numbers, to_range
from minicnn.transforms.base import Transform
from minicnn.transforms.functional.kinds import channels_of, is_pil, size_of

__all__ = ["Cutout", "RandomErasing"]


class RandomErasing(Transform):
    """With probability ``p`` write over a rectangle of random area and ratio.

    Behind ``Normalize`` a value of 0 is the mean of the training images.

    Parameters
    ----------
    p : float
    scale : (float, float)
        The part of the image's area, from - to, within 0 to 1.
    ratio : (float, float)
        Height over width, from - to, drawn evenly in its logarithm.
    value : float, sequence of float or "random"
        One number, or one for each channel. ``"random"`` draws each element: from the standard normal
        distribution, or for bytes evenly from 0 to 255.
    inplace : bool
        Change the tensor or array itself, if it may be written to; the images of a data set may not.

    Raises
    ------
    OptionError
        If an option is out of its range, or there is not one value for each channel.

    References
    ----------
    Z. Zhong et al., "Random Erasing Data Augmentation", 2017.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> made = RandomErasing(p=1, scale=(0.2, 0.3))(Tensor(np.ones((1, 8, 8), np.float32)))
    >>> made.shape, 4 < int(np.count_nonzero(made.numpy() == 0)) < 24
    ((1, 8, 8), True)
    """

    keeps_arrays = True

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | str | Sequence[float] = 0,
        inplace: bool = False,
    ) -> None:
        op = "RandomErasing"
        self.p = to_chance(p, op)
        self.scale = to_range(scale, op, "scale", 0, 1)
        self.ratio = to_range(ratio, op, "ratio", 0)
        if self.ratio[0] <= 0:
            raise OptionError(expected="ratio > 0", got=repr(ratio), op=op)
        self._value = None if value == "random" else to_numbers(value, None, op, 'value "random", or')
        self.value = value
        self.inplace = inplace

    @staticmethod
    def get_params(
        img: Any, scale: Sequence[float], ratio: Sequence[float], value: Sequence[float] | None = None
    ) -> tuple[int, int, int, int, Any]:
        """Draw (top, left, height, width, new numbers); the image itself if ten draws do not fit in it."""
        height, width = size_of(img)
        rng = generator()
        for _ in range(10):
            area = height * width * rng.uniform(scale[0], scale[1])
            aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if not (h < height and w < width):
                continue
            new = _noise(img, h, w) if value is None else np.reshape(value, (-1, 1, 1))
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w, new
        return 0, 0, height, width, img

    def forward(self, image: Any) -> Any:
        if generator().random() >= self.p:
            return image
        if self._value is not None and len(self._value) not in (1, channels_of(image)):
            raise OptionError(
                expected=f"1 value or {channels_of(image)}, one for each channel",
                got=repr(self.value),
                op="RandomErasing",
            )
        i, j, h, w, new = self.get_params(image, self.scale, self.ratio, self._value)
        return image if new is image else F.erase(image, i, j, h, w, new, self.inplace)


def _noise(image: Any, height: int, width: int) -> np.ndarray:
    """Random numbers of an image's kind, (C, height, width)."""
    shape = (channels_of(image), height, width)
    if is_pil(image) or image.dtype.kind != "f":
        return generator().integers(0, 256, shape)
    return generator().standard_normal(shape)


class Cutout(Transform):
    """Write over a square of fixed side centred anywhere in the image; what lies outside is cut off.

    Behind ``Normalize`` a fill of 0 is the mean of the training images, as in the paper.

    Parameters
    ----------
    size : int
        The side in pixels. The square's rows are y - ⌊size/2⌋ … y - ⌊size/2⌋ + size - 1.
    fill : float
        The number written.

    Raises
    ------
    OptionError
        If the side is not positive.

    References
    ----------
    T. DeVries and G. W. Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.

    Examples
    --------
    >>> made = Cutout(2)(np.ones((4, 4)))
    >>> int(16 - made.sum()) in (1, 2, 4)
    True
    """

    keeps_arrays = True

    def __init__(self, size: int, fill: float = 0) -> None:
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise OptionError(expected="a side of at least 1 pixel", got=repr(size), op="Cutout")
        self.size = int(size)
        (self.fill,) = to_numbers(fill, (1,), "Cutout", "fill")

    @staticmethod
    def get_params(img: Any, size: int) -> tuple[int, int, int, int]:
        """Draw (top, left, height, width) of what is within the image."""
        rng = generator()
        first, last = [], []
        for length in size_of(img):
            begin = int(rng.integers(length)) - size // 2
            first.append(max(0, begin))
            last.append(min(length, begin + size))
        return first[0], first[1], last[0] - first[0], last[1] - first[1]

    def forward(self, image: Any) -> Any:
        return F.erase(image, *self.get_params(image, self.size), self.fill)
