"""Pooling under PyTorch's names, signatures and defaults."""

from __future__ import annotations

from typing import Any

from minicnn.core.device import MetaArray
from minicnn.core.dispatch import backend_of
from minicnn.core.tensor import Tensor
from minicnn.nn.functional.conv import on_batch, on_batch_with_saved, pair, sides
from minicnn.ops import pooling as ops
from minicnn.ops.windows import Pair
from minicnn.typing import Attrs

__all__ = ["adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d", "max_pool2d"]


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window (F2); see :func:`minicnn.ops.pooling.max_pool2d`.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    kernel_size : int or (int, int)
        In pixels, (vertical, horizontal).
    stride : int, (int, int) or None
        Step between windows; None is ``kernel_size``, so that windows do not overlap.
    padding : int, (int, int) or ((int, int), (int, int))
        How far windows reach outside, at most half their size.
    dilation : int or (int, int)
    ceil_mode : bool
        Keep a last window that is only partly filled.
    return_indices : bool
        Return also where each value was found, counted row by row through its image.

    Returns
    -------
    Tensor (N, C, OH, OW) or (C, OH, OW), or a pair of them

    Raises
    ------
    ShapeError, DTypeError, OptionError
        See :func:`minicnn.ops.pooling.max_pool2d`.

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.arange(16.0).reshape(1, 1, 4, 4)
    >>> max_pool2d(x, 2).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    >>> max_pool2d(x, 2, return_indices=True)[1].tolist()
    [[[[5, 7], [13, 15]]]]
    """
    name = "max_pool2d"
    kernel = pair(name, "kernel_size", kernel_size)
    window: Attrs = {
        "kernel_size": kernel,
        "stride": _stride(name, stride, kernel),
        "padding": sides(name, padding),
        "dilation": pair(name, "dilation", dilation),
    }
    if not return_indices:
        return on_batch(ops.max_pool2d, input, **window, ceil_mode=bool(ceil_mode))
    y, saved = on_batch_with_saved(ops.max_pool2d, input, **window, ceil_mode=bool(ceil_mode))
    if saved is None:
        return y, _abstract_indices(y)
    index = ops.flat_indices(backend_of(saved).xp, saved[0], input.shape[-1], **window)
    return y, Tensor.wrap(index.reshape(y.shape))


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window; see :func:`minicnn.ops.pooling.avg_pool2d`.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    kernel_size : int or (int, int)
        In pixels, (vertical, horizontal).
    stride : int, (int, int) or None
        Step between windows; None is ``kernel_size``, so that windows do not overlap.
    padding : int, (int, int) or ((int, int), (int, int))
        Zeros added, at most half a window.
    ceil_mode : bool
        Keep a last window that is only partly filled.
    count_include_pad : bool
        Whether the mean counts the zeros of the padding.
    divisor_override : int or None
        Divide by this instead.

    Returns
    -------
    Tensor (N, C, OH, OW) or (C, OH, OW)

    Raises
    ------
    ShapeError, DTypeError, OptionError
        See :func:`minicnn.ops.pooling.avg_pool2d`.

    Examples
    --------
    >>> import minicnn
    >>> avg_pool2d(minicnn.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    name = "avg_pool2d"
    kernel = pair(name, "kernel_size", kernel_size)
    return on_batch(
        ops.avg_pool2d,
        input,
        kernel_size=kernel,
        stride=_stride(name, stride, kernel),
        padding=sides(name, padding),
        ceil_mode=bool(ceil_mode),
        count_include_pad=bool(count_include_pad),
        divisor_override=divisor_override,
    )


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The means over a grid of windows that covers the image; 1 is global average pooling.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    output_size : int, or pair of int or None
        (OH, OW); None keeps that size.

    Returns
    -------
    Tensor (N, C, OH, OW) or (C, OH, OW)

    Raises
    ------
    ShapeError, DTypeError, OptionError
        See :func:`minicnn.ops.pooling.adaptive_avg_pool2d`.

    Examples
    --------
    >>> import minicnn
    >>> adaptive_avg_pool2d(minicnn.ones(2, 8, 7, 5), (1, None)).shape
    (2, 8, 1, 5)
    """
    size = _output_size("adaptive_avg_pool2d", input, output_size)
    return on_batch(ops.adaptive_avg_pool2d, input, output_size=size)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest values over a grid of windows that covers the image; 1 is global max pooling.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    output_size : int, or pair of int or None
        (OH, OW); None keeps that size.
    return_indices : bool
        Return also where each value was found, counted row by row through its image.

    Returns
    -------
    Tensor (N, C, OH, OW) or (C, OH, OW), or a pair of them

    Raises
    ------
    ShapeError, DTypeError, OptionError
        See :func:`minicnn.ops.pooling.adaptive_max_pool2d`.

    Examples
    --------
    >>> import minicnn
    >>> adaptive_max_pool2d(minicnn.arange(6.0).reshape(1, 2, 3), 1).tolist()
    [[[5.0]]]
    """
    size = _output_size("adaptive_max_pool2d", input, output_size)
    if not return_indices:
        return on_batch(ops.adaptive_max_pool2d, input, output_size=size)
    y, saved = on_batch_with_saved(ops.adaptive_max_pool2d, input, output_size=size)
    return y, _abstract_indices(y) if saved is None else Tensor.wrap(saved[0].reshape(y.shape))


def _stride(op: str, stride: Any, kernel_size: Pair) -> Pair:
    if stride is None or (isinstance(stride, list) and not stride):
        return kernel_size
    return pair(op, "stride", stride)


def _output_size(op: str, input: Tensor, output_size: Any) -> Pair:
    if isinstance(output_size, (tuple, list)) and input.ndim >= 2 and len(output_size) == 2:
        sizes = zip(output_size, input.shape[-2:], strict=True)
        output_size = [own if wanted is None else wanted for wanted, own in sizes]
    return pair(op, "output_size", output_size)


def _abstract_indices(y: Tensor) -> Tensor:
    return Tensor.wrap(MetaArray(y.shape, "int64"))
