"""Dense layers, and layers that only change the shape."""

from __future__ import annotations

from typing import Any

from minicnn.core.creation import empty
from minicnn.core.tensor import Tensor
from minicnn.errors import ShapeError
from minicnn.nn import functional as F
from minicnn.nn import init
from minicnn.nn.checks import whole
from minicnn.nn.module import Module
from minicnn.nn.parameter import Parameter

__all__ = ["Flatten", "Identity", "Linear", "Unflatten"]


class Linear(Module):
    """Dense layer (F3):  y = x · Wᵀ + b.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last dimension of input and output.
    bias : bool
        Whether to add b.
    device, dtype : optional
        Where the parameters are, and their type.

    Attributes
    ----------
    weight : Parameter (out_features, in_features)
        Uniform on ±1 / √in_features at first.
    bias : Parameter (out_features,) or None
        Likewise.

    Raises
    ------
    OptionError
        If a size is no positive integer.

    Examples
    --------
    >>> import minicnn
    >>> Linear(4, 3)(minicnn.zeros(2, 4)).shape
    (2, 3)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        in_features = whole("Linear", "in_features", in_features)
        out_features = whole("Linear", "out_features", out_features)
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.bias = Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters."""
        init._default_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class Identity(Module):
    """The input itself; all arguments are ignored. Stands in for a layer that is not wanted.

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.ones(2)
    >>> Identity(54, unused=0)(x) is x
    True
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Flatten(Module):
    """Make the dimensions from ``start_dim`` to ``end_dim`` (both included) one.

    Parameters
    ----------
    start_dim, end_dim : int
        Negative ones count from the end.

    Examples
    --------
    >>> import minicnn
    >>> Flatten()(minicnn.zeros(8, 3, 5, 5)).shape
    (8, 75)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split one dimension into several, the inverse of :class:`Flatten`.

    Parameters
    ----------
    dim : int
        The dimension; negative ones count from the end.
    unflattened_size : tuple of int
        What it becomes.

    Raises
    ------
    ShapeError
        On a call, if there is no such dimension.

    Examples
    --------
    >>> import minicnn
    >>> Unflatten(1, (3, 5, 5))(minicnn.zeros(8, 75)).shape
    (8, 3, 5, 5)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        sizes = tuple(whole("Unflatten", "unflattened_size", size, -1) for size in unflattened_size)
        super().__init__()
        self.dim = dim
        self.unflattened_size = sizes

    def forward(self, input: Tensor) -> Tensor:
        dim = self.dim + input.ndim if self.dim < 0 else self.dim
        if not 0 <= dim < input.ndim:
            raise ShapeError(expected=f"input with a dimension {self.dim}", got=f"shape {input.shape}")
        return input.reshape(*input.shape[:dim], *self.unflattened_size, *input.shape[dim + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
