"""Max pooling with the ReLU in front of it."""

from __future__ import annotations

from minicnn.core.op import op
from minicnn.ops.activation import relu, relu_backward
from minicnn.ops.pooling import max_pool2d, max_pool2d_backward

__all__ = ["relu_max_pool2d"]


@op
def relu_max_pool2d(
    xp, x, *, kernel_size, stride, padding=((0, 0), (0, 0)), dilation=(1, 1), ceil_mode=False
):
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
    attrs = {"padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    y, saved = max_pool2d.forward_kernel.reference(xp, x, kernel_size=kernel_size, stride=stride, **attrs)
    y, _ = relu.forward_kernel.reference(xp, y)
    return y, (*saved, y)


relu_max_pool2d.shape(max_pool2d.output_shape)


@relu_max_pool2d.backward
def relu_max_pool2d_backward(xp, gy, saved, needs, *, kernel_size, stride, padding, dilation, ceil_mode):
    """dL/dx by the chain rule: through the ReLU, then to the pixels that won."""
    *before, y = saved
    (gy,) = relu_backward(xp, gy, (y,), (True,))
    attrs = {"padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    return max_pool2d_backward(xp, gy, before, needs, kernel_size=kernel_size, stride=stride, **attrs)
