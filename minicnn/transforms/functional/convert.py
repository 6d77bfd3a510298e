"""From pictures to tensors and back, other types of numbers, normalisation, and rectangles erased."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.ops.images import standardize_bytes
from minicnn.transforms.functional.kinds import channels_of, is_pil, on_pixels, size_of

__all__ = [
    "convert_image_dtype",
    "erase",
    "normalize",
    "normalized",
    "pil_to_tensor",
    "planes_of",
    "statistics_for",
    "to_pil_image",
    "to_statistics",
    "to_tensor",
]


_SMALL = 8192  # bytes


def to_tensor(pic: Any) -> Tensor:
    """A PIL image or an array (H, W) or (H, W, C) as a tensor (C, H, W).

    Bytes from 0 to 255 become float32 from 0 to 1. Other numbers keep their type and value.
    """
    planes = planes_of(_array(pic, "to_tensor")[None])
    if planes.dtype == np.uint8:
        # A small image is less work than a kernel's preparation.
        run = standardize_bytes if planes.size > _SMALL else partial(standardize_bytes.reference, np)
        return Tensor.wrap(run(planes, None, None)[0])
    return Tensor(np.array(planes[0], order="C"))


def pil_to_tensor(pic: Any) -> Tensor:
    """A PIL image or an array as a tensor (C, H, W) of the same numbers.

    Examples
    --------
    >>> pil_to_tensor(np.array([[0, 255]], np.uint8)).tolist()
    [[[0, 255]]]
    """
    return Tensor(np.array(planes_of(_array(pic, "pil_to_tensor")[None])[0], order="C"))


def _array(pic: Any, op: str) -> np.ndarray:
    """The pixels of a PIL image or an array, (H, W) or (H, W, C)."""
    if is_pil(pic):
        array = np.asarray(pic)
        return array.astype(np.uint8) * 255 if array.dtype == np.bool_ else array  # mode "1"
    if not isinstance(pic, np.ndarray):
        raise DTypeError(expected="a PIL image or an array", got=type(pic).__name__, op=op)
    size_of(pic)
    return pic


def planes_of(images: np.ndarray) -> np.ndarray:
    """Arrays (N, H, W) or (N, H, W, C) seen as (N, C, H, W)."""
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """A tensor (C, H, W) or an array (H, W) or (H, W, C) as a PIL image.

    Floating point numbers are taken as 0 to 1 and times 255, rounded down; bytes stay as they are.

    Parameters
    ----------
    mode : str, optional
        What the channels are, in Pillow's words: L of one, LA of two, RGB, YCbCr or HSV of three, RGBA, CMYK
        or RGBX of four; by default the first of these.

    Raises
    ------
    DTypeError
        If it gets something else, or numbers that are neither floating point nor uint8.
    ShapeError
        If there are not 1 to 4 channels.
    OptionError
        If the mode is not one of so many channels.
    """
    if is_pil(pic) or not isinstance(pic, (np.ndarray, Tensor)):
        raise DTypeError(expected="a tensor or an array", got=type(pic).__name__, op="to_pil_image")
    size_of(pic)
    if not 1 <= channels_of(pic) <= 4 or pic.ndim > 3:
        raise ShapeError(expected="1 to 4 channels", got=str(pic.shape), op="to_pil_image")
    array = pic.cpu_array() if isinstance(pic, Tensor) else pic
    if isinstance(pic, Tensor) and pic.ndim == 3:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype.kind == "f":
        array = (array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise DTypeError(expected="floating point or uint8 pixels", got=str(array.dtype), op="to_pil_image")
    from PIL import Image

    height, width, *channels = array.shape
    modes = _PIL_MODES[channels[0] if channels else 1]
    if mode not in (None, *modes):
        raise OptionError(expected=f"a mode out of {', '.join(modes)}", got=repr(mode), op="to_pil_image")
    return Image.frombytes(mode or modes[0], (width, height), array.tobytes())


_PIL_MODES = {1: ("L",), 2: ("LA",), 3: ("RGB", "YCbCr", "HSV"), 4: ("RGBA", "CMYK", "RGBX")}


def convert_image_dtype(image: Tensor, dtype: Any = np.float32) -> Tensor:
    """Other numbers for the same picture: floating point goes from 0 to 1, integers from 0 to their largest.

    Floating point to integers: ⌊x·(max + 0.999)⌋. Integers to integers of another width: shifted.

    Raises
    ------
    DTypeError
        If it is no tensor, a type is neither floating point nor integer, or the integers are too wide for the
        floating point numbers to fill.

    Examples
    --------
    >>> convert_image_dtype(Tensor(np.array([0, 51, 255], np.uint8))).tolist()[::2]
    [0.0, 1.0]
    >>> convert_image_dtype(Tensor([0.0, 0.5, 1.0]), np.uint8).tolist()
    [0, 127, 255]
    """
    if not isinstance(image, Tensor):
        raise DTypeError(expected="a tensor", got=type(image).__name__, op="convert_image_dtype")
    x, new = image.array, np.dtype(dtype)
    if not {x.dtype.kind, new.kind} <= set("fiu"):
        raise DTypeError(
            expected="floating point or integers", got=f"{x.dtype} to {new}", op="convert_image_dtype"
        )
    if x.dtype == new or (x.dtype.kind == new.kind == "f"):
        return Tensor.wrap(x.astype(new))
    if new.kind == "f":
        return Tensor.wrap(x.astype(new) / new.type(np.iinfo(x.dtype).max))
    highest = int(np.iinfo(new).max)
    if x.dtype.kind == "f":
        if new.itemsize >= x.dtype.itemsize:
            raise DTypeError(f"{x.dtype} cannot fill {new} without errors", op="convert_image_dtype")
        return Tensor.wrap((x * x.dtype.type(highest + 1 - 1e-3)).astype(new))
    old_levels, new_levels = int(np.iinfo(x.dtype).max) + 1, highest + 1
    if old_levels > new_levels:
        return Tensor.wrap((x // (old_levels // new_levels)).astype(new))
    return Tensor.wrap(x.astype(new) * new.type(new_levels // old_levels))


def normalize(tensor: Any, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Any:
    """Subtract each channel's mean and divide by its standard deviation; see ``transforms.Normalize``."""
    return normalized(tensor, *to_statistics(mean, std), inplace)


def to_statistics(mean: Sequence[float], std: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation as float32 (C, 1, 1), checked."""
    means, deviations = (np.asarray(values, np.float32).reshape(-1, 1, 1) for values in (mean, std))
    if len(means) != len(deviations) or not len(means):
        raise OptionError(
            expected="as many means as standard deviations", got=f"{mean} and {std}", op="Normalize"
        )
    if not (np.isfinite(means).all() and np.isfinite(deviations).all() and (deviations > 0).all()):
        raise OptionError(
            expected="finite means and positive standard deviations", got=f"{mean} and {std}", op="Normalize"
        )
    return means, deviations


def statistics_for(
    mean: np.ndarray, std: np.ndarray, channels: int, shape: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The same, if an image of so many channels can have them."""
    if len(mean) not in (1, channels):
        raise ShapeError(
            expected=f"an image of {len(mean)} channels, one for each mean",
            got=f"{channels} channels, shape {tuple(shape)}",
            op="Normalize",
        )
    return mean, std


def normalized(image: Any, mean: np.ndarray, std: np.ndarray, inplace: bool) -> Any:
    """(x - mean) / std, with what :func:`to_statistics` made of them."""
    if is_pil(image) or not hasattr(image, "dtype") or image.dtype.kind != "f":
        got = str(image.dtype) if hasattr(image, "dtype") else type(image).__name__
        raise DTypeError(
            expected="a floating point tensor",
            got=got,
            hint="put ToTensor() before Normalize",
            op="Normalize",
        )
    statistics_for(mean, std, channels_of(image), image.shape)
    if image.dtype != mean.dtype:
        mean, std = mean.astype(image.dtype), std.astype(image.dtype)
    if isinstance(image, np.ndarray):  # the channels come last
        mean, std = mean[:, 0, 0], std[:, 0, 0]
    x = image.array if isinstance(image, Tensor) else image
    y = np.subtract(x, mean, out=x if inplace else None)
    y /= std
    return Tensor.wrap(y) if isinstance(image, Tensor) else y


def erase(img: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Any:
    """Write over a rectangle.

    Parameters
    ----------
    img : tensor (..., C, H, W), array (H, W[, C]) or PIL image
    i, j, h, w : int
        Its first row and column, height and width.
    v : float, or array or tensor of shape (C, 1, 1) or (C, h, w)
        The new numbers.
    inplace : bool
        Change the tensor or array itself, if it may be written to; the images of a data set may not.

    Examples
    --------
    >>> erase(np.ones((2, 3)), 0, 1, 2, 2, 0).tolist()
    [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """
    new = v.cpu_array() if isinstance(v, Tensor) else np.asarray(v)
    if isinstance(img, Tensor):
        inplace = inplace and _writeable(img.array)
        x = img.array if inplace else img.array.copy()
        x[..., i : i + h, j : j + w] = new if img.ndim > 2 or new.ndim < 3 else new[0]
        return img if inplace else Tensor.wrap(x)

    def write(a: np.ndarray) -> np.ndarray:
        a = a if inplace and _writeable(a) else a.copy()
        last = np.moveaxis(new, 0, -1) if new.ndim == 3 else new
        a[i : i + h, j : j + w] = last if a.ndim > 2 or last.ndim < 3 else last[..., 0]
        return a

    return on_pixels(img, write)


def _writeable(array: Any) -> bool:
    return getattr(array.flags, "writeable", True)  # CuPy's arrays always are
