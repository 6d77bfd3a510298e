"""Random changes of colour and sharpness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.core.random import generator
from minicnn.errors import OptionError
from minicnn.transforms import functional as F
from minicnn.transforms._arguments import to_chance, to_factor, to_numbers, to_range, to_span
from minicnn.transforms.base import Transform
from minicnn.transforms.functional.colour import to_kernel_size
from minicnn.transforms.functional.kinds import channels_of, through_pillow

__all__ = [
    "ColorJitter",
    "GaussianBlur",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPosterize",
    "RandomSolarize",
]

Span = tuple[float, float] | None


class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue by random amounts, in a random order.

    Parameters
    ----------
    brightness, contrast, saturation : float or (float, float)
        The factor is drawn evenly from max(0, 1 - value) to 1 + value, or from - to.
    hue : float or (float, float)
        The part of the colour circle is drawn evenly from -hue to hue, or from - to, within -0.5 to 0.5.

    Raises
    ------
    OptionError
        If a number is out of its range.
    DTypeError
        If a tensor or array is not uint8.

    Examples
    --------
    >>> import numpy as np
    >>> ColorJitter(brightness=(2, 2))(np.array([[10, 20]], np.uint8)).tolist()
    [[20, 40]]
    """

    keeps_arrays = True

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        self.brightness = _around_one(brightness, "brightness")
        self.contrast = _around_one(contrast, "contrast")
        self.saturation = _around_one(saturation, "saturation")
        span = to_range(to_span(hue, "ColorJitter", "hue"), "ColorJitter", "hue", -0.5, 0.5)
        self.hue = None if span == (0, 0) else span

    @staticmethod
    def get_params(
        brightness: Span, contrast: Span, saturation: Span, hue: Span
    ) -> tuple[list[int], float | None, float | None, float | None, float | None]:
        """Draw the order, 0 to 3, and the four amounts; None where there is nothing to draw from."""
        rng = generator()
        order = rng.permutation(4).tolist()
        drawn = [
            None if span is None else float(rng.uniform(*span))
            for span in (brightness, contrast, saturation, hue)
        ]
        return order, drawn[0], drawn[1], drawn[2], drawn[3]

    def forward(self, image: Any) -> Any:
        order, *amounts = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        adjust = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)

        def run(pil: Any) -> Any:
            for which in order:
                if (amount := amounts[which]) is not None:
                    pil = adjust[which](pil, amount)
            return pil

        return through_pillow(image, run, "ColorJitter")


def _around_one(value: float | Sequence[float], name: str) -> Span:
    """From - to, or None where nothing changes."""
    size, *other = to_numbers(value, (1, 2), "ColorJitter", name)
    if not other:
        to_factor(size, "ColorJitter", name)
    span = (size, *other) if other else (max(0.0, 1 - size), 1 + size)
    low, high = to_range(span, "ColorJitter", name, 0)
    return None if low == high == 1 else (low, high)


class _Sometimes(Transform):
    """Base of those that change an image with probability ``p`` and know how without drawing more."""

    keeps_arrays = True

    def __init__(self, p: float) -> None:
        self.p = to_chance(p, type(self).__name__)

    def forward(self, image: Any) -> Any:
        return self._changed(image) if generator().random() < self.p else image

    def _changed(self, image: Any) -> Any:
        raise NotImplementedError


class RandomGrayscale(_Sometimes):
    """Turn to grey, in as many channels, with probability ``p``.

    Examples
    --------
    >>> import numpy as np
    >>> RandomGrayscale(p=1)(np.array([[[255, 0, 0]]], np.uint8)).tolist()
    [[[76, 76, 76]]]
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def _changed(self, image: Any) -> Any:
        if channels_of(image) == 1:
            return image
        return F.to_grayscale(image, channels_of(image))


class RandomInvert(_Sometimes):
    """Make a negative with probability ``p``: y = 255 - x.

    Examples
    --------
    >>> import numpy as np
    >>> RandomInvert(p=1)(np.array([[0, 200]], np.uint8)).tolist()
    [[255, 55]]
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def _changed(self, image: Any) -> Any:
        return F.invert(image)


class RandomPosterize(_Sometimes):
    """Keep the highest ``bits`` bits of each number with probability ``p``.

    Examples
    --------
    >>> import numpy as np
    >>> RandomPosterize(2, p=1)(np.array([[63, 64, 255]], np.uint8)).tolist()
    [[0, 64, 192]]
    """

    def __init__(self, bits: int, p: float = 0.5) -> None:
        if bits not in range(1, 9):
            raise OptionError(expected="bits from 1 to 8", got=repr(bits), op="RandomPosterize")
        self.bits = bits
        super().__init__(p)

    def _changed(self, image: Any) -> Any:
        return F.posterize(image, self.bits)


class RandomSolarize(_Sometimes):
    """Make a negative of what is at least the threshold, with probability ``p``.

    Examples
    --------
    >>> import numpy as np
    >>> RandomSolarize(128, p=1)(np.array([[127, 128]], np.uint8)).tolist()
    [[127, 127]]
    """

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        (self.threshold,) = to_numbers(threshold, (1,), "RandomSolarize", "a threshold")
        super().__init__(p)

    def _changed(self, image: Any) -> Any:
        return F.solarize(image, self.threshold)


class RandomAdjustSharpness(_Sometimes):
    """Sharpen or smooth with probability ``p``: 0 is smooth, 1 the image, 2 sharper.

    Examples
    --------
    >>> import numpy as np
    >>> RandomAdjustSharpness(2, p=1)(np.zeros((3, 3), np.uint8)).shape
    (3, 3)
    """

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        self.sharpness_factor = to_factor(sharpness_factor, "RandomAdjustSharpness", "sharpness_factor")
        super().__init__(p)

    def _changed(self, image: Any) -> Any:
        return F.adjust_sharpness(image, self.sharpness_factor)


class RandomAutocontrast(_Sometimes):
    """Stretch each channel to 0 to 255 with probability ``p``.

    Examples
    --------
    >>> import numpy as np
    >>> RandomAutocontrast(p=1)(np.array([[10, 20]], np.uint8)).tolist()
    [[0, 255]]
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def _changed(self, image: Any) -> Any:
        return F.autocontrast(image)


class RandomEqualize(_Sometimes):
    """Make all levels of each channel about equally frequent with probability ``p``.

    Examples
    --------
    >>> import numpy as np
    >>> RandomEqualize(p=1)(np.zeros((2, 2), np.uint8)).tolist()
    [[0, 0], [0, 0]]
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def _changed(self, image: Any) -> Any:
        return F.equalize(image)


class GaussianBlur(Transform):
    """Smooth with a Gaussian of random width; see :func:`minicnn.transforms.functional.gaussian_blur`.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Of both sides, or (width, height); odd.
    sigma : float or (float, float)
        Drawn evenly from - to, or always that one; larger than 0.

    Raises
    ------
    OptionError
        If they are not so.

    Examples
    --------
    >>> import numpy as np
    >>> GaussianBlur(3, 1)(np.full((3, 3), 7, np.uint8)).tolist()
    [[7, 7, 7], [7, 7, 7], [7, 7, 7]]
    """

    keeps_arrays = True

    def __init__(self, kernel_size: int | Sequence[int], sigma: float | Sequence[float] = (0.1, 2.0)) -> None:
        self.kernel_size = to_kernel_size(kernel_size, "GaussianBlur")
        given = to_numbers(sigma, (1, 2), "GaussianBlur", "sigma")
        self.sigma = to_range((given[0], given[-1]), "GaussianBlur", "sigma", 0)
        if self.sigma[0] <= 0:
            raise OptionError(expected="sigma > 0", got=repr(sigma), op="GaussianBlur")

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """Draw a width."""
        return float(generator().uniform(sigma_min, sigma_max))

    def forward(self, image: Any) -> Any:
        return F.gaussian_blur(image, self.kernel_size, self.get_params(*self.sigma))
