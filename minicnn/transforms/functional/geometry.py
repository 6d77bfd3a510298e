"""Where the pixels go: mirrors, margins, rectangles, size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.errors import OptionError
from minicnn.transforms._arguments import (
    Fill,
    InterpolationMode,
    to_interpolation,
    to_margins,
    to_padding_mode,
    to_pair,
    to_sides,
)
from minicnn.transforms.functional.kinds import (
    is_pil,
    on_array,
    on_pixels,
    size_of,
    through_pillow,
)
from minicnn.typing import Shape

__all__ = [
    "center_crop",
    "crop",
    "five_crop",
    "hflip",
    "pad",
    "resize",
    "resized_crop",
    "ten_crop",
    "vflip",
    "window",
]

Interpolation = InterpolationMode | int | str


def hflip(img: Any) -> Any:
    """Mirror left and right.

    Examples
    --------
    >>> hflip(np.array([[1, 2, 3]])).tolist()
    [[3, 2, 1]]
    """
    return img.transpose(0) if is_pil(img) else on_array(img, lambda a: a[:, ::-1])


def vflip(img: Any) -> Any:
    """Mirror top and bottom."""
    return img.transpose(1) if is_pil(img) else on_array(img, lambda a: a[::-1])


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """Cut out a rectangle; what lies beyond the image is 0.

    Examples
    --------
    >>> crop(np.arange(1, 10).reshape(3, 3), 1, -1, 2, 3).tolist()
    [[0, 4, 5], [0, 7, 8]]
    """
    if is_pil(img):
        return img.crop((left, top, left + width, top + height))
    return on_array(img, lambda a: window(a, top, left, height, width))


def window(a: np.ndarray, top: int, left: int, height: int, width: int, fill: Fill = 0) -> np.ndarray:
    """A rectangle of an array, and a colour where it lies outside."""
    bottom, right = top + height, left + width
    if min(top, left) >= 0 and bottom <= a.shape[0] and right <= a.shape[1]:
        return a[top:bottom, left:right]
    out = filled((height, width), a.shape[2:], a.dtype, fill)
    inside = a[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    y, x = max(0, -top), max(0, -left)
    out[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return out


def filled(places: Shape, pixel: Shape, dtype: Any, fill: Fill) -> np.ndarray:
    """An array of one colour, which lies along the last axis of a pixel, that of the channels."""
    try:
        if np.shape(fill) not in ((), (1,), pixel[-1:]):
            raise ValueError("NumPy would take it for a row")
        return np.full((*places, *pixel), fill, dtype)
    except (OverflowError, ValueError) as error:
        expected = f"a fill that fits {dtype} pixels of shape {pixel}"
        raise OptionError(expected=expected, got=repr(fill)) from error


def pad(img: Any, padding: int | Sequence[int], fill: Fill = 0, padding_mode: str = "constant") -> Any:
    """Add margins filled with a colour or from the image.

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
    """
    left, top, right, bottom = to_margins(padding, "pad")
    if to_padding_mode(padding_mode, "pad") == "constant":
        height, width = size_of(img)
        whole = (-top, -left, top + height + bottom, left + width + right)
        return on_pixels(img, lambda a: window(a, *whole, fill))

    def padded(a: np.ndarray) -> np.ndarray:
        axes = ((top, bottom), (left, right)) + ((0, 0),) * (a.ndim - 2)
        return np.pad(a, axes, mode=padding_mode)  # type: ignore[call-overload]

    return on_pixels(img, padded)


def center_crop(img: Any, output_size: int | Sequence[int]) -> Any:
    """Cut out the middle; an image that is too small gets a black margin."""
    wanted = to_pair(output_size, "center_crop")
    top, left = (_middle(length, part) for length, part in zip(size_of(img), wanted, strict=True))
    return crop(img, top, left, *wanted)


def _middle(length: int, wanted: int) -> int:
    """Where the middle part begins; negative where a margin has to come first."""
    return round((length - wanted) / 2) if length >= wanted else -((wanted - length) // 2)


def five_crop(img: Any, size: int | Sequence[int]) -> tuple[Any, ...]:
    """The four corners and the middle: top left, top right, bottom left, bottom right, middle.

    Raises
    ------
    OptionError
        If the image is smaller than the size.
    """
    height, width = to_pair(size, "five_crop")
    bottom, right = (all_of - part for all_of, part in zip(size_of(img), (height, width), strict=True))
    if bottom < 0 or right < 0:
        raise OptionError(
            expected=f"a size within the image {size_of(img)}", got=str((height, width)), op="five_crop"
        )
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    return (*(crop(img, *corner, height, width) for corner in corners), center_crop(img, (height, width)))


def ten_crop(img: Any, size: int | Sequence[int], vertical_flip: bool = False) -> tuple[Any, ...]:
    """:func:`five_crop` of the image, and of the image mirrored."""
    mirrored = vflip(img) if vertical_flip else hflip(img)
    return five_crop(img, size) + five_crop(mirrored, size)


def resize(
    img: Any,
    size: int | Sequence[int],
    interpolation: Interpolation = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """Scale by Pillow, which smooths before it shrinks; an image that has the size stays itself.

    Parameters
    ----------
    size : int or (int, int)
        The length of the shorter side, the ratio kept; or (height, width).
    interpolation : InterpolationMode, str or int
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
    """
    mode = to_interpolation(interpolation, "resize")
    height, width = _target(size_of(img), size, max_size)
    if (height, width) == size_of(img):
        return img
    return through_pillow(img, lambda pil: pil.resize((width, height), mode.number), "resize")


def _target(now: tuple[int, int], size: int | Sequence[int], max_size: int | None) -> tuple[int, int]:
    """(height, width) of the resized image."""
    new_short = to_sides(size, max_size, "resize")
    if isinstance(new_short, tuple):
        return new_short
    short, long = sorted(now)
    new_long = int(new_short * long / short)
    if max_size is not None and new_long > max_size:
        new_short, new_long = max(1, int(max_size * new_short / new_long)), max_size
    return (new_short, new_long) if now[0] <= now[1] else (new_long, new_short)


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: Interpolation = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """:func:`crop`, then :func:`resize`."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)
