"""Which operations fuse, and to what: see :mod:`minicnn.core.fusion`."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.core.device import MetaArray
from minicnn.core.dispatch import backend_of
from minicnn.core.fusion import Call, Match, Pending, Rule
from minicnn.core.op import Op
from minicnn.core.tensor import Tensor
from minicnn.ops.activation import relu
from minicnn.ops.conv import conv2d
from minicnn.ops.elementwise import add
from minicnn.ops.fused.layers import conv2d_add, conv2d_add_relu, conv2d_relu, linear_relu
from minicnn.ops.fused.normalization import batch_norm_add, batch_norm_add_relu, batch_norm_relu
from minicnn.ops.fused.pooling import relu_max_pool2d
from minicnn.ops.linear import linear
from minicnn.ops.normalization import batch_norm, batch_norm_inference
from minicnn.ops.pooling import max_pool2d
from minicnn.typing import Attrs

__all__: list[str] = []


def becomes(fused: Op) -> Rule:
    """The rule of a consumer that has no operands or attributes of its own."""
    return lambda producer, others, attrs: Match(Call(fused, producer.call.operands, producer.call.attrs))


def add_to_batch_norm(producer: Pending, others: tuple[Any, ...], attrs: Attrs) -> Match | None:
    """The addition of one that is alike: nothing is broadcast or converted."""
    x, *parameters = producer.call.operands
    (z,) = others
    if not _alike(producer, z):
        return None
    return Match(Call(batch_norm_add, (x, z, *parameters), producer.call.attrs))


def add_to_convolution(producer: Pending, others: tuple[Any, ...], attrs: Attrs) -> Match | None:
    """The same."""
    x, w, *bias = producer.call.operands
    (z,) = others
    return Match(Call(conv2d_add, (x, w, z, *bias), producer.call.attrs)) if _alike(producer, z) else None


def _alike(producer: Pending, z: Any) -> bool:
    return isinstance(z, Tensor) and z.shape == producer.shape and z.dtype == producer.dtype


def pool_relu_of_convolution(producer: Pending, others: tuple[Any, ...], attrs: Attrs) -> Match:
    """The ReLU moves behind the convolution: from the large image to the pooled one."""
    max_pool2d.check((MetaArray(producer.shape, producer.dtype),), attrs)
    y = Pending(producer.call._replace(op=conv2d), producer.shape, producer.backend)
    return Match(Call(relu_max_pool2d, (y,), attrs), instead=Call(relu, (y,), {}))


def fold_into_convolution(producer: Pending, others: tuple[Any, ...], attrs: Attrs) -> Match | None:
    """With given statistics a normalization scales and shifts each channel: the weights can do that.

    Not where gradients are recorded: they are those of the weights and of the normalization.
    """
    x, w, b = (*producer.call.operands, None)[:3]
    of_channels = [b, *others]
    if producer.records and any(t is not None and t.requires_grad for t in (x, w, *of_channels)):
        return None
    if producer.dtype != np.float32 or any(t is not None and not _like(t, w) for t in of_channels):
        return None
    call = producer.call._replace(operands=(x, *folded(w, b, *others, **attrs)))
    return Match(call)


def _like(vector: Any, w: Any) -> bool:
    """Whether there is a number for each output channel, of the type of the weights."""
    return isinstance(vector, Tensor) and vector.shape == w.shape[:1] and vector.dtype == w.dtype


def folded(
    w: Tensor,
    b: Tensor | None,
    mean: Tensor,
    var: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Weights w · s and bias (b - mean) · s + beta, with s = gamma / √(var + eps)."""
    xp = backend_of((w.array,)).xp
    scale = 1 / xp.sqrt(var.array.astype(xp.float64) + eps)
    if gamma is not None:
        scale = scale * gamma.array
    shift = ((0.0 if b is None else b.array) - mean.array) * scale
    if beta is not None:
        shift = shift + beta.array
    weights = w.array * scale.astype(w.dtype)[:, None, None, None]
    return Tensor.wrap(weights), Tensor.wrap(shift.astype(w.dtype))


# Consumer, and by producer the rule that makes both one operation.
PARTNERS: dict[Op, dict[str, Rule]] = {
    relu: {
        "conv2d": becomes(conv2d_relu),
        "conv2d_add": becomes(conv2d_add_relu),
        "linear": becomes(linear_relu),
        "batch_norm": becomes(batch_norm_relu),
        "batch_norm_add": becomes(batch_norm_add_relu),
    },
    add: {"batch_norm": add_to_batch_norm, "conv2d": add_to_convolution},
    batch_norm_inference: {"conv2d": fold_into_convolution},
    max_pool2d: {"conv2d_relu": pool_relu_of_convolution},
}
# Their results wait for a partner.
WAITING = (conv2d, conv2d_add, conv2d_relu, linear, batch_norm, batch_norm_add)

for _consumer, _rules in PARTNERS.items():
    _consumer.partners = _rules
for _producer in WAITING:
    _producer.partners = _producer.partners or {}
    _producer.waits = True
