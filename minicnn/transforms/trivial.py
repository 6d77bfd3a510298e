"""TrivialAugment: one random change of random strength for each image."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.core.random import generator
from minicnn.errors import OptionError
from minicnn.transforms import functional as F
from minicnn.transforms._arguments import Fill, InterpolationMode, to_fill, to_interpolation
from minicnn.transforms.base import Transform

__all__ = ["TrivialAugmentWide"]

Change = Callable[..., Any]


def _warped(
    angle: float = 0, move: tuple[int, int] = (0, 0), shear: tuple[float, float] = (0, 0), **options: Any
) -> Change:
    return lambda image, mode, fill: F.affine(image, angle, move, 1.0, shear, mode, fill, **options)


def _degrees(slope: float) -> float:
    return math.degrees(math.atan(slope))


# By name: the weakest and the strongest amount, whether it has a sign, and the change of so much.
_SPACE: dict[str, tuple[float, float, bool, Callable[[float], Change]]] = {
    "Identity": (0, 0, False, lambda m: lambda image, mode, fill: image),
    "ShearX": (0, 0.99, True, lambda m: _warped(shear=(_degrees(m), 0), center=(0, 0))),
    "ShearY": (0, 0.99, True, lambda m: _warped(shear=(0, _degrees(m)), center=(0, 0))),
    "TranslateX": (0, 32, True, lambda m: _warped(move=(int(m), 0))),
    "TranslateY": (0, 32, True, lambda m: _warped(move=(0, int(m)))),
    "Rotate": (0, 135, True, lambda m: lambda image, mode, fill: F.rotate(image, m, mode, fill=fill)),
    "Brightness": (0, 0.99, True, lambda m: lambda image, *_: F.adjust_brightness(image, 1 + m)),
    "Color": (0, 0.99, True, lambda m: lambda image, *_: F.adjust_saturation(image, 1 + m)),
    "Contrast": (0, 0.99, True, lambda m: lambda image, *_: F.adjust_contrast(image, 1 + m)),
    "Sharpness": (0, 0.99, True, lambda m: lambda image, *_: F.adjust_sharpness(image, 1 + m)),
    "Posterize": (8, 2, False, lambda m: lambda image, *_: F.posterize(image, round(m))),
    "Solarize": (255, 0, False, lambda m: lambda image, *_: F.solarize(image, m)),
    "AutoContrast": (0, 0, False, lambda m: lambda image, *_: F.autocontrast(image)),
    "Equalize": (0, 0, False, lambda m: lambda image, *_: F.equalize(image)),
}


class TrivialAugmentWide(Transform):
    """One of fourteen changes, of one of ``num_magnitude_bins`` strengths, all equally likely.

    Nothing, shears and moves along x and y, a turn, brightness, colour, contrast, sharpness, fewer bits, a
    negative of what is light, the widest contrast, and equal histograms. Shears, moves, turns and the four
    factors go to either side.

    Parameters
    ----------
    num_magnitude_bins : int
        At least 2.
    interpolation : InterpolationMode, str or int
        For shears, moves and turns: ``nearest``, ``bilinear`` or ``bicubic``.
    fill : float or sequence of float, optional
        The colour of what comes in from outside, one number or one per channel; 0 by default.

    Raises
    ------
    OptionError
        If an option is out of its range.
    DTypeError
        If a tensor or array is not uint8.

    References
    ----------
    S. G. Müller and F. Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", 2021,
    the "wide" space.

    Examples
    --------
    >>> TrivialAugmentWide()(np.zeros((8, 9, 3), np.uint8)).shape
    (8, 9, 3)
    """

    keeps_arrays = True

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode | int | str = InterpolationMode.NEAREST,
        fill: Fill | None = None,
    ) -> None:
        if not isinstance(num_magnitude_bins, (int, np.integer)) or num_magnitude_bins < 2:
            raise OptionError(
                expected="num_magnitude_bins >= 2", got=repr(num_magnitude_bins), op="TrivialAugmentWide"
            )
        self.num_magnitude_bins = int(num_magnitude_bins)
        self.interpolation = to_interpolation(interpolation, "TrivialAugmentWide")
        self.fill = to_fill(fill, "TrivialAugmentWide")

    @staticmethod
    def get_params(num_magnitude_bins: int) -> tuple[str, float]:
        """Draw the name of a change and its amount."""
        rng = generator()
        name = list(_SPACE)[rng.integers(len(_SPACE))]
        weakest, strongest, signed, _ = _SPACE[name]
        bins = np.linspace(weakest, strongest, num_magnitude_bins)
        amount = float(bins[rng.integers(num_magnitude_bins)])
        return name, -amount if signed and rng.integers(2) else amount

    def forward(self, image: Any) -> Any:
        name, amount = self.get_params(self.num_magnitude_bins)
        return _SPACE[name][3](amount)(image, self.interpolation, self.fill)
