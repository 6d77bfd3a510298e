"""From pictures to tensors and back, normalisation, grey."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.ops.images import standardize_bytes
from minicnn.transforms._functional import channels_of, is_pil, size_of
from minicnn.transforms.base import Transform

__all__ = ["Grayscale", "Normalize", "ToPILImage", "ToTensor"]


class ToTensor(Transform):
    """A PIL image or an array (H, W) or (H, W, C) as a tensor (C, H, W).

    Bytes from 0 to 255 become float32 from 0 to 1. Other numbers keep their type and value.

    Raises
    ------
    DTypeError
        If it gets neither.
    ShapeError
        If the array has neither two nor three dimensions.

    Examples
    --------
    >>> tensor = ToTensor()(np.array([[[255, 0, 51]]], np.uint8))
    >>> tensor.shape, [round(v, 6) for v in tensor.array.ravel().tolist()]
    ((3, 1, 1), [1.0, 0.0, 0.2])
    """

    takes_arrays = True

    def __call__(self, image: Any) -> Tensor:
        if is_pil(image):
            array = np.asarray(image)
            if array.dtype == np.bool_:  # mode "1"
                array = array.astype(np.uint8) * 255
        elif isinstance(image, np.ndarray):
            array = image
        else:
            raise DTypeError(expected="a PIL image or an array", got=type(image).__name__, op="ToTensor")
        size_of(array)
        planes = _planes(array[None])
        if array.dtype == np.uint8:  # one image is little work, less than a kernel's preparation
            return Tensor.wrap(standardize_bytes.reference(np, planes, None, None)[0])
        return Tensor(np.array(planes[0], order="C"))

    def on_batch(self, images: np.ndarray) -> Tensor:
        """Arrays (N, H, W) or (N, H, W, C) of bytes as a tensor (N, C, H, W)."""
        return Tensor.wrap(standardize_bytes(_planes(images), None, None))

    def on_batch_with(self, following: Any) -> Callable[[np.ndarray], Tensor] | None:
        """The same and the transform behind it in one pass, if there is a kernel for both."""
        if type(following) is not Normalize:
            return None

        def run(images: np.ndarray) -> Tensor:
            planes = _planes(images)
            return Tensor.wrap(
                standardize_bytes(planes, *following.parameters_for(planes.shape[1], planes.shape))
            )

        return run


def _planes(images: np.ndarray) -> np.ndarray:
    """Arrays (N, H, W) or (N, H, W, C) seen as (N, C, H, W)."""
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


class Normalize(Transform):
    """Subtract each channel's mean and divide by its standard deviation: y = (x - mean) / std.

    Parameters
    ----------
    mean, std : sequence of float
        One number per channel, or one for all channels.
    inplace : bool
        Change the tensor itself.

    Raises
    ------
    OptionError
        If a number is not finite, a standard deviation is not positive, or their numbers differ.
    DTypeError
        If what it gets is not a floating point tensor (..., C, H, W) or array (H, W[, C]).
    ShapeError
        If it has another number of channels.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> Normalize([0.5], [0.25])(Tensor([[[0.0, 1.0]]])).tolist()
    [[[-2.0, 2.0]]]
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        self.mean = mean
        self.std = std
        self._inplace = inplace
        self._mean, self._std = (np.asarray(values, np.float32).reshape(-1, 1, 1) for values in (mean, std))
        if len(self._mean) != len(self._std) or not len(self._mean):
            raise OptionError(
                expected="as many means as standard deviations", got=f"{mean} and {std}", op="Normalize"
            )
        if not (np.isfinite(self._mean).all() and np.isfinite(self._std).all() and (self._std > 0).all()):
            raise OptionError(
                expected="finite means and positive standard deviations",
                got=f"{mean} and {std}",
                op="Normalize",
            )

    def __call__(self, image: Any) -> Any:
        if is_pil(image) or not hasattr(image, "dtype") or image.dtype.kind != "f":
            got = str(image.dtype) if hasattr(image, "dtype") else type(image).__name__
            raise DTypeError(
                expected="a floating point tensor",
                got=got,
                hint="put ToTensor() before Normalize",
                op="Normalize",
            )
        parameters = self.parameters_for(channels_of(image), image.shape)
        mean, std = (values.astype(image.dtype, copy=False) for values in parameters)
        if isinstance(image, np.ndarray):  # the channels come last
            mean, std = mean[:, 0, 0], std[:, 0, 0]
        x = image.array if isinstance(image, Tensor) else image
        y = np.subtract(x, mean, out=x if self._inplace else None)
        y /= std
        return Tensor.wrap(y) if isinstance(image, Tensor) else y

    def on_batch(self, images: Tensor) -> Tensor:
        """The same on a tensor (N, C, H, W)."""
        return self(images)

    def parameters_for(self, channels: int, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, (C, 1, 1) or (1, 1, 1), for images of so many channels."""
        if len(self._mean) not in (1, channels):
            raise ShapeError(
                expected=f"an image of {len(self._mean)} channels, one for each mean",
                got=f"{channels} channels, shape {tuple(shape)}",
                op="Normalize",
            )
        return self._mean, self._std


class Grayscale(Transform):
    """Grey from colour: 0.299 R + 0.587 G + 0.114 B (ITU-R 601-2 luma).

    Parameters
    ----------
    num_output_channels : {1, 3}
        Three give equal channels.

    Raises
    ------
    OptionError
        If it is neither.
    ShapeError
        If the image has neither one channel nor three.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> Grayscale()(Tensor([[[1.0]], [[0.0]], [[0.0]]])).shape
    (1, 1, 1)
    """

    keeps_arrays = True

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise OptionError(expected="1 or 3 output channels", got=str(num_output_channels), op="Grayscale")
        self.num_output_channels = num_output_channels

    def __call__(self, image: Any) -> Any:
        if is_pil(image):
            grey = image.convert("L")
            return grey.convert("RGB") if self.num_output_channels == 3 else grey
        if channels_of(image) not in (1, 3):
            raise ShapeError(expected="an image of 1 or 3 channels", got=str(image.shape), op="Grayscale")
        if isinstance(image, Tensor) and image.ndim > 2 and image.dtype.kind == "f":
            return Tensor.wrap(self._luma(image.cpu_array()))
        if isinstance(image, np.ndarray) and image.dtype == np.uint8:
            from PIL import Image

            flat = image.reshape(image.shape[:2]) if channels_of(image) == 1 else np.ascontiguousarray(image)
            return np.asarray(self(Image.fromarray(flat)))
        raise DTypeError(
            expected="a PIL image, a uint8 array or a floating point tensor (C, H, W)",
            got=f"{type(image).__name__} of {image.dtype} {image.shape}",
            op="Grayscale",
        )

    def _luma(self, x: np.ndarray) -> np.ndarray:
        if x.shape[-3] == 3:
            x = (0.299 * x[..., 0, :, :] + 0.587 * x[..., 1, :, :] + 0.114 * x[..., 2, :, :])[..., None, :, :]
        return np.repeat(x, self.num_output_channels, axis=-3)


class ToPILImage(Transform):
    """A tensor (C, H, W) or an array (H, W) or (H, W, C) as a PIL image.

    Floating point numbers are taken as 0 to 1 and times 255, rounded down; bytes stay as they are.

    Parameters
    ----------
    mode : str, optional
        Pillow's mode; by default the one that fits the channels: L, LA, RGB, RGBA.

    Raises
    ------
    DTypeError
        If it gets something else, or numbers that are neither floating point nor uint8.
    ShapeError
        If there are not 1 to 4 channels.

    Examples
    --------
    >>> image = ToPILImage()(np.zeros((2, 5, 3), np.uint8))
    >>> image.mode, image.size
    ('RGB', (5, 2))
    """

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, image: Any) -> Any:
        if is_pil(image) or not isinstance(image, (np.ndarray, Tensor)):
            raise DTypeError(expected="a tensor or an array", got=type(image).__name__, op="ToPILImage")
        size_of(image)
        if not 1 <= channels_of(image) <= 4 or image.ndim > 3:
            raise ShapeError(expected="1 to 4 channels", got=str(image.shape), op="ToPILImage")
        array = image.cpu_array() if isinstance(image, Tensor) else image
        if isinstance(image, Tensor) and image.ndim == 3:
            array = array.transpose(1, 2, 0)
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[:, :, 0]
        if array.dtype.kind == "f":
            array = (array * 255).astype(np.uint8)
        if array.dtype != np.uint8:
            raise DTypeError(expected="floating point or uint8 pixels", got=str(array.dtype), op="ToPILImage")
        from PIL import Image

        made = Image.fromarray(np.ascontiguousarray(array))
        return made if self.mode in (None, made.mode) else made.convert(self.mode)
