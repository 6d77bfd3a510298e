"""Losses element by element; kernels/distance.cpp."""

from __future__ import annotations

import inspect

import numpy as np

from minicnn import _native
from minicnn.backends.native.arrays import FLOAT32, not_float32, one_run
from minicnn.backends.native.reducing import REDUCTIONS, empty_loss
from minicnn.core.op import Op
from minicnn.ops.distance import binary_cross_entropy_with_logits, huber_loss, l1_loss, mse_loss
from minicnn.typing import Array, Shape


def lay_over_difference(op: Op) -> None:
    """Attach ``<op>_forward`` and ``<op>_backward`` to a loss of x - target."""
    assert op.backward_kernel is not None
    forward_kernel = getattr(_native, f"{op.name}_forward")
    backward_kernel = getattr(_native, f"{op.name}_backward")

    def forward(xp, x, target, *, reduction="mean", **attrs):
        declined = not_float32(x, target)
        if declined:
            return declined
        y = empty_loss(x.shape, reduction)
        forward_kernel(y, one_run(x), one_run(target), REDUCTIONS[reduction], **attrs)
        return y, (x, target)

    def backward(xp, gy, saved, needs, *, reduction, **attrs):
        x, target = saved
        declined = not_float32(gy, x, target)
        if declined:
            return declined
        gx = _native.empty(x.shape)
        backward_kernel(gx, one_run(gy), one_run(x), one_run(target), REDUCTIONS[reduction], **attrs)
        return gx if needs[0] else None, -gx if needs[1] else None

    for kernel, function in ((op.forward_kernel, forward), (op.backward_kernel, backward)):
        function.__name__ = f"{kernel.name.replace('.', '_')}_native"
        function.__signature__ = inspect.signature(kernel.reference)  # type: ignore[union-attr]
        kernel.overlay("native")(function)


for _op in (l1_loss, mse_loss, huber_loss):
    lay_over_difference(_op)


def stretched(w: Array | float | None, shape: Shape) -> Array | None:
    """An optional weight, copied to the shape of the input where it has another or is a number."""
    return None if w is None else one_run(np.broadcast_to(np.asarray(w, FLOAT32), shape))


def arrays_of(*weights: Array | float | None) -> list[Array]:
    """Those that are arrays."""
    return [w for w in weights if isinstance(w, np.ndarray)]


@binary_cross_entropy_with_logits.forward_kernel.overlay("native")
def bce_native(xp, x, target, w=None, pos_weight=None, *, reduction="mean"):
    declined = not_float32(x, target, *arrays_of(w, pos_weight))
    if declined:
        return declined
    y = empty_loss(x.shape, reduction)
    weights = stretched(w, x.shape), stretched(pos_weight, x.shape)
    _native.bce_forward(y, one_run(x), one_run(target), *weights, REDUCTIONS[reduction])
    return y, (x, target, w, pos_weight)


@binary_cross_entropy_with_logits.backward_kernel.overlay("native")
def bce_backward_native(xp, gy, saved, needs, *, reduction):
    x, target, w, pos_weight = saved
    declined = not_float32(gy, x, target, *arrays_of(w, pos_weight))
    if declined:
        return declined
    gy, scores = one_run(gy), one_run(x)
    weights = stretched(w, x.shape), stretched(pos_weight, x.shape)
    gx = gt = None
    if needs[0]:
        gx = _native.empty(x.shape)
        _native.bce_backward(gx, gy, scores, one_run(target), *weights, REDUCTIONS[reduction])
    if needs[1]:
        gt = _native.empty(x.shape)
        _native.bce_target_backward(gt, gy, scores, *weights, REDUCTIONS[reduction])
    return (gx, gt, None, None)[: len(needs)]
