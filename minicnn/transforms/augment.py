"""Random rectangles and mirrors."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.core.random import generator, uniforms, uniforms_of_samples
from minicnn.errors import OptionError, ShapeError
from minicnn.ops.images import crop_images
from minicnn.transforms import functional as F
from minicnn.transforms._arguments import (
    Fill,
    InterpolationMode,
    to_chance,
    to_interpolation,
    to_margins,
    to_padding_mode,
    to_pair,
)
from minicnn.transforms.base import Transform
from minicnn.transforms.functional.geometry import filled
from minicnn.transforms.functional.kinds import size_of

__all__ = [
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
]


class RandomCrop(Transform):
    """Cut out a rectangle at a random place.

    Parameters
    ----------
    size : int or (int, int)
        One side of a square, or (height, width).
    padding : int or sequence of int, optional
        Add a margin first, as :class:`Pad` does.
    pad_if_needed : bool
        Add a margin on both sides where the image is smaller than the size.
    fill, padding_mode
        As for :class:`Pad`.

    Raises
    ------
    ShapeError
        If the image is smaller than the size.

    Examples
    --------
    >>> import numpy as np
    >>> RandomCrop(32, padding=4)(np.zeros((32, 32, 3), np.uint8)).shape
    (32, 32, 3)
    """

    keeps_arrays = True

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Fill = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = to_pair(size, "RandomCrop")
        self._margins = to_margins(0 if padding is None else padding, "RandomCrop")
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = to_padding_mode(padding_mode, "RandomCrop")

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Draw (top, left, height, width) for an image, to use them on several."""
        top, left = _places(np.array(uniforms(2)), size_of(img), output_size).tolist()
        return top, left, *output_size

    def forward(self, image: Any) -> Any:
        for margins in (self._margins, self._missing(size_of(image))):
            if any(margins):
                image = F.pad(image, margins, self.fill, self.padding_mode)
        return F.crop(image, *self.get_params(image, self.size))

    @property
    def on_batch(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """On arrays (N, H, W[, C]) at once, if the margin has one colour."""
        return self._on_batch if self.padding_mode == "constant" else None

    def _on_batch(self, images: np.ndarray) -> np.ndarray:
        count, height, width, *rest = images.shape
        left, up, right, down = map(operator.add, self._margins, self._missing((height, width)))
        padded = up + height + down, left + width + right
        corners = _places(uniforms_of_samples(count, 2), padded, self.size) - (up, left)
        fill = self.fill if left or up or right or down else 0  # nobody looks at it without a margin
        colour = filled((), tuple(rest) or (1,), images.dtype, fill).reshape(-1)
        pixels = images.reshape(count, height, width, math.prod(rest))
        return crop_images(pixels, corners, colour, size=self.size).reshape(count, *self.size, *rest)

    def _missing(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """What the padded image lacks, as a margin on both sides; nothing where nobody wants to know."""
        if not self.pad_if_needed:
            return 0, 0, 0, 0
        left, up, right, down = self._margins
        x, y = max(0, self.size[1] - size[1] - left - right), max(0, self.size[0] - size[0] - up - down)
        return x, y, x, y


def _places(drawn: np.ndarray, size: tuple[int, int], wanted: tuple[int, int]) -> np.ndarray:
    """Top and left of rectangles, from pairs of random numbers."""
    beyond = np.subtract(size, wanted)
    if (beyond < 0).any():
        raise ShapeError(
            expected=f"an image of at least {wanted}",
            got=str(size),
            hint="use padding or pad_if_needed=True",
            op="RandomCrop",
        )
    return (drawn * (beyond + 1)).astype(np.int64)


class RandomResizedCrop(Transform):
    """Cut out a rectangle of random area and ratio, and scale it to a size.

    Parameters
    ----------
    size : int or (int, int)
        One side of a square, or (height, width).
    scale : (float, float)
        The part of the image's area, from - to.
    ratio : (float, float)
        Width over height, from - to, drawn evenly in its logarithm.
    interpolation, antialias
        As for :class:`Resize`.

    References
    ----------
    C. Szegedy et al., "Going Deeper with Convolutions", 2015, section 6.

    Examples
    --------
    >>> import numpy as np
    >>> RandomResizedCrop(4)(np.zeros((9, 7), np.uint8)).shape
    (4, 4)
    """

    keeps_arrays = True

    def __init__(
        self,
        size: int | Sequence[int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: InterpolationMode | int | str = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.size = to_pair(size, "RandomResizedCrop")
        for name, (low, high) in (("scale", scale), ("ratio", ratio)):
            if not 0 < low <= high:
                raise OptionError(
                    expected=f"0 < {name}[0] <= {name}[1]", got=f"{(low, high)}", op="RandomResizedCrop"
                )
        self.scale = scale
        self.ratio = ratio
        self.interpolation = to_interpolation(interpolation, "RandomResizedCrop")
        self.antialias = antialias

    @staticmethod
    def get_params(
        img: Any, scale: tuple[float, float], ratio: tuple[float, float]
    ) -> tuple[int, int, int, int]:
        """Draw (top, left, height, width) for an image; its middle if ten draws do not fit in it."""
        height, width = size_of(img)
        rng = generator()
        for _ in range(10):
            area = height * width * rng.uniform(*scale)
            aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
        aspect = min(max(width / height, ratio[0]), ratio[1])
        w, h = min(width, max(1, round(height * aspect))), min(height, max(1, round(width / aspect)))
        return (height - h) // 2, (width - w) // 2, h, w

    def forward(self, image: Any) -> Any:
        place = self.get_params(image, self.scale, self.ratio)
        return F.resized_crop(image, *place, self.size, self.interpolation)


class RandomHorizontalFlip(Transform):
    """Mirror left and right with probability ``p``.

    Examples
    --------
    >>> import numpy as np
    >>> RandomHorizontalFlip(p=1)(np.array([[1, 2, 3]])).tolist()
    [[3, 2, 1]]
    """

    keeps_arrays = True

    def __init__(self, p: float = 0.5) -> None:
        self.p = to_chance(p, "RandomHorizontalFlip")

    def forward(self, image: Any) -> Any:
        return F.hflip(image) if uniforms(1)[0] < self.p else image

    def on_batch(self, images: np.ndarray) -> np.ndarray:
        """On arrays (N, H, W[, C]) at once."""
        return _mirrored(images, images[:, :, ::-1], self.p)


class RandomVerticalFlip(Transform):
    """Mirror top and bottom with probability ``p``.

    Examples
    --------
    >>> import numpy as np
    >>> RandomVerticalFlip(p=1)(np.array([[1], [2]])).tolist()
    [[2], [1]]
    """

    keeps_arrays = True

    def __init__(self, p: float = 0.5) -> None:
        self.p = to_chance(p, "RandomVerticalFlip")

    def forward(self, image: Any) -> Any:
        return F.vflip(image) if uniforms(1)[0] < self.p else image

    def on_batch(self, images: np.ndarray) -> np.ndarray:
        """On arrays (N, H, W[, C]) at once."""
        return _mirrored(images, images[:, ::-1], self.p)


def _mirrored(images: np.ndarray, mirrors: np.ndarray, p: float) -> np.ndarray:
    """Each image, or with probability p its mirror."""
    chosen = uniforms_of_samples(len(images), 1)[:, 0] < p
    mixed = images.copy()
    mixed[chosen] = mirrors[chosen]
    return mixed
