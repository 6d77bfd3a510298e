"""Pooling layers, and padding."""

from __future__ import annotations

from typing import Any

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.nn import functional as F
from minicnn.nn.checks import pair, whole
from minicnn.nn.module import Module
from minicnn.typing import IntOrPair

__all__ = ["AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "MaxPool2d", "ZeroPad2d"]


def _check_window(kind: str, kernel_size: Any, stride: Any, padding: Any) -> None:
    kernel = pair(kind, "kernel_size", kernel_size)
    if stride is not None:
        pair(kind, "stride", stride)
    border = pair(kind, "padding", padding, 0)
    if any(2 * p > k for p, k in zip(border, kernel, strict=True)):
        raise OptionError(
            expected=f"padding of at most half of kernel_size = {kernel_size}", got=str(padding), op=kind
        )


class MaxPool2d(Module):
    """The largest number in each window (F2), see :func:`minicnn.nn.functional.max_pool2d`.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of a window, in pixels.
    stride : int or (int, int), optional
        Step between windows; ``kernel_size`` by default.
    padding : int or (int, int)
        Pixels added on each side, which never win; at most half a window.
    dilation : int or (int, int)
        Step between the pixels of a window.
    return_indices : bool
        Whether to also return where the largest numbers are.
    ceil_mode : bool
        Whether windows may begin inside the image and end outside.

    Raises
    ------
    OptionError
        If an option makes no sense.

    Examples
    --------
    >>> import minicnn
    >>> MaxPool2d(2)(minicnn.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        _check_window("MaxPool2d", kernel_size, stride, padding)
        pair("MaxPool2d", "dilation", dilation)
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window (F2c), see :func:`minicnn.nn.functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As for :class:`MaxPool2d`; the padding consists of zeros.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.
    divisor_override : int, optional
        Divide the sums by this number instead.

    Raises
    ------
    OptionError
        If an option makes no sense.

    Examples
    --------
    >>> import minicnn
    >>> AvgPool2d(2)(minicnn.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        _check_window("AvgPool2d", kernel_size, stride, padding)
        if divisor_override is not None:
            whole("AvgPool2d", "divisor_override", divisor_override)
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AdaptivePool(Module):
    def __init__(self, output_size: Any) -> None:
        kind = type(self).__name__
        sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
        pair(kind, "output_size", tuple(1 if size is None else size for size in sizes))
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(_AdaptivePool):
    """Means of as many windows as the output has pixels; ``AdaptiveAvgPool2d(1)`` is one mean per channel.

    Parameters
    ----------
    output_size : int, None, or a pair of these
        Height and width of the output; None keeps the input's.

    Raises
    ------
    OptionError
        If a size is no positive integer.

    Examples
    --------
    >>> import minicnn
    >>> AdaptiveAvgPool2d(1)(minicnn.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[7.5]]]]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveMaxPool2d(_AdaptivePool):
    """Largest numbers in as many windows as the output has pixels.

    Parameters
    ----------
    output_size : int, None, or a pair of these
        Height and width of the output; None keeps the input's.
    return_indices : bool
        Whether to also return where the largest numbers are.

    Raises
    ------
    OptionError
        If a size is no positive integer.

    Examples
    --------
    >>> import minicnn
    >>> AdaptiveMaxPool2d((1, 2))(minicnn.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[13.0, 15.0]]]]
    """

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class ZeroPad2d(Module):
    """Add rows and columns of zeros around images.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
        How many pixels.

    Raises
    ------
    OptionError
        If it is neither an integer nor four of them, or one is negative.

    Examples
    --------
    >>> import minicnn
    >>> ZeroPad2d((1, 0, 0, 0))(minicnn.ones(1, 1, 1, 2)).tolist()
    [[[[0.0, 1.0, 1.0]]]]
    """

    def __init__(self, padding: int | tuple[int, int, int, int]) -> None:
        sides = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * 4
        if len(sides) != 4:
            raise OptionError(expected="padding = one integer or four", got=repr(padding), op="ZeroPad2d")
        sides = tuple(whole("ZeroPad2d", "padding", side, 0) for side in sides)
        super().__init__()
        self.padding = sides

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding)

    def extra_repr(self) -> str:
        return str(self.padding)
