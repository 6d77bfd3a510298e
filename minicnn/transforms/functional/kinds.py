"""The kinds of image, and how one computation serves them all.

A PIL image, an array (H, W) or (H, W, C), a tensor (..., H, W). Arrays and tensors share their code: a tensor
is looked at with its height and width in front. What Pillow computes gets arrays and tensors of bytes as
PIL images.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, MiniCNNError, OptionError, ShapeError
from minicnn.transforms._arguments import Fill

__all__ = [
    "channels_of",
    "colour_for",
    "colour_of",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "is_pil",
    "on_array",
    "on_pixels",
    "require_bytes",
    "size_of",
    "through_pillow",
]


def is_pil(image: Any) -> bool:
    """Whether it is a PIL image; without importing Pillow, for where it is not loaded there are none."""
    if isinstance(image, (np.ndarray, Tensor)):  # the most frequent, and quickly told
        return False
    # While another thread loads it, the module is there without its class, and there are no images either.
    kind = getattr(sys.modules.get("PIL.Image"), "Image", None)
    return kind is not None and isinstance(image, kind)


def size_of(image: Any) -> tuple[int, int]:
    """(height, width).

    Raises
    ------
    DTypeError
        If it is no image of any kind.
    ShapeError
        If an array or tensor has too few or too many dimensions.
    """
    if is_pil(image):
        return image.size[1], image.size[0]
    if isinstance(image, Tensor):
        if image.ndim < 2:
            raise ShapeError(expected="an image tensor (..., H, W)", got=str(image.shape))
        return image.shape[-2], image.shape[-1]
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3):
            raise ShapeError(expected="an image array (H, W) or (H, W, C)", got=str(image.shape))
        return image.shape[0], image.shape[1]
    raise DTypeError(expected="a PIL image, an array or a tensor", got=type(image).__name__)


def channels_of(image: Any) -> int:
    """The number of channels; 1 where there is no axis for them."""
    size_of(image)
    if is_pil(image):
        return len(image.getbands())
    if isinstance(image, Tensor):
        return image.shape[-3] if image.ndim > 2 else 1
    return image.shape[2] if image.ndim > 2 else 1


def get_dimensions(img: Any) -> list[int]:
    """[channels, height, width].

    Examples
    --------
    >>> get_dimensions(np.zeros((4, 5, 3), np.uint8))
    [3, 4, 5]
    """
    return [channels_of(img), *size_of(img)]


def get_image_size(img: Any) -> list[int]:
    """[width, height]."""
    return list(size_of(img)[::-1])


def get_image_num_channels(img: Any) -> int:
    """The number of channels."""
    return channels_of(img)


def on_array(image: Any, function: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Apply a function of (H, W, ...) arrays to an array or a tensor."""
    size_of(image)
    if not isinstance(image, Tensor):
        return function(image)
    moved = function(np.moveaxis(image.cpu_array(), (-2, -1), (0, 1)))
    return Tensor.wrap(np.ascontiguousarray(np.moveaxis(moved, (0, 1), (-2, -1))))


def on_pixels(image: Any, function: Callable[[np.ndarray], np.ndarray]) -> Any:
    """The same, for a PIL image too."""
    if not is_pil(image):
        return on_array(image, function)
    from PIL import Image

    pixels = np.ascontiguousarray(function(np.asarray(image)))
    made = Image.fromarray(pixels)
    if made.mode != image.mode:  # what the bytes of P, CMYK, YCbCr and the like mean, an array does not say
        made = Image.frombytes(image.mode, made.size, pixels.tobytes())
    if image.mode in ("P", "PA"):
        made.putpalette(image.getpalette())
    return made


def through_pillow(image: Any, function: Callable[[Any], Any], op: str) -> Any:
    """Apply a function of PIL images to an image of any kind.

    Raises
    ------
    DTypeError
        If an array or tensor is not uint8, or Pillow cannot do it to an image of that mode.
    ShapeError
        If it has neither one channel nor three.
    """
    if is_pil(image):
        return _by_pillow(image, function, op)
    require_bytes(image, op)
    channels = channels_of(image)
    from PIL import Image

    def by_pillow(a: np.ndarray) -> np.ndarray:
        flat = a.reshape(a.shape[:2]) if channels == 1 else np.ascontiguousarray(a)
        done = np.asarray(_by_pillow(Image.fromarray(flat), function, op))
        return done if done.ndim == a.ndim else done.reshape(*done.shape[:2], *a.shape[2:])

    return on_array(image, by_pillow)


def require_bytes(image: Any, op: str) -> None:
    """Refuse an array or tensor that is no image as Pillow has them; see :func:`through_pillow`."""
    channels = channels_of(image)
    if image.dtype != np.uint8:
        raise DTypeError(
            expected="a PIL image or uint8 pixels",
            got=str(image.dtype),
            hint="put it before ToTensor()",
            op=op,
        )
    if channels not in (1, 3) or image.ndim > 3:
        raise ShapeError(expected="an image of 1 or 3 channels", got=str(image.shape), op=op)


def _by_pillow(image: Any, function: Callable[[Any], Any], op: str) -> Any:
    try:
        return function(image)
    except MiniCNNError:
        raise
    except (OSError, ValueError, NotImplementedError) as error:
        raise DTypeError(
            f"Pillow cannot do this to an image of mode {image.mode}: {error}",
            hint='image.convert("RGB") makes one that it can',
            op=op,
        ) from error


def colour_for(pil: Any, fill: Fill | None, op: str) -> Any:
    """A colour as Pillow takes it: one number for a single band, or a tuple of one for each."""
    numbers = colour_of(len(pil.getbands()), fill, op)
    if pil.mode in ("F", "I"):
        return numbers[0]
    colour = tuple(int(number) for number in numbers)
    return colour if len(colour) > 1 else colour[0]


def colour_of(channels: int, fill: Fill | None, op: str) -> tuple[float, ...]:
    """The numbers of a colour, one for each channel."""
    given = tuple(fill) if isinstance(fill, Sequence) else (fill or 0,)
    if len(given) not in (1, channels):
        raise OptionError(expected=f"a fill of 1 or {channels} numbers", got=repr(fill), op=op)
    return given * (channels // len(given))
