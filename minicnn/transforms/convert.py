"""From pictures to tensors and back, normalisation, grey."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.ops.images import standardize_bytes
from minicnn.transforms import functional as F
from minicnn.transforms.base import Transform
from minicnn.transforms.functional.convert import normalized, planes_of, statistics_for, to_statistics

__all__ = ["ConvertImageDtype", "Grayscale", "Normalize", "PILToTensor", "ToPILImage", "ToTensor"]


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

    def forward(self, image: Any) -> Tensor:
        return F.to_tensor(image)

    def on_batch(self, images: np.ndarray) -> Tensor:
        """Arrays (N, H, W) or (N, H, W, C) of bytes as a tensor (N, C, H, W)."""
        return Tensor.wrap(standardize_bytes(planes_of(images), None, None))

    def on_batch_with(self, following: Any) -> Callable[[np.ndarray], Tensor] | None:
        """The same and the transform behind it in one pass, if there is a kernel for both."""
        if type(following) is not Normalize:
            return None

        def run(images: np.ndarray) -> Tensor:
            planes = planes_of(images)
            return Tensor.wrap(
                standardize_bytes(planes, *following.parameters_for(planes.shape[1], planes.shape))
            )

        return run


class PILToTensor(Transform):
    """A PIL image or an array (H, W) or (H, W, C) as a tensor (C, H, W) of the same numbers.

    Examples
    --------
    >>> PILToTensor()(np.array([[[255, 0, 51]]], np.uint8)).tolist()
    [[[255]], [[0]], [[51]]]
    """

    takes_arrays = True

    def forward(self, image: Any) -> Tensor:
        return F.pil_to_tensor(image)


class ConvertImageDtype(Transform):
    """Other numbers for the same picture; see :func:`minicnn.transforms.functional.convert_image_dtype`.

    Parameters
    ----------
    dtype : dtype
        Floating point goes from 0 to 1, integers from 0 to their largest.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> ConvertImageDtype(np.float32)(Tensor(np.array([0, 255], np.uint8))).tolist()
    [0.0, 1.0]
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)

    def forward(self, image: Any) -> Tensor:
        return F.convert_image_dtype(image, self.dtype)


class Normalize(Transform):
    """Subtract each channel's mean and divide by its standard deviation: y = (x - mean) / std.

    Parameters
    ----------
    mean, std : sequence of float
        One number per channel, or one for all channels. Those of :func:`minicnn.data.statistics` remember
        their samples.
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
        self._mean, self._std = to_statistics(mean, std)

    @property
    def fitted_on(self) -> Any:
        """The samples that the numbers were taken from, where they remember it."""
        return getattr(self.mean, "fitted_on", None)

    def forward(self, image: Any) -> Any:
        return normalized(image, self._mean, self._std, self._inplace)

    def on_batch(self, images: Tensor) -> Tensor:
        """The same on a tensor (N, C, H, W)."""
        return self(images)

    def parameters_for(self, channels: int, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, (C, 1, 1) or (1, 1, 1), for images of so many channels."""
        return statistics_for(self._mean, self._std, channels, shape)


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

    def forward(self, image: Any) -> Any:
        return F.to_grayscale(image, self.num_output_channels)


class ToPILImage(Transform):
    """A tensor or an array as a PIL image, as :func:`minicnn.transforms.functional.to_pil_image` makes it.

    Parameters
    ----------
    mode : str, optional
        Pillow's mode; by default the one that fits the channels.

    Examples
    --------
    >>> image = ToPILImage()(np.zeros((2, 5, 3), np.uint8))
    >>> image.mode, image.size
    ('RGB', (5, 2))
    """

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def forward(self, image: Any) -> Any:
        return F.to_pil_image(image, self.mode)
