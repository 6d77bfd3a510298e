"""Normalization layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.core.creation import empty, ones, tensor, zeros
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError, ShapeError
from minicnn.nn import functional as F
from minicnn.nn import init
from minicnn.nn.checks import number, whole
from minicnn.nn.module import Module
from minicnn.nn.parameter import Parameter
from minicnn.typing import Shape

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "InstanceNorm2d", "LayerNorm"]


class _Norm(Module):
    """Scale and shift, which all normalizations share: weight starts at 1, bias at 0."""

    weight: Parameter | None
    bias: Parameter | None

    def _make(self, shape: Shape, affine: bool, bias: bool, device: Any, dtype: Any) -> None:
        self.weight = Parameter(empty(*shape, device=device, dtype=dtype)) if affine else None
        self.bias = Parameter(empty(*shape, device=device, dtype=dtype)) if affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight to 1 and bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _RunningNorm(_Norm):
    """A normalization that can keep running statistics of its channels."""

    dims: tuple[str, ...]  # the shapes it takes

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        kind = type(self).__name__
        num_features = whole(kind, "num_features", num_features)
        number(kind, "eps", eps, 0)
        if momentum is not None:
            number(kind, "momentum", momentum, 0, 1)
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._make((num_features,), affine, bias, device, dtype)
        mean = var = count = None
        if track_running_stats:
            mean = zeros(num_features, device=device, dtype=dtype)
            var = ones(num_features, device=device, dtype=dtype)
            count = tensor(0, dtype=np.int64, device=device)
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", var)
        self.register_buffer("num_batches_tracked", count)

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def reset_running_stats(self) -> None:
        """Forget the statistics: mean 0, variance 1, no batches."""
        for name, buffer in self._buffers.items():
            init.constant_(buffer, 1.0 if name == "running_var" else 0.0)

    def _check(self, input: Tensor) -> None:
        if input.ndim not in [len(dims.split(",")) for dims in self.dims]:
            raise ShapeError(expected=f"input of shape {' or '.join(self.dims)}", got=str(input.shape))

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_RunningNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        mean, var = self.running_mean, self.running_var
        use_batch = self.training or mean is None
        count = self.num_batches_tracked if self.training else None
        if self.training and count is None:
            mean = var = None
        momentum = self.momentum
        if momentum is None:  # the mean over all batches so far
            momentum = 0.0 if count is None else 1 / (count.item() + 1)
        y = F.batch_norm(input, mean, var, self.weight, self.bias, use_batch, momentum, self.eps)
        if count is not None:
            count.write_(count.array + 1)
        return y


class BatchNorm1d(_BatchNorm):
    """Batch normalization of feature vectors (N, C) or sequences (N, C, L), see :class:`BatchNorm2d`.

    Examples
    --------
    >>> import minicnn
    >>> BatchNorm1d(1)(minicnn.tensor([[1.0], [3.0]])).detach().numpy().round(3).tolist()
    [[-1.0], [1.0]]
    """

    dims = ("(N, C)", "(N, C, L)")


class BatchNorm2d(_BatchNorm):
    """Batch normalization of images:  y = weight · (x - mean) / √(var + eps) + bias, per channel.

    In training mode mean and variance are the batch's, over N, H and W, and update the running
    statistics; in evaluation mode they are the running statistics.

        running = (1 - momentum) · running + momentum · batch's       (its variance divided by n - 1)

    Parameters
    ----------
    num_features : int
        C.
    eps : float
        Keeps the divisor from being zero.
    momentum : float or None
        Weight of the newest batch in the running statistics; None gives all batches the same weight.
    affine : bool
        Whether to scale and shift.
    track_running_stats : bool
        Whether to keep statistics; without them each batch is normalized by its own.
    device, dtype : optional
        Where the parameters are, and their type.
    bias : bool
        Whether to shift, if ``affine``.

    Attributes
    ----------
    weight, bias : Parameter (C,) or None
        1 and 0 at first.
    running_mean, running_var : Tensor (C,) or None
        Buffers, 0 and 1 at first.
    num_batches_tracked : Tensor () or None
        Buffer: how many batches have gone into them.

    Raises
    ------
    OptionError
        If an option makes no sense.
    ShapeError
        On a call, if the input has other dimensions or channels.

    References
    ----------
    Ioffe & Szegedy, "Batch normalization", 2015, arXiv:1502.03167.

    Examples
    --------
    >>> import minicnn
    >>> norm = BatchNorm2d(1)
    >>> y = norm(minicnn.tensor([1.0, 3.0]).reshape(2, 1, 1, 1))
    >>> y.detach().numpy().round(3).ravel().tolist(), norm.running_mean.item()
    ([-1.0, 1.0], 0.20000000298023224)
    """

    dims = ("(N, C, H, W)",)


class InstanceNorm2d(_RunningNorm):
    """Like :class:`BatchNorm2d`, but each image and channel has its own mean and variance.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        As for :class:`BatchNorm2d`, with no scale, shift and statistics by default.

    Raises
    ------
    OptionError
        If an option makes no sense.

    References
    ----------
    Ulyanov, Vedaldi & Lempitsky, "Instance normalization", 2016, arXiv:1607.08022.

    Examples
    --------
    >>> import minicnn
    >>> InstanceNorm2d(1)(minicnn.tensor([1.0, 3.0]).reshape(1, 1, 1, 2)).numpy().round(3).tolist()
    [[[[-1.0, 1.0]]]]
    """

    dims = ("(N, C, H, W)",)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        use_input_stats = self.training or not self.track_running_stats
        return F.instance_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            use_input_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )


class LayerNorm(_Norm):
    """Normalization over the last dimensions of each sample.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Sizes of these dimensions.
    eps : float
        Keeps the divisor from being zero.
    elementwise_affine : bool
        Whether to scale and shift.
    bias : bool
        Whether to shift, if ``elementwise_affine``.
    device, dtype : optional
        Where the parameters are, and their type.

    Attributes
    ----------
    weight, bias : Parameter (*normalized_shape) or None
        1 and 0 at first.

    Raises
    ------
    OptionError
        If an option makes no sense.

    References
    ----------
    Ba, Kiros & Hinton, "Layer normalization", 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import minicnn
    >>> LayerNorm(2, elementwise_affine=False)(minicnn.tensor([1.0, 3.0])).numpy().round(3).tolist()
    [-1.0, 1.0]
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        shape = tuple(whole("LayerNorm", "normalized_shape", size) for size in sizes)
        number("LayerNorm", "eps", eps, 0)
        super().__init__()
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._make(shape, elementwise_affine, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class GroupNorm(_Norm):
    """Normalization of groups of channels, each image by itself.

    Parameters
    ----------
    num_groups, num_channels : int
        The second is a multiple of the first.
    eps : float
        Keeps the divisor from being zero.
    affine : bool
        Whether to scale and shift each channel.
    device, dtype : optional
        Where the parameters are, and their type.
    bias : bool
        Whether to shift, if ``affine``.

    Attributes
    ----------
    weight, bias : Parameter (num_channels,) or None
        1 and 0 at first.

    Raises
    ------
    OptionError
        If an option makes no sense.

    References
    ----------
    Wu & He, "Group normalization", 2018, arXiv:1803.08494.

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.tensor([1.0, 3.0]).reshape(1, 2, 1, 1)
    >>> GroupNorm(1, 2, affine=False)(x).numpy().round(3).ravel().tolist()
    [-1.0, 1.0]
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        num_groups = whole("GroupNorm", "num_groups", num_groups)
        num_channels = whole("GroupNorm", "num_channels", num_channels)
        number("GroupNorm", "eps", eps, 0)
        if num_channels % num_groups:
            raise OptionError(
                expected=f"num_channels divisible by num_groups = {num_groups}",
                got=str(num_channels),
                op="GroupNorm",
            )
        super().__init__()
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._make((num_channels,), affine, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
