"""Convolution layers."""

from __future__ import annotations

from typing import Any

from minicnn.core.creation import empty
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError, ShapeError
from minicnn.nn import functional as F
from minicnn.nn import init
from minicnn.nn.checks import choice, pair, whole
from minicnn.nn.module import Module
from minicnn.nn.parameter import Parameter
from minicnn.typing import IntOrPair, Shape

__all__ = ["Conv2d", "ConvTranspose2d"]


class _Conv(Module):
    """Options, parameters and text that both kinds of convolution share."""

    weight: Parameter
    bias: Parameter | None
    output_padding: tuple[int, int] = (0, 0)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair,
        padding: IntOrPair | str,
        dilation: IntOrPair,
        groups: int,
    ) -> None:
        kind = type(self).__name__
        options = {
            "in_channels": whole(kind, "in_channels", in_channels),
            "out_channels": whole(kind, "out_channels", out_channels),
            "kernel_size": pair(kind, "kernel_size", kernel_size),
            "stride": pair(kind, "stride", stride),
            "padding": padding if isinstance(padding, str) else pair(kind, "padding", padding, 0),
            "dilation": pair(kind, "dilation", dilation),
            "groups": whole(kind, "groups", groups),
        }
        if in_channels % groups or out_channels % groups:
            raise OptionError(
                expected=f"in_channels and out_channels divisible by groups = {groups}",
                got=f"{in_channels} and {out_channels}",
                op=kind,
            )
        super().__init__()
        self.in_channels: int
        self.out_channels: int
        self.kernel_size: tuple[int, int]
        self.stride: tuple[int, int]
        self.padding: Any  # (int, int), or a word
        self.dilation: tuple[int, int]
        self.groups: int
        self.__dict__.update(options)

    def _make(self, shape: Shape, bias: bool, device: Any, dtype: Any) -> None:
        self.weight = Parameter(empty(*shape, *self.kernel_size, device=device, dtype=dtype))
        self.bias = Parameter(empty(self.out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters."""
        init._default_(self.weight, self.bias)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        usual = {"padding": (0, 0), "dilation": (1, 1), "output_padding": (0, 0), "groups": 1}
        for name, default in usual.items():
            value = getattr(self, name)
            text += "" if value == default else f", {name}={value!r}"
        return text if self.bias is not None else text + ", bias=False"


class Conv2d(_Conv):
    """Convolution of images (F1) with learned kernels, see :func:`minicnn.nn.functional.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size : int or (int, int)
        KH and KW, in pixels.
    stride : int or (int, int)
        Step between windows.
    padding : int, (int, int), "same" or "valid"
        Pixels added on each side; "same" keeps the size (stride 1 only), "valid" adds none.
    dilation : int or (int, int)
        Step between the pixels of a window.
    groups : int
        Output channels see only the input channels of their group.
    bias : bool
        Whether to add one number per output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the padding consists of.
    device, dtype : optional
        Where the parameters are, and their type.

    Attributes
    ----------
    weight : Parameter (O, C/groups, KH, KW)
        Uniform on ±1 / √(C/groups · KH · KW) at first.
    bias : Parameter (O,) or None
        Likewise.

    Raises
    ------
    OptionError
        If an option makes no sense.

    Examples
    --------
    >>> import minicnn
    >>> Conv2d(3, 8, 3, padding=1)(minicnn.zeros(2, 3, 16, 16)).shape
    (2, 8, 16, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: IntOrPair | str = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        choice("Conv2d", "padding_mode", padding_mode, ("zeros", "reflect", "replicate", "circular"))
        if isinstance(padding, str):
            choice("Conv2d", "padding", padding, ("valid", "same"))
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        if padding == "same" and self.stride != (1, 1):
            raise OptionError(expected="stride 1 with padding='same'", got=str(stride), op="Conv2d")
        self.padding_mode = padding_mode
        self._make((out_channels, in_channels // groups), bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._borders(), mode=self.padding_mode)
            padding = 0
        return F.conv2d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _borders(self) -> tuple[int, int, int, int]:
        """Pixels to add at left, right, top and bottom."""
        if self.padding == "valid":
            return (0, 0, 0, 0)
        if isinstance(self.padding, str):
            height, width = (d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True))
            return (width // 2, width - width // 2, height // 2, height - height // 2)
        (top, left) = self.padding
        return (left, left, top, top)

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode!r}"


class ConvTranspose2d(_Conv):
    """Transposed convolution, which enlarges images, see :func:`minicnn.nn.functional.conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, groups, bias, dilation, device, dtype
        As for :class:`Conv2d`: those of the convolution that this one is the transpose of, except
        that the channels are seen from here.
    output_padding : int or (int, int)
        Rows and columns added at one side, to choose among the sizes that the convolution maps to one.
    padding_mode : {"zeros"}
        There is no other.

    Attributes
    ----------
    weight : Parameter (C, O/groups, KH, KW)
        Uniform on ±1 / √(O/groups · KH · KW) at first.
    bias : Parameter (O,) or None
        Likewise.

    Raises
    ------
    OptionError
        If an option makes no sense.

    Examples
    --------
    >>> import minicnn
    >>> up = ConvTranspose2d(8, 3, 3, stride=2, padding=1)
    >>> up(minicnn.zeros(1, 8, 4, 4)).shape, up(minicnn.zeros(1, 8, 4, 4), output_size=(8, 8)).shape
    ((1, 3, 7, 7), (1, 3, 8, 8))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: IntOrPair = 0,
        output_padding: IntOrPair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrPair = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        choice("ConvTranspose2d", "padding_mode", padding_mode, ("zeros",))
        extra = pair("ConvTranspose2d", "output_padding", output_padding, 0)
        if isinstance(padding, str):
            raise OptionError(expected="padding in pixels", got=repr(padding), op="ConvTranspose2d")
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.output_padding = extra
        self.padding_mode = padding_mode
        self._make((in_channels, out_channels // groups), bias, device, dtype)

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )

    def _extra(self, input: Tensor, output_size: Any) -> tuple[int, int]:
        """The output padding that gives ``output_size``."""
        wanted = pair("ConvTranspose2d", "output_size", tuple(output_size)[-2:])
        smallest = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[-2:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        extra = (wanted[0] - smallest[0], wanted[1] - smallest[1])
        if min(extra) < 0 or extra[0] >= self.stride[0] or extra[1] >= self.stride[1]:
            largest = [n + s - 1 for n, s in zip(smallest, self.stride, strict=True)]
            raise ShapeError(expected=f"output_size between {smallest} and {largest}", got=str(wanted))
        return extra
