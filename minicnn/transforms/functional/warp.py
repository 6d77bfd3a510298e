"""Maps of the plane: turns, affine maps, perspective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.errors import OptionError
from minicnn.ops.images import warp_images
from minicnn.transforms._arguments import (
    Fill,
    InterpolationMode,
    to_fill,
    to_interpolation,
    to_numbers,
    to_point,
)
from minicnn.transforms.functional.kinds import (
    colour_for,
    colour_of,
    require_bytes,
    size_of,
    through_pillow,
)

__all__ = ["affine", "perspective", "rotate", "rotate_batch"]

Interpolation = InterpolationMode | int | str
_AFFINE, _PERSPECTIVE = 0, 2  # Pillow's numbers for the maps


def rotate(
    img: Any,
    angle: float,
    interpolation: Interpolation = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Fill | None = None,
) -> Any:
    """Turn counter-clockwise by an angle in degrees, by Pillow.

    Parameters
    ----------
    angle : float
    interpolation : InterpolationMode, str or int
        ``nearest``, ``bilinear`` or ``bicubic``.
    expand : bool
        Make the image large enough to hold all of it.
    center : (float, float), optional
        The fixed point (x, y) in pixels from the upper left corner; the middle by default.
    fill : float or sequence of float, optional
        The colour of what comes in from outside, one number or one per channel; 0 by default.
    """
    (angle,) = to_numbers(angle, (1,), "rotate", "an angle")
    mode, fixed = _pixels_between(interpolation, "rotate"), to_point(center, "rotate")
    to_fill(fill, "rotate")

    def turn(pil: Any) -> Any:
        return pil.rotate(angle, mode, expand, fixed, None, colour_for(pil, fill, "rotate"))

    return through_pillow(img, turn, "rotate")


def rotate_batch(
    images: np.ndarray, angles: np.ndarray, center: Sequence[float] | None = None, fill: Fill | None = None
) -> np.ndarray:
    """Turn each image by its angle, as :func:`rotate` does, by one kernel: from the nearest pixels.

    Parameters
    ----------
    images : (N, H, W) or (N, H, W, 3) array of uint8
    angles : (N,) array
        In degrees, counter-clockwise.
    center, fill
        As for :func:`rotate`.

    Returns
    -------
    array of the images' shape and type

    Raises
    ------
    DTypeError, ShapeError
        If the images are no such array.
    OptionError
        If the angles are not N finite numbers, or the center or the colour is none.

    Examples
    --------
    >>> images = np.array([[[1, 2], [3, 4]]] * 2, np.uint8)
    >>> rotate_batch(images, np.array([0.0, 90.0])).tolist()
    [[[1, 2], [3, 4]], [[2, 4], [1, 3]]]
    """
    count, height, width, *rest = images.shape
    require_bytes(images[0] if count else np.zeros(images.shape[1:], images.dtype), "rotate")
    if angles.shape != (count,) or not np.isfinite(angles).all():
        raise OptionError(expected=f"{count} finite angles", got=f"{angles!r:.60}", op="rotate")
    center, fill = to_point(center, "rotate"), to_fill(fill, "rotate")
    x, y = center or (width / 2, height / 2)
    # Pillow computes as the kernel does, in 1/65536 of a pixel, where all numbers are small, unless
    # the axes are not turned.
    too_far = 2 * (abs(x) + abs(y)) + height + width >= 1 << 15
    if too_far or (center is not None and not (angles % 180).all()):
        one_by_one = zip(images, angles.tolist(), strict=True)
        return np.stack([rotate(image, angle, center=center, fill=fill) for image, angle in one_by_one])
    channels = math.prod(rest)
    colour = np.array(colour_of(channels, fill, "rotate")).astype(np.uint8)
    pixels = images.reshape(count, height, width, channels)
    return warp_images(pixels, _rotations(angles, x, y), colour).reshape(images.shape)


def _rotations(angles: np.ndarray, x: float, y: float) -> np.ndarray:
    """The maps of :func:`~minicnn.ops.images.warp_images` that turn about (x, y) by these degrees, (N, 6)."""
    turn = -np.radians(angles % 360)
    cos, sin = np.round([np.cos(turn), np.sin(turn)], 15)  # as Pillow, so that right angles are exact
    rows = ((cos, sin, -x * cos - y * sin + x), (-sin, cos, x * sin - y * cos + y))
    # Pixels have their middles half a pixel from their corners.
    numbers = np.array([n for a, b, c in rows for n in (a, b, c + a / 2 + b / 2)])
    return np.floor(numbers.T * 65536 + 0.5).astype(np.int64)


def affine(
    img: Any,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    interpolation: Interpolation = InterpolationMode.NEAREST,
    fill: Fill | None = None,
    center: Sequence[float] | None = None,
) -> Any:
    """Turn, scale, shear and move, by Pillow: p ↦ c + t + s·R(a)·Y(sy)·X(sx)·(p - c).

    R turns clockwise (y points down), X(sx) = [[1, -tan sx], [0, 1]] and Y(sy) = [[1, 0], [-tan sy, 1]] shear
    along x and y.

    Parameters
    ----------
    angle : float
        Degrees, clockwise.
    translate : (float, float)
        Pixels to the right and down.
    scale : float
        Larger than 0.
    shear : float or (float, float)
        Degrees along x; or along x and y.
    interpolation, fill, center
        As for :func:`rotate`.

    Raises
    ------
    OptionError
        If an option is out of its range.
    DTypeError
        If a tensor or array is not uint8.

    Examples
    --------
    >>> affine(np.array([[1, 2, 3]], np.uint8), 0, (1, 0), 1, 0).tolist()
    [[0, 1, 2]]
    """
    (angle,) = to_numbers(angle, (1,), "affine", "an angle")
    move = to_numbers(translate, (2,), "affine", "translate")
    (scale,) = to_numbers(scale, (1,), "affine", "scale")
    if scale <= 0:
        raise OptionError(expected="scale > 0", got=repr(scale), op="affine")
    along = to_numbers(shear, (1, 2), "affine", "shear")
    if len(along) == 1:  # a number shears along x, a list of one along both, as in torchvision
        along = (along[0], along[0] if isinstance(shear, Sequence) else 0.0)
    height, width = size_of(img)
    fixed = to_point(center, "affine") or (width * 0.5, height * 0.5)
    matrix = _inverse_affine(fixed, angle, move, scale, along)
    return _mapped(img, _AFFINE, matrix, interpolation, fill, "affine")


def _inverse_affine(
    center: Sequence[float], angle: float, move: Sequence[float], scale: float, shear: Sequence[float]
) -> list[float]:
    """Where the result's pixel (x, y) comes from: (m0·x + m1·y + m2, m3·x + m4·y + m5)."""
    turn, sx, sy = (math.radians(degrees) for degrees in (angle, *shear))
    # [[a, b], [c, d]] = R · Y · X has determinant 1, so its inverse is [[d, -b], [-c, a]].
    a, c = math.cos(turn - sy) / math.cos(sy), math.sin(turn - sy) / math.cos(sy)
    b, d = -a * math.tan(sx) - math.sin(turn), -c * math.tan(sx) + math.cos(turn)
    rows = [(d / scale, -b / scale), (-c / scale, a / scale)]
    matrix: list[float] = []
    for (x, y), fixed in zip(rows, center, strict=True):
        matrix += [x, y, fixed - x * (center[0] + move[0]) - y * (center[1] + move[1])]
    return matrix


def perspective(
    img: Any,
    startpoints: Sequence[Sequence[float]],
    endpoints: Sequence[Sequence[float]],
    interpolation: Interpolation = InterpolationMode.BILINEAR,
    fill: Fill | None = None,
) -> Any:
    """Move four points to four others as a camera would see it, by Pillow.

    The result's pixel (x, y) comes from ((ax + by + c) / (gx + hy + 1), (dx + ey + f) / (gx + hy + 1)); the
    eight numbers solve the equations that take each end point to its start point.

    Parameters
    ----------
    startpoints, endpoints : four (x, y)
        Top left, top right, bottom right, bottom left; before and after.
    interpolation, fill
        As for :func:`rotate`.

    Raises
    ------
    OptionError
        If there are not four points.
    DTypeError
        If a tensor or array is not uint8.
    """
    start, end = (
        [to_numbers(point, (2,), "perspective", "points") for point in points]
        for points in (startpoints, endpoints)
    )
    if len(start) != 4 or len(end) != 4:
        raise OptionError(
            expected="four start points and four end points",
            got=f"{len(start)} and {len(end)}",
            op="perspective",
        )
    if start == end:
        return img
    return _mapped(img, _PERSPECTIVE, _coefficients(start, end), interpolation, fill, "perspective")


def _coefficients(start: list[tuple[float, ...]], end: list[tuple[float, ...]]) -> list[float]:
    rows = []
    for (x, y), (u, v) in zip(end, start, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    # Least squares: an image one pixel wide has corners that fall together.
    solution = np.linalg.lstsq(np.array(rows, np.float64), np.array(start, np.float64).ravel(), rcond=None)[0]
    return solution.tolist()


def _mapped(
    img: Any, kind: int, numbers: list[float], interpolation: Interpolation, fill: Fill | None, op: str
) -> Any:
    mode = _pixels_between(interpolation, op)
    to_fill(fill, op)

    def run(pil: Any) -> Any:
        return pil.transform(pil.size, kind, numbers, mode, fillcolor=colour_for(pil, fill, op))

    return through_pillow(img, run, op)


def _pixels_between(interpolation: Interpolation, op: str) -> int:
    """Pillow's number of a mode that maps of the plane know."""
    mode = to_interpolation(interpolation, op)
    if mode not in (InterpolationMode.NEAREST, InterpolationMode.BILINEAR, InterpolationMode.BICUBIC):
        raise OptionError(expected="nearest, bilinear or bicubic", got=str(mode.value), op=op)
    return mode.number
