"""Random maps of the plane: turns, scale and shear, and views of a camera."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.core.random import generator, uniforms, uniforms_of_samples
from minicnn.errors import OptionError
from minicnn.transforms import functional as F
from minicnn.transforms._arguments import (
    Fill,
    InterpolationMode,
    to_chance,
    to_fill,
    to_interpolation,
    to_numbers,
    to_point,
    to_range,
    to_span,
)
from minicnn.transforms.base import Transform
from minicnn.transforms.functional.kinds import size_of
from minicnn.transforms.functional.warp import rotate_batch

__all__ = ["RandomAffine", "RandomPerspective", "RandomRotation"]


class RandomRotation(Transform):
    """Turn by a random angle, as Pillow does.

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
        If the degrees are negative, not in order, or too far apart for a number.
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
        self.degrees = list(to_span(degrees, "RandomRotation", "degrees"))
        self.interpolation = to_interpolation(interpolation, "RandomRotation")
        self.expand = expand
        self.center = to_point(center, "RandomRotation")
        self.fill = to_fill(fill, "RandomRotation")

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """Draw an angle in degrees."""
        return float(_between(degrees, uniforms(1)[0]))

    def forward(self, image: Any) -> Any:
        angle = self.get_params(self.degrees)
        return F.rotate(image, angle, self.interpolation, self.expand, self.center, self.fill)

    @property
    def on_batch(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """On arrays (N, H, W[, C]) at once, if their pixels stay as they are: nearest, and no ``expand``."""
        stays = self.interpolation is InterpolationMode.NEAREST and not self.expand
        return self._on_batch if stays else None

    def _on_batch(self, images: np.ndarray) -> np.ndarray:
        angles = _between(self.degrees, uniforms_of_samples(len(images), 1)[:, 0])
        return rotate_batch(images, angles, self.center, self.fill)


def _between(ends: Sequence[float], drawn: Any) -> Any:
    """From - to, by random numbers in [0, 1)."""
    return ends[0] + (ends[1] - ends[0]) * drawn


class RandomAffine(Transform):
    """Turn, move, scale and shear at random, by Pillow; see :func:`minicnn.transforms.functional.affine`.

    Parameters
    ----------
    degrees : float or (float, float)
        The angle is drawn evenly from -degrees to degrees, or from - to; clockwise.
    translate : (float, float), optional
        The largest moves in parts of the width and of the height, 0 to 1; drawn evenly to both sides and
        rounded to pixels.
    scale : (float, float), optional
        From - to, larger than 0.
    shear : float, or 2 or 4 floats, optional
        Degrees along x from -shear to shear, or from - to; with four also along y from - to.
    interpolation : InterpolationMode, str or int
        ``nearest``, ``bilinear`` or ``bicubic``.
    fill : float or sequence of float
        The colour of what comes in from outside, one number or one per channel.
    center : (float, float), optional
        The fixed point (x, y) in pixels from the upper left corner; the middle by default.

    Raises
    ------
    OptionError
        If an option is out of its range.
    DTypeError
        If a tensor or array is not uint8.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    >>> RandomAffine((180, 180))(image).tolist()
    [[5, 4, 3], [2, 1, 0]]
    """

    keeps_arrays = True

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: InterpolationMode | int | str = InterpolationMode.NEAREST,
        fill: Fill = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        op = "RandomAffine"
        self.degrees = to_span(degrees, op, "degrees")
        self.translate = None if translate is None else to_numbers(translate, (2,), op, "translate")
        if not all(0 <= part <= 1 for part in self.translate or ()):
            raise OptionError(expected="translate of parts from 0 to 1", got=repr(translate), op=op)
        self.scale = None if scale is None else to_range(scale, op, "scale", 0)
        if self.scale is not None and self.scale[0] <= 0:
            raise OptionError(expected="scale > 0", got=repr(scale), op=op)
        self.shear = None if shear is None else _shears(shear)
        self.interpolation = to_interpolation(interpolation, op)
        self.fill = to_fill(fill, op)
        self.center = to_point(center, op)

    @staticmethod
    def get_params(
        degrees: Sequence[float],
        translate: Sequence[float] | None,
        scale_ranges: Sequence[float] | None,
        shears: Sequence[float] | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """Draw the angle, the move, the scale and the two shears for an image of (width, height)."""
        rng = generator()
        angle = float(rng.uniform(degrees[0], degrees[1]))
        move, scale, along_x, along_y = (0, 0), 1.0, 0.0, 0.0
        if translate is not None:
            x, y = (part * length for part, length in zip(translate, img_size, strict=True))
            move = round(rng.uniform(-x, x)), round(rng.uniform(-y, y))
        if scale_ranges is not None:
            scale = float(rng.uniform(scale_ranges[0], scale_ranges[1]))
        if shears is not None:
            along_x = float(rng.uniform(shears[0], shears[1]))
            along_y = float(rng.uniform(shears[2], shears[3])) if len(shears) == 4 else 0.0
        return angle, move, scale, (along_x, along_y)

    def forward(self, image: Any) -> Any:
        drawn = self.get_params(self.degrees, self.translate, self.scale, self.shear, size_of(image)[::-1])
        return F.affine(image, *drawn, self.interpolation, self.fill, self.center)


def _shears(shear: float | Sequence[float]) -> tuple[float, ...]:
    """From - to along x, and perhaps along y."""
    given = to_numbers(shear, (1, 2, 4), "RandomAffine", "shear")
    if len(given) < 4:
        return to_span(shear, "RandomAffine", "shear")
    return to_span(given[:2], "RandomAffine", "shear") + to_span(given[2:], "RandomAffine", "shear")


class RandomPerspective(Transform):
    """With probability ``p`` move each corner inwards at random, as if a camera looked from aside.

    Parameters
    ----------
    distortion_scale : float
        From 0 to 1: the corners move by at most that part of half the width and half the height.
    p : float
    interpolation, fill
        As for :class:`RandomAffine`.

    Examples
    --------
    >>> import numpy as np
    >>> RandomPerspective(p=1)(np.zeros((8, 9, 3), np.uint8)).shape
    (8, 9, 3)
    """

    keeps_arrays = True

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: InterpolationMode | int | str = InterpolationMode.BILINEAR,
        fill: Fill = 0,
    ) -> None:
        (self.distortion_scale,) = to_numbers(distortion_scale, (1,), "RandomPerspective", "distortion_scale")
        if not 0 <= distortion_scale <= 1:
            raise OptionError(
                expected="distortion_scale from 0 to 1", got=repr(distortion_scale), op="RandomPerspective"
            )
        self.p = to_chance(p, "RandomPerspective")
        self.interpolation = to_interpolation(interpolation, "RandomPerspective")
        self.fill = to_fill(fill, "RandomPerspective")

    @staticmethod
    def get_params(
        width: int, height: int, distortion_scale: float
    ) -> tuple[list[list[int]], list[list[int]]]:
        """The corners (x, y), from the top left one clockwise, and where they go to."""
        rng = generator()
        reach_x, reach_y = (int(distortion_scale * (length // 2)) for length in (width, height))
        right, bottom = width - 1, height - 1
        start = [[0, 0], [right, 0], [right, bottom], [0, bottom]]
        end = []
        for x, y in start:
            inwards = int(rng.integers(reach_x + 1)), int(rng.integers(reach_y + 1))
            end.append([x - inwards[0] if x else inwards[0], y - inwards[1] if y else inwards[1]])
        return start, end

    def forward(self, image: Any) -> Any:
        if generator().random() >= self.p:
            return image
        height, width = size_of(image)
        start, end = self.get_params(width, height, self.distortion_scale)
        return F.perspective(image, start, end, self.interpolation, self.fill)
