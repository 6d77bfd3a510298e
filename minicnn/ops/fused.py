"""Fused operations: two or three plain ones computed at once, for backends that have a kernel for it.

They have no formulas of their own. The reference of each is the composition of its parts, and a test
holds them to it. ``PARTNERS`` says which pairs fuse; how is in :mod:`minicnn.core.fusion`.
"""

from __future__ import annotations

from typing import Any

from minicnn.core.op import Op, op
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


# -- which operations fuse --------------------------------------------------------------------


def _same_shape_rule(fused: Op, producer: Op) -> None:
    """A fused operation checks its operands as the first of its parts does."""
    fused.shape(producer.output_shape)


def _then(fused: Op) -> Any:
    """The rule of a consumer that has no operands or attributes of its own."""
    return lambda operands, attrs, others, its_attrs: (fused, operands, attrs)


for _fused, _producer in ((conv2d_relu, conv2d), (linear_relu, linear)):
    _same_shape_rule(_fused, _producer)

# Consumer, and by producer the rule that makes both one operation.
PARTNERS: dict[Op, dict[str, Any]] = {
    relu: {"conv2d": _then(conv2d_relu), "linear": _then(linear_relu)},
}
WAITING = (conv2d, linear)  # their results wait for a partner

for _consumer, _rules in PARTNERS.items():
    _consumer.partners = _rules
for _producer in WAITING:
    _producer.partners = _producer.partners or {}
    _producer.waits = True
