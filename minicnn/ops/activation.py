"""Activations, elementwise. Those with a gate are in ``gates.py``, softmax is in ``probability.py``."""

from __future__ import annotations

import numpy as np

from minicnn.core.op import op
from minicnn.errors import OptionError
from minicnn.ops.gates import gelu, silu
from minicnn.ops.probability import log_softmax, softmax
from minicnn.ops.rules import as_float, float_dtype, same_shape
from minicnn.ops.special import float_shape, logistic, number_shape
from minicnn.typing import Array, ArrayModule

__all__ = [
    "elu",
    "gelu",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]


# -- piecewise linear ------------------------------------------------------------------------


@op
def relu(xp, x):
    """Rectified linear unit:  y = max(0, x).

    Parameters
    ----------
    x : any shape

    Returns
    -------
    y : as x

    Raises
    ------
    DTypeError : if x is bool

    Notes
    -----
    NaN stays NaN. Saved: y.  Oracle: minicnn.oracles.activation.relu

    References
    ----------
    Nair & Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> relu(Tensor([-1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, 2.0]
    """
    y = xp.maximum(x, 0)
    return y, (y,)


relu.shape(number_shape)


@relu.backward
def relu_backward(xp, gy, saved, needs):
    """dL/dx = dL/dy where y > 0, else 0; so the derivative at x = 0 is 0."""
    (y,) = saved
    return (xp.where(y > 0, gy, 0),)


@op
def leaky_relu(xp, x, *, negative_slope=0.01):
    """Leaky rectified linear unit:  y = x if x > 0, else negative_slope · x.

    Parameters
    ----------
    x : any shape, floating point
    negative_slope : float

    Returns
    -------
    y : as x

    Raises
    ------
    DTypeError : if x is not floating point

    Notes
    -----
    Saved: x.  Oracle: minicnn.oracles.activation.leaky_relu

    References
    ----------
    Maas, Hannun & Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> leaky_relu(Tensor([-4.0, 2.0]), negative_slope=0.25).tolist()
    [-1.0, 2.0]
    """
    return xp.maximum(x, 0) + negative_slope * xp.minimum(x, 0), (x,)


leaky_relu.shape(float_shape)


@leaky_relu.backward
def leaky_relu_backward(xp, gy, saved, needs, *, negative_slope):
    """dL/dx = dL/dy if x > 0, else negative_slope · dL/dy (also at x = 0)."""
    (x,) = saved
    return (xp.where(x > 0, gy, gy * negative_slope),)


@op
def hardtanh(xp, x, *, min_val=-1.0, max_val=1.0):
    """Clipping:  y = min(max(x, min_val), max_val).

    Parameters
    ----------
    x : any shape
    min_val, max_val : float
        The bounds; 0 and 6 make ReLU6. For integers their fractions are cut off.

    Returns
    -------
    y : as x

    Raises
    ------
    DTypeError : if x is bool

    Notes
    -----
    It differs from ``clamp`` in its derivative on the bounds, as in PyTorch.
    Saved: x.  Oracle: minicnn.oracles.activation.hardtanh

    References
    ----------
    Collobert, "Large scale machine learning", thesis, 2004; ReLU6: Howard et al., "MobileNets", 2017.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> hardtanh(Tensor([-3.0, 0.5, 9.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    low, high = (_in_range_of(x.dtype, bound) for bound in (min_val, max_val))
    return xp.clip(x, low, high), (x,)


hardtanh.shape(number_shape)


def _in_range_of(dtype: np.dtype, bound: float) -> float:
    """For integers the bound as one that the type can hold."""
    if dtype.kind == "f":
        return bound
    limits = np.iinfo(dtype)
    return int(max(limits.min, min(bound, limits.max)))


@hardtanh.backward
def hardtanh_backward(xp, gy, saved, needs, *, min_val, max_val):
    """dL/dx = dL/dy strictly between the bounds, else 0."""
    (x,) = saved
    return (xp.where((x > min_val) & (x < max_val), gy, 0),)


# -- smooth ----------------------------------------------------------------------------------


@op
def elu(xp, x, *, alpha=1.0):
    """Exponential linear unit:  y = x if x > 0, else alpha · (exp(x) - 1).

    Parameters
    ----------
    x : any shape, floating point
    alpha : float
        -alpha is the limit for x → -∞.

    Returns
    -------
    y : as x

    Raises
    ------
    DTypeError : if x is not floating point

    Notes
    -----
    Saved: x.  Oracle: minicnn.oracles.activation.elu

    References
    ----------
    Clevert, Unterthiner & Hochreiter, "Fast and accurate deep network learning by ELUs", ICLR 2016.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> elu(Tensor([float("-inf"), 0.0, 2.0])).tolist()
    [-1.0, 0.0, 2.0]
    """
    return xp.maximum(x, 0) + alpha * xp.expm1(xp.minimum(x, 0)), (x,)


elu.shape(float_shape)


@elu.backward
def elu_backward(xp, gy, saved, needs, *, alpha):
    """dL/dx = dL/dy if x > 0, else alpha · exp(x) · dL/dy (also at x = 0)."""
    (x,) = saved
    return (gy * xp.where(x > 0, 1, alpha * xp.exp(xp.minimum(x, 0))),)


@op(shape=same_shape, dtype=float_dtype)
def sigmoid(xp, x):
    """Logistic function:  y = 1 / (1 + exp(-x)), in (0, 1).

    Parameters
    ----------
    x : any shape; integers become float32

    Returns
    -------
    y : as x

    Notes
    -----
    Only exp(-|x|) is computed, which never overflows and keeps the digits of both tails.
    Saved: y.  Oracle: minicnn.oracles.activation.sigmoid

    Examples
    --------
    >>> from minicnn import Tensor
    >>> sigmoid(Tensor([-1e4, 0.0, 1e4])).tolist()
    [0.0, 0.5, 1.0]
    """
    y = logistic(xp, as_float(x))
    return y, (y,)


@sigmoid.backward
def sigmoid_backward(xp, gy, saved, needs):
    """dL/dx = dL/dy · y · (1 - y)."""
    (y,) = saved
    return (gy * (y * (1 - y)),)


@op(shape=same_shape, dtype=float_dtype)
def tanh(xp, x):
    """Hyperbolic tangent:  y = (exp(x) - exp(-x)) / (exp(x) + exp(-x)), in (-1, 1).

    Parameters
    ----------
    x : any shape; integers become float32

    Returns
    -------
    y : as x

    Notes
    -----
    Saved: y.  Oracle: minicnn.oracles.activation.tanh

    Examples
    --------
    >>> from minicnn import Tensor
    >>> tanh(Tensor([-1e4, 0.0, 1e4])).tolist()
    [-1.0, 0.0, 1.0]
    """
    y = xp.tanh(as_float(x))
    return y, (y,)


@tanh.backward
def tanh_backward(xp, gy, saved, needs):
    """dL/dx = dL/dy · (1 - y²); as (1 - y) · (1 + y) it keeps its digits where y is close to ±1."""
    (y,) = saved
    return (gy * ((1 - y) * (1 + y)),)


@op
def softplus(xp, x, *, beta=1.0, threshold=20.0):
    """Smooth rectifier:  y = log(1 + exp(beta · x)) / beta, or x where beta · x > threshold.

    Parameters
    ----------
    x : any shape, floating point
    beta : float
        Steepness, above 0.
    threshold : float
        Where to go over to the asymptote.

    Returns
    -------
    y : as x

    Raises
    ------
    DTypeError : if x is not floating point
    OptionError : if beta ≤ 0

    Notes
    -----
    Saved: x.  Oracle: minicnn.oracles.activation.softplus

    References
    ----------
    Dugas et al., "Incorporating second-order functional knowledge", NIPS 2000.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> softplus(Tensor([-1e4, 1e4])).tolist()
    [0.0, 10000.0]
    """
    z = _scaled(xp, x, beta, threshold)
    smooth = (xp.maximum(z, 0) + xp.log1p(xp.exp(-xp.abs(z)))) / beta
    return xp.where(x > threshold / beta, x, smooth), (x,)


@softplus.shape
def softplus_shape(x, *, beta, threshold):
    """The shape of x; refuses beta ≤ 0."""
    if not beta > 0:
        raise OptionError(expected="beta above 0", got=str(beta))
    return float_shape(x)


def _scaled(xp: ArrayModule, x: Array, beta: float, threshold: float) -> Array:
    """beta · x, clipped to where it matters, so that it cannot overflow."""
    return xp.clip(x, -1e4 / beta, max(threshold, 0.0) / beta) * beta


@softplus.backward
def softplus_backward(xp, gy, saved, needs, *, beta, threshold):
    """dL/dx = dL/dy · sigmoid(beta · x), or dL/dy where beta · x > threshold."""
    (x,) = saved
    return (gy * xp.where(x > threshold / beta, 1, logistic(xp, _scaled(xp, x, beta, threshold))),)
