"""Convolution under PyTorch's names, signatures and defaults."""

from __future__ import annotations

from typing import Any

from minicnn.core.op import Op
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.ops import conv as ops
from minicnn.ops.rules import whole
from minicnn.ops.shape import reshape
from minicnn.ops.windows import Padding, Pair
from minicnn.typing import Shape

__all__ = ["conv2d", "conv_transpose2d"]


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of images with a bank of kernels (F1); see :func:`minicnn.ops.conv.conv2d`.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    weight : (O, C/groups, KH, KW)
    bias : (O,) or None
    stride, dilation : int or (int, int)
        In pixels, (vertical, horizontal).
    padding : int, (int, int), ((int, int), (int, int)), "valid" or "same"
        Zeros added on all sides, at (top and bottom, left and right), or at ((top, bottom), (left,
        right)). "valid" adds none. "same" adds what keeps the size at stride 1; if that is odd, one
        more at the bottom or right.
    groups : int

    Returns
    -------
    Tensor (N, O, OH, OW) or (O, OH, OW)

    Raises
    ------
    ShapeError, DTypeError, OptionError
        See :func:`minicnn.ops.conv.conv2d`; also OptionError for "same" with a stride.

    Examples
    --------
    >>> import minicnn
    >>> x, w = minicnn.ones(1, 3, 8, 8), minicnn.ones(16, 3, 4, 4)
    >>> conv2d(x, w, padding="same").shape, conv2d(x, w, None, 2, 1).shape
    ((1, 16, 8, 8), (1, 16, 4, 4))
    """
    stride, dilation = pair("conv2d", "stride", stride), pair("conv2d", "dilation", dilation)
    if padding == "same":
        padding = _same(weight.shape[-2:], stride, dilation)
    elif padding == "valid":
        padding = 0
    return on_batch(
        ops.conv2d,
        input,
        weight,
        bias,
        stride=stride,
        padding=sides("conv2d", padding),
        dilation=dilation,
        groups=groups,
    )


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """Transposed convolution; see :func:`minicnn.ops.conv.conv_transpose2d`.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    weight : (C, O/groups, KH, KW)
    bias : (O,) or None
    stride, dilation, output_padding : int or (int, int)
        In pixels, (vertical, horizontal).
    padding : int, (int, int) or ((int, int), (int, int))
        What is cut off the result, as :func:`conv2d` would add it.
    groups : int

    Returns
    -------
    Tensor (N, O, OH, OW) or (O, OH, OW)

    Raises
    ------
    ShapeError, DTypeError, OptionError
        See :func:`minicnn.ops.conv.conv_transpose2d`.

    Examples
    --------
    >>> import minicnn
    >>> conv_transpose2d(minicnn.ones(1, 8, 5, 5), minicnn.ones(8, 4, 2, 2), stride=2).shape
    (1, 4, 10, 10)
    """
    name = "conv_transpose2d"
    return on_batch(
        ops.conv_transpose2d,
        input,
        weight,
        bias,
        stride=pair(name, "stride", stride),
        padding=sides(name, padding),
        output_padding=pair(name, "output_padding", output_padding),
        dilation=pair(name, "dilation", dilation),
        groups=groups,
    )


# -- PyTorch's ways of saying it -------------------------------------------------------------


def pair(op: str, name: str, value: Any) -> Pair:
    """An option as (vertical, horizontal): one integer stands for both.

    Raises
    ------
    OptionError
        If it is neither an integer nor one or two of them.

    Examples
    --------
    >>> pair("conv2d", "stride", 2), pair("conv2d", "stride", [1, 2])
    ((2, 2), (1, 2))
    """
    if type(value) is tuple and len(value) == 2 and type(value[0]) is int and type(value[1]) is int:
        return value  # the usual case, as layers give it
    values = value if isinstance(value, (tuple, list)) else (value,)
    numbers = [number for number in map(whole, values) if number is not None]
    if len(values) not in (1, 2) or len(numbers) != len(values):
        raise OptionError(expected=f"{name} = an integer or a pair of them", got=repr(value), op=op)
    return numbers[0], numbers[-1]


def sides(op: str, padding: Any) -> Padding:
    """Padding as ((top, bottom), (left, right)), from an integer, a pair, or a pair of pairs.

    Raises
    ------
    OptionError
        If it is none of them.

    Examples
    --------
    >>> sides("conv2d", (1, 2)), sides("conv2d", ((0, 1), (2, 3)))
    (((1, 1), (2, 2)), ((0, 1), (2, 3)))
    """
    if isinstance(padding, (tuple, list)) and len(padding) == 2 and isinstance(padding[0], (tuple, list)):
        return pair(op, "padding", padding[0]), pair(op, "padding", padding[1])
    vertical, horizontal = pair(op, "padding", padding)
    return (vertical, vertical), (horizontal, horizontal)


def on_batch(op: Op, input: Tensor, *operands: Tensor | None, **attrs: Any) -> Tensor:
    """Apply an operation on (N, C, H, W); a single image (C, H, W) becomes a batch for it."""
    if input.ndim != 3:
        return op(input, *operands, **attrs)
    y = op(reshape(input, shape=(1, *input.shape)), *operands, **attrs)
    return reshape(y, shape=y.shape[1:])


def on_batch_with_saved(op: Op, input: Tensor, *operands: Tensor | None, **attrs: Any) -> tuple[Tensor, Any]:
    """As :func:`on_batch`, with what the operation saved."""
    if input.ndim != 3:
        return op.call_with_saved(input, *operands, **attrs)
    y, saved = op.call_with_saved(reshape(input, shape=(1, *input.shape)), *operands, **attrs)
    return reshape(y, shape=y.shape[1:]), saved


def _same(kernel_size: Shape, stride: Pair, dilation: Pair) -> Padding:
    """The padding that keeps the size: half before, the rest after."""
    if stride != (1, 1):
        raise OptionError(
            expected='stride 1 with padding="same"',
            got=f"stride {stride}",
            hint="give the padding in pixels",
            op="conv2d",
        )
    total_h, total_w = (d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True))
    return (total_h // 2, total_h - total_h // 2), (total_w // 2, total_w - total_w // 2)
