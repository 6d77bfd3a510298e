"""Convolutions and dense layers with the addition and the ReLU behind them."""

from __future__ import annotations

from typing import Any

from minicnn.core.op import op
from minicnn.errors import ShapeError
from minicnn.ops.activation import relu, relu_backward
from minicnn.ops.conv import conv2d, conv2d_backward
from minicnn.ops.linear import linear, linear_backward
from minicnn.ops.rules import require_dtype_of
from minicnn.typing import Shape

__all__ = ["conv2d_add", "conv2d_add_relu", "conv2d_relu", "linear_relu"]


@op(attributes_of=conv2d)
def conv2d_relu(xp, x, w, b=None, **attrs):
    """A convolution and the ReLU behind it:  y = relu(conv2d(x, w, b)).

    Parameters
    ----------
    x, w, b, stride, padding, dilation, groups
        As for :func:`~minicnn.ops.conv.conv2d`.

    Returns
    -------
    y : (N, O, OH, OW)

    Notes
    -----
    Saved: x, w, y. The result is the mask of the ReLU; what went into it is not kept.
    Oracle: minicnn.oracles.conv.conv2d

    Examples
    --------
    >>> import minicnn
    >>> conv2d_relu(minicnn.tensor([[[[1.0, -1.0]]]]), minicnn.ones(1, 1, 1, 1)).tolist()
    [[[[1.0, 0.0]]]]
    """
    y, saved = conv2d.forward_kernel.reference(xp, x, w, b, **attrs)
    y, _ = relu.forward_kernel.reference(xp, y)
    return y, (*saved, y)


@conv2d_relu.backward
def conv2d_relu_backward(xp, gy, saved, needs, **attrs):
    """dL/dx, dL/dw and dL/db by the chain rule: through the ReLU, then through the convolution."""
    x, w, y = saved
    (gy,) = relu_backward(xp, gy, (y,), (True,))
    return conv2d_backward(xp, gy, (x, w), needs, **attrs)


@op(attributes_of=conv2d)
def conv2d_add(xp, x, w, z, b=None, **attrs):
    """A convolution and the addition behind it:  y = conv2d(x, w, b) + z.

    Parameters
    ----------
    x, w, b, stride, padding, dilation, groups
        As for :func:`~minicnn.ops.conv.conv2d`.
    z : (N, O, OH, OW)
        What is added, such as the shortcut of a residual block.

    Returns
    -------
    y : (N, O, OH, OW)

    Raises
    ------
    ShapeError : if z has not the shape of the convolution's result; also as for ``conv2d``
    DTypeError : if z is not of the type of x

    Notes
    -----
    Saved: x, w.  Oracle: minicnn.oracles.conv.conv2d

    Examples
    --------
    >>> import minicnn
    >>> image = minicnn.tensor([[[[1.0, -1.0]]]])
    >>> conv2d_add(image, minicnn.ones(1, 1, 1, 1), image).tolist()
    [[[[2.0, -2.0]]]]
    """
    y, saved = conv2d.forward_kernel.reference(xp, x, w, b, **attrs)
    return y + z, saved


@conv2d_add.shape
def conv2d_add_shape(x: Any, w: Any, z: Any, b: Any = None, **attrs: Any) -> Shape:
    """The shape of the convolution's result, which is that of z."""
    size = conv2d.output_shape(x, w, b, **attrs)
    if tuple(z.shape) != size:
        raise ShapeError(expected=f"z of the result's shape, {size}", got=str(tuple(z.shape)))
    require_dtype_of(x, z=z)
    return size


@conv2d_add.backward
def conv2d_add_backward(xp, gy, saved, needs, **attrs):
    """As for the convolution, and dL/dz = dL/dy."""
    gx, gw, *gb = conv2d_backward(xp, gy, saved, (*needs[:2], *needs[3:]), **attrs)
    return (gx, gw, gy if needs[2] else None, *gb)


@op(attributes_of=conv2d)
def conv2d_add_relu(xp, x, w, z, b=None, **attrs):
    """A convolution, an addition, and the ReLU behind it:  y = relu(conv2d(x, w, b) + z).

    Parameters
    ----------
    x, w, z, b, stride, padding, dilation, groups
        As for :func:`conv2d_add`.

    Returns
    -------
    y : (N, O, OH, OW)

    Notes
    -----
    Saved: x, w, y. The result is the mask of the ReLU; what went into it is not kept.
    Oracle: minicnn.oracles.conv.conv2d

    Examples
    --------
    >>> import minicnn
    >>> image = minicnn.tensor([[[[1.0, -1.0]]]])
    >>> conv2d_add_relu(image, minicnn.ones(1, 1, 1, 1), image).tolist()
    [[[[2.0, 0.0]]]]
    """
    y, saved = conv2d_add.forward_kernel.reference(xp, x, w, z, b, **attrs)
    y, _ = relu.forward_kernel.reference(xp, y)
    return y, (*saved, y)


@conv2d_add_relu.backward
def conv2d_add_relu_backward(xp, gy, saved, needs, **attrs):
    """dL/dx, dL/dw, dL/dz and dL/db: through the ReLU, then as for :func:`conv2d_add`."""
    x, w, y = saved
    (gy,) = relu_backward(xp, gy, (y,), (True,))
    return conv2d_add_backward(xp, gy, (x, w), needs, **attrs)


@op
def linear_relu(xp, x, w, b=None):
    """A dense layer and the ReLU behind it:  y = relu(linear(x, w, b)).

    Parameters
    ----------
    x, w, b
        As for :func:`~minicnn.ops.linear.linear`.

    Returns
    -------
    y : (..., I)

    Notes
    -----
    Saved: x, w, y.  Oracle: minicnn.oracles.linear.linear

    Examples
    --------
    >>> import minicnn
    >>> linear_relu(minicnn.tensor([1.0]), minicnn.tensor([[2.0], [-2.0]])).tolist()
    [2.0, 0.0]
    """
    y, saved = linear.forward_kernel.reference(xp, x, w, b)
    y, _ = relu.forward_kernel.reference(xp, y)
    return y, (*saved, y)


@linear_relu.backward
def linear_relu_backward(xp, gy, saved, needs):
    """dL/dx, dL/dw and dL/db by the chain rule: through the ReLU, then through the dense layer."""
    x, w, y = saved
    (gy,) = relu_backward(xp, gy, (y,), (True,))
    return linear_backward(xp, gy, (x, w), needs)


conv2d_relu.shape(conv2d.output_shape)
conv2d_add_relu.shape(conv2d_add.output_shape)
linear_relu.shape(linear.output_shape)
