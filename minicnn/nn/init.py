"""Initial values of parameters, drawn from the generator that ``minicnn.manual_seed`` seeds.

Every function changes its tensor in place and returns it. Random numbers are drawn in float64 and
rounded, so a float32 and a float64 model with one seed start from the same values. With n_in and
n_out the numbers of inputs and outputs that a unit is connected to (:func:`_calculate_fan_in_and_fan_out`),

    Glorot:  std = gain · √(2 / (n_in + n_out))      keeps the variance both forward and backward
    He:      std = gain / √n_in                      allows for ReLU, whose gain is √2

and a uniform distribution of the same variance has the bound √3 · std.

References
----------
Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
He, Zhang, Ren & Sun, "Delving deep into rectifiers", 2015, arXiv:1502.01852.
Saxe, McClelland & Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
neural networks", 2014, arXiv:1312.6120 (orthogonal).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from minicnn.core import random
from minicnn.core.device import move
from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError, ShapeError
from minicnn.typing import Shape

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

T = TypeVar("T", bound=Tensor)
Draw = Callable[[np.random.Generator, Shape], np.ndarray]

_GAINS = {"linear": 1.0, "conv2d": 1.0, "conv_transpose2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "selu": 3 / 4}


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> T:
    """Uniform on [a, b).

    Parameters
    ----------
    tensor : Tensor
        Changed in place.
    a, b : float
        Bounds, finite, a ≤ b.
    generator : numpy.random.Generator, optional
        Draw from this one instead.

    Examples
    --------
    >>> import minicnn
    >>> bool(uniform_(minicnn.empty(100), -2.0, -1.0).max() <= -1.0)
    True
    """
    if not 0 <= b - a < math.inf:
        raise OptionError(expected="finite bounds, a <= b", got=f"a={a}, b={b}", op="uniform_")
    return _fill(tensor, lambda g, shape: g.uniform(a, b, shape), generator)


def normal_(
    tensor: T, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None
) -> T:
    """Normal with the given mean and standard deviation.

    Examples
    --------
    >>> import minicnn
    >>> normal_(minicnn.empty(3), 5.0, 0.0).tolist()
    [5.0, 5.0, 5.0]
    """
    if not std >= 0:
        raise OptionError(expected="std of at least 0", got=str(std), op="normal_")
    return _fill(tensor, lambda g, shape: g.normal(mean, std, shape), generator)


def trunc_normal_(
    tensor: T,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: np.random.Generator | None = None,
) -> T:
    """Normal, with values outside [a, b] drawn again; the bounds are values, not multiples of std.

    Raises
    ------
    OptionError
        If std is not above 0, or hardly any value of the normal distribution lies between the bounds.

    Examples
    --------
    >>> import minicnn
    >>> float(trunc_normal_(minicnn.empty(1000), std=1.0, a=-0.5, b=0.5).abs().max()) <= 0.5
    True
    """
    if not std > 0:
        raise OptionError(expected="std above 0", got=str(std), op="trunc_normal_")
    share = math.erf((b - mean) / (std * math.sqrt(2))) - math.erf((a - mean) / (std * math.sqrt(2)))
    if share < 0.002:
        raise OptionError(
            expected="bounds with at least 0.1 % of the normal distribution between them",
            got=f"a={a}, b={b} for mean={mean}, std={std}",
            op="trunc_normal_",
        )

    def draw(g: np.random.Generator, shape: Shape) -> np.ndarray:
        values = g.normal(mean, std, shape)
        while (outside := (values < a) | (values > b)).any():
            values[outside] = g.normal(mean, std, int(outside.sum()))
        return values

    return _fill(tensor, draw, generator)


def constant_(tensor: T, val: float) -> T:
    """Every element ``val``.

    Examples
    --------
    >>> import minicnn
    >>> constant_(minicnn.empty(2), 0.5).tolist()
    [0.5, 0.5]
    """
    return _fill(tensor, lambda g, shape: np.full(shape, val), None)


def ones_(tensor: T) -> T:
    """Every element 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: T) -> T:
    """Every element 0."""
    return constant_(tensor, 0.0)


def xavier_uniform_(tensor: T, gain: float = 1.0, generator: np.random.Generator | None = None) -> T:
    """Uniform on ±gain · √(6 / (n_in + n_out)) (Glorot & Bengio 2010, eq. 16)."""
    bound = gain * math.sqrt(6 / max(sum(_calculate_fan_in_and_fan_out(tensor)), 1))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: T, gain: float = 1.0, generator: np.random.Generator | None = None) -> T:
    """Normal with std = gain · √(2 / (n_in + n_out)) (Glorot & Bengio 2010, eq. 12)."""
    std = gain * math.sqrt(2 / max(sum(_calculate_fan_in_and_fan_out(tensor)), 1))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(
    tensor: T,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> T:
    """Uniform on ±gain · √(3 / n) (He et al. 2015).

    Parameters
    ----------
    tensor : Tensor
        A weight with at least two dimensions.
    a : float
        Slope of the leaky ReLU for negative inputs, if that is the nonlinearity.
    mode : {"fan_in", "fan_out"}
        Which n: keep the variance in the forward or in the backward pass.
    nonlinearity : str
        What follows the layer; decides the gain.

    Raises
    ------
    OptionError
        If mode or nonlinearity is unknown.
    ShapeError
        If the tensor has fewer than two dimensions.

    Examples
    --------
    >>> import minicnn
    >>> float(kaiming_uniform_(minicnn.empty(50, 6)).abs().max()) <= 1.0  # √2 · √(3 / 6) = 1
    True
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: T,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> T:
    """Normal with std = gain / √n (He et al. 2015, eq. 10); parameters as of :func:`kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: T, gain: float = 1, generator: np.random.Generator | None = None) -> T:
    """Orthonormal rows or columns (the fewer of them), times gain (Saxe et al. 2014).

    Dimensions after the first count as columns.

    Examples
    --------
    >>> import minicnn
    >>> w = orthogonal_(minicnn.empty(2, 3))
    >>> abs(w @ w.T - minicnn.eye(2)).max().item() < 1e-6
    True
    """
    _calculate_fan_in_and_fan_out(tensor)  # refuses vectors

    def draw(g: np.random.Generator, shape: Shape) -> np.ndarray:
        rows, columns = shape[0], math.prod(shape[1:])
        q, r = np.linalg.qr(g.normal(size=(max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))  # makes the distribution uniform
        return gain * (q if rows >= columns else q.T).reshape(shape)

    return _fill(tensor, draw, generator)


def dirac_(tensor: T, groups: int = 1) -> T:
    """Filters of a convolution that hand their channel on: 1 in the middle of filter i at channel i, else 0.

    With padding "same" the layer begins as the identity, in as many channels as it has both in and out.

    Parameters
    ----------
    tensor : Tensor
        (C_out, C_in, K...), of 3, 4 or 5 dimensions; changed in place.
    groups : int
        A divisor of C_out: each group of filters is filled in this way.

    Raises
    ------
    ShapeError
        If it has other dimensions, or ``groups`` does not divide C_out.

    Examples
    --------
    >>> import minicnn
    >>> dirac_(minicnn.empty(2, 1, 3)).tolist()
    [[[0.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]]
    """
    shape = tensor.shape
    if not 3 <= len(shape) <= 5 or groups < 1 or shape[0] % groups:
        expected = f"weights (C_out, C_in, K...) of 3 to 5 dimensions, C_out a multiple of {groups}"
        raise ShapeError(expected=expected, got=str(tuple(shape)), op="dirac_")

    def identity(_: np.random.Generator, shape: Shape) -> np.ndarray:
        filters = np.zeros(shape)
        middle: tuple[Any, ...] = (..., *(k // 2 for k in shape[2:]))
        filters[middle] = np.tile(np.eye(shape[0] // groups, shape[1]), (groups, 1))
        return filters

    return _fill(tensor, identity, None)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """How much larger weights have to be to make up for a nonlinearity.

    Parameters
    ----------
    nonlinearity : str
        "linear", "conv2d", "conv_transpose2d", "sigmoid" (1), "tanh" (5/3), "relu" (√2), "leaky_relu"
        (√(2 / (1 + slope²))) or "selu" (3/4).
    param : float, optional
        The leaky ReLU's slope, 0.01 by default.

    Raises
    ------
    OptionError
        If the nonlinearity is unknown.

    Examples
    --------
    >>> round(calculate_gain("leaky_relu", 0.2), 4)
    1.3868
    """
    if nonlinearity == "relu":
        return math.sqrt(2)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "relu", "leaky_relu"])
        raise OptionError(expected=f"a nonlinearity out of {known}", got=repr(nonlinearity), op="init")
    return _GAINS[nonlinearity]


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """The numbers of inputs and outputs a unit is connected to, for a weight (out, in, KH, KW).

    Examples
    --------
    >>> import minicnn
    >>> _calculate_fan_in_and_fan_out(minicnn.empty(16, 3, 5, 5))
    (75, 400)
    """
    if tensor.ndim < 2:
        raise ShapeError(
            expected="a weight of two or more dimensions", got=f"shape {tensor.shape}", op="init"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _default_(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's start of dense and convolution layers: both uniform on ±1 / √n_in."""
    kaiming_uniform_(weight, a=math.sqrt(5))  # gain √(1/3), so the bound is 1 / √n_in
    if bias is not None:
        bound = 1 / math.sqrt(max(_calculate_fan_in_and_fan_out(weight)[0], 1))
        uniform_(bias, -bound, bound)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise OptionError(expected="mode 'fan_in' or 'fan_out'", got=repr(mode), op="init")
    n = _calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(n, 1))


def _fill(tensor: T, draw: Draw, generator: np.random.Generator | None) -> T:
    """Write what ``draw(generator, shape)`` gives into the tensor, unless it has no numbers at all."""
    if tensor.device.type != "meta":
        values = draw(random.to_generator(generator, "nn.init") or random.generator(), tensor.shape)
        with no_grad():
            tensor.write_(move(values.astype(tensor.dtype), tensor.device))
    return tensor
