"""Max pooling with the ReLU in front of it."""

from __future__ import annotations

from minicnn.core.op import op
from minicnn.ops.activation import relu, relu_backward
from minicnn.ops.pooling import max_pool2d, max_pool2d_backward

__all__ = ["relu_max_pool2d"]


@op(attributes_of=max_pool2d)
def relu_max_pool2d(xp, x, **attrs):
    """A ReLU and the max pooling behind it:  y = max_pool2d(relu(x)), computed as relu(max_pool2d(x)).

    Parameters
    ----------
    x, kernel_size, stride, padding, dilation, ceil_mode
        As for :func:`~minicnn.ops.pooling.max_pool2d`.

    Returns
    -------
    y : (N, C, OH, OW)

    Notes
    -----
    Both orders are the same: the ReLU keeps what is larger the larger, and windows without a positive
    number have gradient 0 in either.
    Saved: index, x.shape, y.  Oracle: minicnn.oracles.pooling.max_pool2d

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.tensor([[[[-1.0, 2.0, -3.0, -4.0]]]])
    >>> relu_max_pool2d(x, kernel_size=(1, 2), stride=(1, 2)).tolist()
    [[[[2.0, 0.0]]]]
    """
    y, saved = max_pool2d.forward_kernel.reference(xp, x, **attrs)
    y, _ = relu.forward_kernel.reference(xp, y)
    return y, (*saved, y)


relu_max_pool2d.shape(max_pool2d.output_shape)


@relu_max_pool2d.backward
def relu_max_pool2d_backward(xp, gy, saved, needs, **attrs):
    """dL/dx by the chain rule: through the ReLU, then to the pixels that won."""
    *before, y = saved
    (gy,) = relu_backward(xp, gy, (y,), (True,))
    return max_pool2d_backward(xp, gy, before, needs, **attrs)
