"""Functions of one number, element by element: exp, log, sqrt, sin, cos. Integers become float32."""

from __future__ import annotations

from minicnn.core.op import op
from minicnn.ops.rules import as_float, float_dtype, infinite_slope, same_shape

__all__ = ["cos", "exp", "log", "sin", "sqrt"]


@op(shape=same_shape, dtype=float_dtype)
def exp(xp, x):
    """Exponential:  y = e^x. Integers become float32.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    Saved: y.
    Oracle: minicnn.oracles.elementwise.exp

    Examples
    --------
    >>> from minicnn import tensor
    >>> exp(tensor([0.0, 1.0]))
    tensor([1.    , 2.7183])
    """
    y = xp.exp(as_float(x))
    return y, (y,)


@exp.backward
def exp_backward(xp, gy, saved, needs):
    """dL/dx = dL/dy · y."""
    (y,) = saved
    return (gy * y,)


@op(shape=same_shape, dtype=float_dtype)
def log(xp, x):
    """Natural logarithm:  y = ln x. Integers become float32.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    ln 0 = -inf and the logarithm of a negative number is NaN; the reference gives NumPy's warning of
    both, compiled kernels give none. The derivative at 0 is +inf. Saved: x.
    Oracle: minicnn.oracles.elementwise.log

    Examples
    --------
    >>> from minicnn import tensor
    >>> log(tensor([1.0, 2.0])).tolist()
    [0.0, 0.6931471824645996]
    """
    x = as_float(x)
    return xp.log(x), (x,)


@log.backward
def log_backward(xp, gy, saved, needs):
    """dL/dx = dL/dy / x."""
    (x,) = saved
    zero = x == 0
    return (xp.where(zero, infinite_slope(xp, gy), gy / xp.where(zero, 1, x)),)


@op(shape=same_shape, dtype=float_dtype)
def sqrt(xp, x):
    """Square root:  y = √x. Integers become float32.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    The derivative at 0 is +inf, but a gradient of 0 stays 0 there. Saved: y.
    Oracle: minicnn.oracles.elementwise.sqrt

    Examples
    --------
    >>> from minicnn import tensor
    >>> sqrt(tensor([4.0, 9.0])).tolist()
    [2.0, 3.0]
    """
    y = xp.sqrt(as_float(x))
    return y, (y,)


@sqrt.backward
def sqrt_backward(xp, gy, saved, needs):
    """dL/dx = dL/dy / (2·y)."""
    (y,) = saved
    zero = y == 0
    return (xp.where(zero, infinite_slope(xp, gy), gy / xp.where(zero, 1, 2 * y)),)


@op(shape=same_shape, dtype=float_dtype)
def sin(xp, x):
    """Sine:  y = sin x, x in radians. Integers become float32.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    Saved: x.
    Oracle: minicnn.oracles.elementwise.sin

    Examples
    --------
    >>> from minicnn import tensor
    >>> sin(tensor([0.0])).tolist()
    [0.0]
    """
    x = as_float(x)
    return xp.sin(x), (x,)


@sin.backward
def sin_backward(xp, gy, saved, needs):
    """dL/dx = dL/dy · cos x."""
    (x,) = saved
    return (gy * xp.cos(x),)


@op(shape=same_shape, dtype=float_dtype)
def cos(xp, x):
    """Cosine:  y = cos x, x in radians. Integers become float32.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    Saved: x.
    Oracle: minicnn.oracles.elementwise.cos

    Examples
    --------
    >>> from minicnn import tensor
    >>> cos(tensor([0.0])).tolist()
    [1.0]
    """
    x = as_float(x)
    return xp.cos(x), (x,)


@cos.backward
def cos_backward(xp, gy, saved, needs):
    """dL/dx = -dL/dy · sin x."""
    (x,) = saved
    return (-gy * xp.sin(x),)
