"""Activations under PyTorch's names, signatures and defaults."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.ops import activation as ops
from minicnn.ops.conversion import cast
from minicnn.ops.rules import normal_dim

__all__ = [
    "elu",
    "gelu",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(0, x), elementwise; see :func:`minicnn.ops.activation.relu`.

    Parameters
    ----------
    input : any shape
    inplace : bool
        Accepted for PyTorch's sake, here and below, and without effect: the result is returned,
        and ``input`` keeps its numbers.

    Returns
    -------
    Tensor
        As input.

    Examples
    --------
    >>> import minicnn
    >>> relu(minicnn.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return ops.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x if x > 0, else negative_slope · x; see :func:`minicnn.ops.activation.leaky_relu`.

    Examples
    --------
    >>> import minicnn
    >>> leaky_relu(minicnn.tensor([-4.0, 2.0]), 0.5).tolist()
    [-2.0, 2.0]
    """
    return ops.leaky_relu(input, negative_slope=float(negative_slope))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x clipped to [min_val, max_val]; see :func:`minicnn.ops.activation.hardtanh`.

    Examples
    --------
    >>> import minicnn
    >>> hardtanh(minicnn.tensor([-4.0, 0.5, 2.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    return ops.hardtanh(input, min_val=float(min_val), max_val=float(max_val))


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x clipped to [0, 6], of derivative 0 on the bounds; see :func:`minicnn.ops.activation.hardtanh`.

    Examples
    --------
    >>> import minicnn
    >>> relu6(minicnn.tensor([-4.0, 2.0, 9.0])).tolist()
    [0.0, 2.0, 6.0]
    """
    return ops.hardtanh(input, min_val=0.0, max_val=6.0)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x if x > 0, else alpha · (exp(x) - 1); see :func:`minicnn.ops.activation.elu`.

    Examples
    --------
    >>> import minicnn
    >>> elu(minicnn.tensor([-1e4, 2.0]), alpha=0.5).tolist()
    [-0.5, 2.0]
    """
    return ops.elu(input, alpha=float(alpha))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x · Φ(x), exact or by PyTorch's ``"tanh"`` approximation; see :func:`minicnn.ops.gates.gelu`.

    Examples
    --------
    >>> import minicnn
    >>> round(gelu(minicnn.tensor([1.0])).item(), 4), round(gelu(minicnn.tensor([1.0]), "tanh").item(), 4)
    (0.8413, 0.8412)
    """
    return ops.gelu(input, approximate=approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · sigmoid(x); see :func:`minicnn.ops.gates.silu`.

    Examples
    --------
    >>> import minicnn
    >>> silu(minicnn.tensor([0.0, 1e4])).tolist()
    [0.0, 10000.0]
    """
    return ops.silu(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x)); see :func:`minicnn.ops.activation.sigmoid`.

    Examples
    --------
    >>> import minicnn
    >>> sigmoid(minicnn.tensor([-1e4, 0.0])).tolist()
    [0.0, 0.5]
    """
    return ops.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent; see :func:`minicnn.ops.activation.tanh`.

    Examples
    --------
    >>> import minicnn
    >>> tanh(minicnn.tensor([-1e4, 0.0])).tolist()
    [-1.0, 0.0]
    """
    return ops.tanh(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta · x)) / beta; see :func:`minicnn.ops.activation.softplus`.

    Examples
    --------
    >>> import minicnn
    >>> [round(v, 4) for v in softplus(minicnn.tensor([0.0, 30.0])).tolist()]
    [0.6931, 30.0]
    """
    return ops.softplus(input, beta=float(beta), threshold=float(threshold))


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Probabilities exp(x_i) / Σ_j exp(x_j) along a dimension; see :func:`minicnn.ops.probability.softmax`.

    Parameters
    ----------
    input : any shape, floating point
    dim : int, optional
        The dimension of the classes. Better always given; without, PyTorch's old rule chooses 0 for
        1 or 3 dimensions, else 1.
    _stacklevel : int
        Without effect.
    dtype : dtype, optional
        Convert the input first.

    Returns
    -------
    Tensor
        As input, of sum 1 along dim.

    Raises
    ------
    ShapeError, DTypeError
        If there is no such dimension, or input is not floating point.

    Examples
    --------
    >>> import minicnn
    >>> softmax(minicnn.tensor([[1.0, 1.0], [1e4, 0.0]]), dim=-1).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    return ops.softmax(_converted(input, dtype), dim=_class_dim(input, dim, "softmax"))


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Logarithm of :func:`softmax`, exact where that is 0; see :func:`minicnn.ops.probability.log_softmax`.

    Examples
    --------
    >>> import minicnn
    >>> log_softmax(minicnn.tensor([1e4, 0.0]), dim=0).tolist()
    [0.0, -10000.0]
    """
    return ops.log_softmax(_converted(input, dtype), dim=_class_dim(input, dim, "log_softmax"))


def _class_dim(input: Tensor, dim: int | None, op: str) -> int:
    if dim is None:
        return 0 if input.ndim in (0, 1, 3) else 1
    return normal_dim(dim, input.ndim, op)


def _converted(input: Tensor, dtype: Any) -> Tensor:
    return input if dtype is None else cast(input, dtype=np.dtype(dtype))
