"""Where the pixels go: size, margins, the middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.errors import OptionError
from minicnn.transforms._arguments import (
    InterpolationMode,
    to_interpolation,
    to_margins,
    to_padding_mode,
    to_pair,
    to_tuple,
)
from minicnn.transforms._functional import Fill, crop, pad, resized, size_of
from minicnn.transforms.base import Transform

__all__ = ["CenterCrop", "Pad", "Resize"]


class Resize(Transform):
    """Scale to a size, by Pillow, which smooths before it shrinks.

    Parameters
    ----------
    size : int or (int, int)
        The length of the shorter side, the ratio kept; or (height, width).
    interpolation : InterpolationMode, str or int
        How pixels between pixels are made.
    max_size : int, optional
        With one ``size``: at most that long is the longer side.
    antialias : bool
        Taken for torchvision's sake; smoothing is always on.

    Raises
    ------
    OptionError
        If a size is not positive, or ``max_size`` comes with two sizes or is not larger than ``size``.
    DTypeError
        If a tensor or array is not uint8.

    Examples
    --------
    >>> import numpy as np
    >>> Resize(4)(np.zeros((8, 16), np.uint8)).shape
    (4, 8)
    """

    keeps_arrays = True

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: InterpolationMode | int | str = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        height, width = to_pair(size, "Resize")
        self._shorter = len(to_tuple(size)) == 1
        if max_size is not None and (not self._shorter or max_size <= height):
            raise OptionError(
                expected="max_size > size, and one size", got=f"{max_size} with size {size}", op="Resize"
            )
        self.size = height if self._shorter else (height, width)
        self.interpolation = to_interpolation(interpolation, "Resize")
        self.max_size = max_size
        self.antialias = antialias
        self._target = (height, width)

    def __call__(self, image: Any) -> Any:
        height, width = self._target
        if self._shorter:
            height, width = self._keeping_the_ratio(*size_of(image))
        return resized(image, height, width, self.interpolation)

    def _keeping_the_ratio(self, height: int, width: int) -> tuple[int, int]:
        short, long = sorted((height, width))
        new_short, new_long = self._target[0], int(self._target[0] * long / short)
        if self.max_size is not None and new_long > self.max_size:
            new_short, new_long = max(1, int(self.max_size * new_short / new_long)), self.max_size
        return (new_short, new_long) if height <= width else (new_long, new_short)


class Pad(Transform):
    """Add a margin.

    Parameters
    ----------
    padding : int or sequence of int
        Pixels: on all sides; or (left and right, top and bottom); or (left, top, right, bottom).
    fill : float or sequence of float
        The colour of a constant margin, one number or one per channel.
    padding_mode : {"constant", "edge", "reflect", "symmetric"}
        A colour, the border pixel again, or the image mirrored without or with its border pixel.

    Raises
    ------
    OptionError
        If a number is negative, the mode is another one, or the pixels cannot hold the colour.

    Examples
    --------
    >>> import numpy as np
    >>> Pad((1, 0), fill=9)(np.array([[1, 2]], np.uint8)).tolist()
    [[9, 1, 2, 9]]
    """

    keeps_arrays = True

    def __init__(self, padding: int | Sequence[int], fill: Fill = 0, padding_mode: str = "constant") -> None:
        self._margins = to_margins(padding, "Pad")
        self.padding = padding
        self.fill = fill
        self.padding_mode = to_padding_mode(padding_mode, "Pad")

    def __call__(self, image: Any) -> Any:
        return pad(image, self._margins, self.fill, self.padding_mode)


class CenterCrop(Transform):
    """Cut out the middle; an image that is too small gets a black margin.

    Parameters
    ----------
    size : int or (int, int)
        One side of a square, or (height, width).

    Examples
    --------
    >>> import numpy as np
    >>> CenterCrop(2)(np.arange(16).reshape(4, 4)).tolist()
    [[5, 6], [9, 10]]
    """

    keeps_arrays = True

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = to_pair(size, "CenterCrop")

    def __call__(self, image: Any) -> Any:
        height, width = size_of(image)
        top, left = _middle(height, self.size[0]), _middle(width, self.size[1])
        return crop(image, top, left, *self.size)


def _middle(length: int, wanted: int) -> int:
    """Where the middle part begins; negative where a margin has to come first."""
    return round((length - wanted) / 2) if length >= wanted else -((wanted - length) // 2)
