"""Losses of classes that are given by their index; kernels/loss.cpp."""

from __future__ import annotations

import numpy as np

from minicnn import _native
from minicnn.backends.native.arrays import not_float32, one_run, optional_run
from minicnn.backends.native.reducing import REDUCTIONS
from minicnn.core.dispatch import Declined
from minicnn.ops.loss import cross_entropy, nll_loss
from minicnn.typing import Array, Shape

INT64 = np.dtype(np.int64)


def cannot_take(x_shape: Shape, *arrays: Array | None) -> Declined | None:
    """The reason to decline, if there is one."""
    if x_shape[min(1, len(x_shape) - 1)] == 0:
        return Declined("no classes")
    return not_float32(*arrays)


def as_labels(target: Array) -> Array:
    """The labels as int64 in one run. The operation has refused those out of range."""
    return one_run(target if target.dtype == INT64 else target.astype(INT64))


@cross_entropy.forward_kernel.overlay("native")
def cross_entropy_native(xp, x, target, w=None, *, reduction="mean", ignore_index=-100, label_smoothing=0.0):
    declined = cannot_take(x.shape, x, w)
    if declined:
        return declined
    p = _native.empty(x.shape)
    losses, weights, total = (_native.empty(shape) for shape in (target.shape, target.shape, ()))
    loss = _native.empty(())
    _native.cross_entropy_forward(
        loss, total, losses, weights, p, one_run(x), as_labels(target), optional_run(w),
        ignore_index, label_smoothing, REDUCTIONS[reduction],
    )  # fmt: skip
    return losses if reduction == "none" else loss, (p, target, w, total)


@cross_entropy.backward_kernel.overlay("native")
def cross_entropy_backward_native(xp, gy, saved, needs, *, reduction, ignore_index, label_smoothing):
    p, target, w, total = saved
    declined = cannot_take(p.shape, gy, p, w)
    if declined:
        return declined
    gx = _native.empty(p.shape)
    _native.cross_entropy_backward(
        gx, one_run(gy), one_run(p), as_labels(target), optional_run(w), total,
        ignore_index, label_smoothing, REDUCTIONS[reduction],
    )  # fmt: skip
    return (gx, None, None)[: len(needs)]


@nll_loss.forward_kernel.overlay("native")
def nll_loss_native(xp, x, target, w=None, *, reduction="mean", ignore_index=-100):
    declined = cannot_take(x.shape, x, w)
    if declined:
        return declined
    losses, weights, total = (_native.empty(shape) for shape in (target.shape, target.shape, ()))
    loss = _native.empty(())
    _native.nll_loss_forward(
        loss, total, losses, weights, one_run(x), as_labels(target), optional_run(w),
        ignore_index, REDUCTIONS[reduction],
    )  # fmt: skip
    return losses if reduction == "none" else loss, (x.shape, target, w, total)


@nll_loss.backward_kernel.overlay("native")
def nll_loss_backward_native(xp, gy, saved, needs, *, reduction, ignore_index):
    shape, target, w, total = saved
    declined = cannot_take(shape, gy, w)
    if declined:
        return declined
    gx = _native.empty(shape)
    _native.nll_loss_backward(
        gx, one_run(gy), as_labels(target), optional_run(w), total, ignore_index, REDUCTIONS[reduction]
    )
    return (gx, None, None)[: len(needs)]
