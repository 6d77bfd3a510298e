"""Colours, by Pillow, and blur."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.transforms._arguments import to_factor, to_numbers, to_tuple
from minicnn.transforms.functional.convert import pil_to_tensor, to_pil_image
from minicnn.transforms.functional.kinds import channels_of, is_pil, on_pixels, through_pillow

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "autocontrast",
    "equalize",
    "gaussian_blur",
    "invert",
    "posterize",
    "rgb_to_grayscale",
    "solarize",
    "to_grayscale",
]


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """Between black (0) and the image (1), or beyond it: y = f·x.

    Examples
    --------
    >>> adjust_brightness(np.array([[100, 200]], np.uint8), 0.5).tolist()
    [[50, 100]]
    """
    return _enhanced(img, "Brightness", brightness_factor, "adjust_brightness")


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """Between the mean grey (0) and the image (1), or beyond it: y = f·x + (1 - f)·mean grey."""
    return _enhanced(img, "Contrast", contrast_factor, "adjust_contrast")


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """Between grey (0) and the image (1), or beyond it: y = f·x + (1 - f)·grey of x."""
    return _enhanced(img, "Color", saturation_factor, "adjust_saturation")


def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """Between a smoothed image (0) and the image (1), or beyond it."""
    return _enhanced(img, "Sharpness", sharpness_factor, "adjust_sharpness")


def _enhanced(img: Any, kind: str, factor: float, op: str) -> Any:
    to_factor(factor, op, "a factor")

    def run(pil: Any) -> Any:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, kind)(pil).enhance(factor)

    return through_pillow(img, run, op)


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Turn the colour circle: hue, a byte in HSV, plus the whole part of 255·hue_factor.

    Grey images have no hue and stay as they are. So does an image that is turned by less than one step of
    255, where torchvision goes through HSV and back.

    Parameters
    ----------
    hue_factor : float
        From -0.5 to 0.5.

    Raises
    ------
    OptionError
        If it lies outside.

    Examples
    --------
    >>> adjust_hue(np.array([[[255, 0, 0]]], np.uint8), 0.5).tolist()
    [[[0, 255, 252]]]
    """
    (hue_factor,) = to_numbers(hue_factor, (1,), "adjust_hue", "hue_factor")
    if not -0.5 <= hue_factor <= 0.5:
        raise OptionError(expected="hue_factor from -0.5 to 0.5", got=repr(hue_factor), op="adjust_hue")
    steps = int(hue_factor * 255)

    def turn(pil: Any) -> Any:
        if not steps or pil.mode in ("L", "1", "I", "F"):
            return pil
        from PIL import Image

        hue, saturation, value = pil.convert("HSV").split()
        turned = hue.point([(h + steps) % 256 for h in range(256)])
        return Image.merge("HSV", (turned, saturation, value)).convert(pil.mode)

    return through_pillow(img, turn, "adjust_hue")


def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """Power law: y = ⌊255.999·gain·(x / 255)^gamma⌋, at most 255."""
    to_factor(gamma, "adjust_gamma", "gamma")
    to_factor(gain, "adjust_gamma", "gain")
    table = [min(255, int(255.999 * gain * (level / 255) ** gamma)) for level in range(256)]

    def run(pil: Any) -> Any:
        return pil.convert("RGB").point(table * 3).convert(pil.mode)

    return through_pillow(img, run, "adjust_gamma")


def invert(img: Any) -> Any:
    """The negative: y = 255 - x.

    Examples
    --------
    >>> invert(np.array([[0, 200]], np.uint8)).tolist()
    [[255, 55]]
    """
    return _operated(img, "invert")


def posterize(img: Any, bits: int) -> Any:
    """Keep so many of the highest bits of each number, 1 to 8."""
    if bits not in range(1, 9):
        raise OptionError(expected="bits from 1 to 8", got=repr(bits), op="posterize")
    return _operated(img, "posterize", int(bits))


def solarize(img: Any, threshold: float) -> Any:
    """The negative of what is at least the threshold: y = x if x < threshold, else 255 - x."""
    (threshold,) = to_numbers(threshold, (1,), "solarize", "a threshold")
    return _operated(img, "solarize", threshold)


def autocontrast(img: Any) -> Any:
    """Stretch each channel from its darkest to its lightest number to 0 to 255."""
    return _operated(img, "autocontrast")


def equalize(img: Any) -> Any:
    """Spread each channel so that all levels are about equally frequent."""
    return _operated(img, "equalize")


def _operated(img: Any, name: str, *options: float) -> Any:
    def run(pil: Any) -> Any:
        from PIL import ImageOps

        return getattr(ImageOps, name)(pil, *options)

    return through_pillow(img, run, name)


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """Grey from colour: 0.299 R + 0.587 G + 0.114 B (ITU-R 601-2 luma), in 1 or 3 equal channels.

    Raises
    ------
    OptionError
        If it is another number of channels.
    ShapeError
        If an array or tensor has neither one channel nor three.
    DTypeError
        If it is neither a PIL image, nor bytes, nor a floating point tensor (..., C, H, W).
    """
    if num_output_channels not in (1, 3):
        raise OptionError(expected="1 or 3 output channels", got=str(num_output_channels), op="to_grayscale")
    if is_pil(img):
        grey = img.convert("L")
        return grey.convert("RGB") if num_output_channels == 3 else grey
    if channels_of(img) not in (1, 3):
        raise ShapeError(expected="an image of 1 or 3 channels", got=str(img.shape), op="to_grayscale")
    if isinstance(img, Tensor) and img.ndim > 2 and img.dtype.kind == "f":
        return Tensor.wrap(_luma(img.cpu_array(), num_output_channels))
    if img.dtype != np.uint8 or img.ndim > 3:
        raise DTypeError(
            expected="a PIL image, uint8 pixels or a floating point tensor (C, H, W)",
            got=f"{type(img).__name__} of {img.dtype} {img.shape}",
            op="to_grayscale",
        )
    made = to_grayscale(to_pil_image(img), num_output_channels)
    return pil_to_tensor(made) if isinstance(img, Tensor) else np.asarray(made)


rgb_to_grayscale = to_grayscale


def _luma(x: np.ndarray, channels: int) -> np.ndarray:
    if x.shape[-3] == 3:
        x = (0.299 * x[..., 0, :, :] + 0.587 * x[..., 1, :, :] + 0.114 * x[..., 2, :, :])[..., None, :, :]
    return np.repeat(x, channels, axis=-3)


def gaussian_blur(
    img: Any, kernel_size: int | Sequence[int], sigma: float | Sequence[float] | None = None
) -> Any:
    """Smooth with a Gaussian, the image mirrored at its border: k[i] ∝ exp(-(i / sigma)² / 2), of sum 1.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Of both sides, or (width, height); odd.
    sigma : float or (float, float), optional
        Of both sides, or (x, y); larger than 0. By default 0.15·kernel_size + 0.35.

    Raises
    ------
    OptionError
        If they are not so.

    Examples
    --------
    >>> gaussian_blur(np.array([[0, 0, 255, 0, 0]], np.uint8), (3, 1), 1).tolist()
    [[0, 70, 115, 70, 0]]
    """
    sizes = to_kernel_size(kernel_size, "gaussian_blur")
    if sigma is None:
        sigma = [0.15 * size + 0.35 for size in sizes]
    given = to_numbers(sigma, (1, 2), "gaussian_blur", "sigma")
    if min(given) <= 0:
        raise OptionError(expected="sigma > 0", got=repr(sigma), op="gaussian_blur")
    kernels = [_gaussian(size, deviation) for size, deviation in zip(sizes, (given * 2)[:2], strict=True)]

    def blur(a: np.ndarray) -> np.ndarray:
        smooth = a.astype(np.float32) if a.dtype.kind != "f" else a
        for axis, kernel in zip((1, 0), kernels, strict=True):
            smooth = _convolved(smooth, kernel.astype(smooth.dtype), axis)
        return smooth if a.dtype.kind == "f" else np.rint(smooth).astype(a.dtype)

    return on_pixels(img, blur)


def to_kernel_size(kernel_size: int | Sequence[int], op: str) -> tuple[int, int]:
    """(width, height) of a kernel, odd, checked."""
    given = to_tuple(kernel_size)
    whole = all(isinstance(n, (int, np.integer)) and n > 0 and n % 2 for n in given)
    if len(given) not in (1, 2) or not whole:
        raise OptionError(expected="an odd kernel_size or (width, height)", got=repr(kernel_size), op=op)
    return int(given[0]), int(given[-1])


def _gaussian(size: int, sigma: float) -> np.ndarray:
    weights = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    return weights / weights.sum()


def _convolved(a: np.ndarray, kernel: np.ndarray, axis: int) -> np.ndarray:
    """Sum of shifted copies along an axis."""
    half, length = len(kernel) // 2, a.shape[axis]
    margins = [(half, half) if i == axis else (0, 0) for i in range(a.ndim)]
    padded = np.moveaxis(np.pad(a, margins, "reflect"), axis, 0)
    total = sum(weight * padded[i : i + length] for i, weight in enumerate(kernel))
    return np.moveaxis(np.asarray(total), 0, axis)
