"""Where the pixels go: size, margins, the middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.transforms import functional as F
from minicnn.transforms._arguments import (
    Fill,
    InterpolationMode,
    to_interpolation,
    to_margins,
    to_padding_mode,
    to_pair,
    to_sides,
)
from minicnn.transforms.base import Transform

__all__ = ["CenterCrop", "FiveCrop", "Pad", "Resize", "TenCrop"]


class Resize(Transform):
    """Scale the shorter side to ``size``, or the image to ``size`` (height, width).

    The options, and what they have to be, are those of :func:`minicnn.transforms.functional.resize`.

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
        self.size = to_sides(size, max_size, "Resize")
        self.interpolation = to_interpolation(interpolation, "Resize")
        self.max_size = max_size
        self.antialias = antialias

    def forward(self, image: Any) -> Any:
        return F.resize(image, self.size, self.interpolation, self.max_size, self.antialias)


class Pad(Transform):
    """Add a margin of a colour, or of what is beside it.

    The options, and what they have to be, are those of :func:`minicnn.transforms.functional.pad`.

    Examples
    --------
    >>> import numpy as np
    >>> Pad((1, 0), fill=9)(np.array([[1, 2]], np.uint8)).tolist()
    [[9, 1, 2, 9]]
    """

    keeps_arrays = True

    def __init__(self, padding: int | Sequence[int], fill: Fill = 0, padding_mode: str = "constant") -> None:
        to_margins(padding, "Pad")
        self.padding = padding
        self.fill = fill
        self.padding_mode = to_padding_mode(padding_mode, "Pad")

    def forward(self, image: Any) -> Any:
        return F.pad(image, self.padding, self.fill, self.padding_mode)


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

    def forward(self, image: Any) -> Any:
        return F.center_crop(image, self.size)


class FiveCrop(Transform):
    """Cut out the four corners and the middle: a tuple of five images.

    Parameters
    ----------
    size : int or (int, int)
        One side of a square, or (height, width).

    Raises
    ------
    OptionError
        If the image is smaller than the size.

    Examples
    --------
    >>> import numpy as np
    >>> [int(part[0, 0]) for part in FiveCrop(2)(np.arange(16).reshape(4, 4))]
    [0, 2, 8, 10, 5]
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = to_pair(size, "FiveCrop")

    def forward(self, image: Any) -> tuple[Any, ...]:
        return F.five_crop(image, self.size)


class TenCrop(Transform):
    """What :class:`FiveCrop` cuts out, of the image and of the image mirrored: a tuple of ten images.

    Parameters
    ----------
    size : int or (int, int)
        One side of a square, or (height, width).
    vertical_flip : bool
        Mirror top and bottom instead of left and right.

    Examples
    --------
    >>> import numpy as np
    >>> len(TenCrop(2)(np.arange(16).reshape(4, 4)))
    10
    """

    def __init__(self, size: int | Sequence[int], vertical_flip: bool = False) -> None:
        self.size = to_pair(size, "TenCrop")
        self.vertical_flip = vertical_flip

    def forward(self, image: Any) -> tuple[Any, ...]:
        return F.ten_crop(image, self.size, self.vertical_flip)
