"""Convolutions and dense layers with the ReLU behind them."""

from __future__ import annotations

from minicnn.core.op import op
from minicnn.ops.activation import relu, relu_backward
from minicnn.ops.conv import conv2d, conv2d_backward
from minicnn.ops.linear import linear, linear_backward

__all__ = ["conv2d_relu", "linear_relu"]

_ONE = (1, 1)
_NONE = ((0, 0), (0, 0))


@op
def conv2d_relu(xp, x, w, b=None, *, stride=_ONE, padding=_NONE, dilation=_ONE, groups=1):
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
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y, saved = conv2d.forward_kernel.reference(xp, x, w, b, **attrs)
    y, _ = relu.forward_kernel.reference(xp, y)
    return y, (*saved, y)


@conv2d_relu.backward
def conv2d_relu_backward(xp, gy, saved, needs, *, stride, padding, dilation, groups):
    """dL/dx, dL/dw and dL/db by the chain rule: through the ReLU, then through the convolution."""
    x, w, y = saved
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    (gy,) = relu_backward(xp, gy, (y,), (True,))
    return conv2d_backward(xp, gy, (x, w), needs, **attrs)


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
linear_relu.shape(linear.output_shape)
