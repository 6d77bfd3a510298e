"""Gated activations: x times a number between 0 and 1, which grows with x."""

from __future__ import annotations

import math

from minicnn.core.op import op
from minicnn.errors import OptionError
from minicnn.ops.special import float_shape, logistic, normal_cdf, on_both_sides
from minicnn.typing import Array, ArrayModule

__all__ = ["gelu", "silu"]


@op
def silu(xp, x):
    """Sigmoid linear unit, also called swish:  y = x · sigmoid(x).

    Parameters
    ----------
    x : any shape, floating point

    Returns
    -------
    y : as x, at least -0.2785

    Raises
    ------
    DTypeError : if x is not floating point

    Notes
    -----
    At -∞ it is its limit 0, where PyTorch gives NaN.
    Saved: x.  Oracle: minicnn.oracles.activation.silu

    References
    ----------
    Elfwing, Uchibe & Doya, "Sigmoid-weighted linear units", Neural Networks 107, 2018.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> silu(Tensor([-1e4, 0.0, 1e4])).tolist()
    [-0.0, 0.0, 10000.0]
    """
    return _above_minus_infinity(xp, x) * logistic(xp, x), (x,)


silu.shape(float_shape)


@silu.backward
def silu_backward(xp, gy, saved, needs):
    """dL/dx = dL/dy · s · (1 + x · (1 - s))  with s = sigmoid(x)."""
    x = xp.clip(saved[0], -1e3, 1e3)  # flat beyond; and 0 · ∞ is avoided
    s = logistic(xp, x)
    return (gy * (s * (1 + x * (1 - s))),)


def _above_minus_infinity(xp: ArrayModule, x: Array) -> Array:
    """x with -∞ replaced by the lowest number, so that 0 · x is 0."""
    return xp.maximum(x, float(xp.finfo(x.dtype).min))


@op
def gelu(xp, x, *, approximate="none"):
    """Gaussian error linear unit:  y = x · Φ(x), with Φ the standard normal distribution function.

    ::

        "none":  Φ(x) = ½ (1 + erf(x / √2))
        "tanh":  Φ(x) ≈ ½ (1 + tanh u) = sigmoid(2u),   u = √(2/π) · (x + 0.044715 x³)

    Parameters
    ----------
    x : any shape, floating point
    approximate : "none" or "tanh"

    Returns
    -------
    y : as x, at least -0.17

    Raises
    ------
    DTypeError : if x is not floating point
    OptionError : if approximate is neither

    Notes
    -----
    Φ comes from :func:`minicnn.ops.special.normal_cdf`. At -∞ it is its limit 0, where PyTorch
    gives NaN. Saved: x.  Oracle: minicnn.oracles.activation.gelu

    References
    ----------
    Hendrycks & Gimpel, "Gaussian error linear units", arXiv:1606.08415, 2016.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> [round(v, 4) for v in gelu(Tensor([-1.0, 0.0, 1.0])).tolist()]
    [-0.1587, 0.0, 0.8413]
    """
    return _above_minus_infinity(xp, x) * _gate(xp, _bounded(xp, x), approximate)[0], (x,)


@gelu.shape
def gelu_shape(x, *, approximate):
    """The shape of x; refuses an unknown approximation."""
    if approximate not in ("none", "tanh"):
        raise OptionError(expected="approximate 'none' or 'tanh'", got=repr(approximate))
    return float_shape(x)


def _bounded(xp: ArrayModule, x: Array) -> Array:
    """x in the range where Φ is neither 0 nor 1 in float64, so that no power of it overflows."""
    return xp.clip(x, -40.0, 40.0)


def _gate(xp: ArrayModule, x: Array, approximate: str) -> tuple[Array, Array]:
    """Φ(x) and its derivative."""
    if approximate == "none":
        return normal_cdf(xp, x), xp.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    twice = math.sqrt(8 / math.pi)
    tail = logistic(xp, -xp.abs(twice * x * (1 + 0.044715 * x * x)))  # the smaller one of Φ and 1 - Φ
    return on_both_sides(xp, tail, x), tail * (1 - tail) * (twice * (1 + 3 * 0.044715 * x * x))


@gelu.backward
def gelu_backward(xp, gy, saved, needs, *, approximate):
    """dL/dx = dL/dy · (Φ(x) + x · Φ'(x))  with Φ'(x) = exp(-x²/2) / √(2π), or that of the approximation."""
    x = _bounded(xp, saved[0])
    gate, slope = _gate(xp, x, approximate)
    return (gy * (gate + x * slope),)
