"""Random changes to the training images: crops, mirrors, rotation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minicnn.core.random import generator
from minicnn.errors import OptionError, ShapeError
from minicnn.transforms._arguments import (
    InterpolationMode,
    to_chance,
    to_interpolation,
    to_margins,
    to_padding_mode,
    to_pair,
    to_tuple,
)
from minicnn.transforms._functional import Fill, crop, flip, pad, resized, size_of, through_pillow
from minicnn.transforms.base import Transform

__all__ = [
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
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
        self._margins = None if padding is None else to_margins(padding, "RandomCrop")
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = to_padding_mode(padding_mode, "RandomCrop")

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Draw (top, left, height, width) for an image, to use them on several."""
        height, width = size_of(img)
        wanted_height, wanted_width = output_size
        if height < wanted_height or width < wanted_width:
            raise ShapeError(
                expected=f"an image of at least {output_size}",
                got=f"({height}, {width})",
                hint="use padding or pad_if_needed=True",
                op="RandomCrop",
            )
        rng = generator()
        top = int(rng.integers(height - wanted_height + 1))
        return top, int(rng.integers(width - wanted_width + 1)), wanted_height, wanted_width

    def __call__(self, image: Any) -> Any:
        if self._margins is not None:
            image = pad(image, self._margins, self.fill, self.padding_mode)
        if self.pad_if_needed:
            height, width = size_of(image)
            x, y = max(0, self.size[1] - width), max(0, self.size[0] - height)
            if x or y:
                image = pad(image, (x, y, x, y), self.fill, self.padding_mode)
        return crop(image, *self.get_params(image, self.size))


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

    def __call__(self, image: Any) -> Any:
        part = crop(image, *self.get_params(image, self.scale, self.ratio))
        return resized(part, *self.size, self.interpolation)


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

    def __call__(self, image: Any) -> Any:
        return flip(image, horizontal=True) if generator().random() < self.p else image


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

    def __call__(self, image: Any) -> Any:
        return flip(image, horizontal=False) if generator().random() < self.p else image


class RandomRotation(Transform):
    """Turn by a random angle, by Pillow.

    Parameters
    ----------
    degrees : float or (float, float)
        The angle is drawn evenly from -degrees to degrees, or from - to; counter-clockwise.
    interpolation : InterpolationMode, str or int
        ``nearest``, ``bilinear`` or ``bicubic``.
    expand : bool
        Make the image large enough to hold all of it.
    center : (float, float), optional
        The fixed point (x, y) in pixels from the upper left corner; the middle by default.
    fill : float or sequence of float
        The colour of what comes in from outside, one number or one per channel.

    Raises
    ------
    OptionError
        If the degrees are negative or not in order.
    DTypeError
        If a tensor or array is not uint8.

    Examples
    --------
    >>> import numpy as np
    >>> RandomRotation((90, 90))(np.array([[1, 2], [3, 4]], np.uint8)).tolist()
    [[2, 4], [1, 3]]
    """

    keeps_arrays = True

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: InterpolationMode | int | str = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Fill = 0,
    ) -> None:
        given = to_tuple(degrees)
        low, high = (float(given[0]) * (-1 if len(given) == 1 else 1), float(given[-1]))
        if len(given) > 2 or not -math.inf < low <= high < math.inf:
            raise OptionError(
                expected="degrees >= 0, or (from, to) in order", got=repr(degrees), op="RandomRotation"
            )
        self.degrees = [low, high]
        self.interpolation = to_interpolation(interpolation, "RandomRotation")
        self.expand = expand
        self.center = center
        self.fill = fill

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """Draw an angle in degrees."""
        return float(generator().uniform(degrees[0], degrees[1]))

    def __call__(self, image: Any) -> Any:
        angle = self.get_params(self.degrees)
        resample = self.interpolation.number

        def turn(pil: Any) -> Any:
            bands = len(pil.getbands())
            fill = tuple(self.fill) if isinstance(self.fill, Sequence) else (self.fill,) * bands
            colour = tuple(map(int, fill)) if bands > 1 else fill[0]  # one number would be red for Pillow
            return pil.rotate(angle, resample, self.expand, self.center, None, colour)

        return through_pillow(image, turn, "RandomRotation")
