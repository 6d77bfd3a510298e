"""What the transforms do to one image of any kind, with every choice already made.

Kinds: a PIL image, an array (H, W) or (H, W, C), a tensor (..., H, W). Arrays and tensors share their code:
a tensor is looked at with its height and width in front.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.transforms._arguments import InterpolationMode

__all__ = ["channels_of", "crop", "flip", "is_pil", "pad", "resized", "size_of", "through_pillow"]

Fill = float | Sequence[float]


def is_pil(image: Any) -> bool:
    """Whether it is a PIL image; without importing Pillow, for where it is not loaded there are none."""
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


def _on_array(image: Any, function: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Apply a function of (H, W, ...) arrays to an array or a tensor."""
    size_of(image)
    if not isinstance(image, Tensor):
        return function(image)
    moved = function(np.moveaxis(image.cpu_array(), (-2, -1), (0, 1)))
    return Tensor.wrap(np.ascontiguousarray(np.moveaxis(moved, (0, 1), (-2, -1))))


def flip(image: Any, *, horizontal: bool) -> Any:
    """Mirror left and right, or top and bottom."""
    if is_pil(image):
        return image.transpose(0 if horizontal else 1)  # FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM
    return _on_array(image, lambda a: a[:, ::-1] if horizontal else a[::-1])


def crop(image: Any, top: int, left: int, height: int, width: int) -> Any:
    """Cut out a rectangle; what lies beyond the image is 0."""
    if is_pil(image):
        return image.crop((left, top, left + width, top + height))

    def cut(a: np.ndarray) -> np.ndarray:
        below, beyond = top + height - a.shape[0], left + width - a.shape[1]
        margins = [max(0, n) for n in (-left, -top, beyond, below)]
        if any(margins):
            a = _padded(a, margins, 0, "constant")
        y, x = max(0, top), max(0, left)
        return a[y : y + height, x : x + width]

    return _on_array(image, cut)


def pad(image: Any, margins: Sequence[int], fill: Fill, mode: str) -> Any:
    """Add margins (left, top, right, bottom) filled with a colour or from the image."""
    if not is_pil(image):
        return _on_array(image, lambda a: _padded(a, margins, fill, mode))
    from PIL import Image

    padded = Image.fromarray(_padded(np.asarray(image), margins, fill, mode))
    if image.mode == "P":
        padded.putpalette(image.getpalette())
    return padded


def _padded(a: np.ndarray, margins: Sequence[int], fill: Fill, mode: str) -> np.ndarray:
    left, top, right, bottom = margins
    height, width = a.shape[:2]
    if mode != "constant":
        axes = ((top, bottom), (left, right)) + ((0, 0),) * (a.ndim - 2)
        return np.pad(a, axes, mode=mode)  # type: ignore[call-overload]
    out = np.empty((top + height + bottom, left + width + right, *a.shape[2:]), a.dtype)
    try:
        out[...] = fill  # a colour lies along the last axis, that of the channels
    except (OverflowError, ValueError) as error:
        raise OptionError(
            expected=f"a fill that fits {a.dtype} pixels of shape {a.shape[2:]}", got=repr(fill)
        ) from error
    out[top : top + height, left : left + width] = a
    return out


def through_pillow(image: Any, function: Callable[[Any], Any], what: str) -> Any:
    """Apply a function of PIL images to an image of any kind.

    Raises
    ------
    DTypeError
        If an array or tensor is not uint8.
    ShapeError
        If it has neither one channel nor three.
    """
    if is_pil(image):
        return function(image)
    height, width = size_of(image)
    if image.dtype != np.uint8:
        raise DTypeError(
            expected="a PIL image or uint8 pixels",
            got=str(image.dtype),
            hint=f"{what} before ToTensor()",
            op=what,
        )
    if channels_of(image) not in (1, 3) or image.ndim > 3:
        raise ShapeError(expected="an image of 1 or 3 channels", got=str(image.shape), op=what)
    from PIL import Image

    def by_pillow(a: np.ndarray) -> np.ndarray:
        flat = a.reshape(height, width) if channels_of(a) == 1 else np.ascontiguousarray(a)
        done = np.asarray(function(Image.fromarray(flat)))
        return done.reshape(*done.shape[:2], *a.shape[2:])

    return _on_array(image, by_pillow)


def resized(image: Any, height: int, width: int, mode: InterpolationMode) -> Any:
    """Scale by Pillow; an image that has the size already stays itself."""
    if (height, width) == size_of(image):
        return image
    return through_pillow(image, lambda pil: pil.resize((width, height), mode.number), "Resize")
