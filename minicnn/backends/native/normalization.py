"""Normalizations; kernels/batch_norm.cpp and kernels/group_norm.cpp."""

from __future__ import annotations

from math import prod

import numpy as np

from minicnn import _native
from minicnn.backends.native.arrays import FLOAT32, not_float32, one_run
from minicnn.ops.normalization import batch_norm, batch_norm_inference, group_norm, layer_norm


def run_or_none(array):
    return None if array is None else one_run(array)


def images(x):
    """N, C, L of an array (N, C, ...)."""
    return x.shape[0], x.shape[1], prod(x.shape[2:])


def rows(x, normalized_shape):
    """N, C, L, G of the group norm that a layer norm is."""
    kept = x.ndim - len(normalized_shape)
    return prod(x.shape[:kept]), prod(normalized_shape), 1, 1


def empty(x, parameter_shape, needs):
    """Memory for the gradients of x, w and b; None for those that are not needed."""
    shapes = (x.shape, parameter_shape, parameter_shape)
    return [_native.empty(shape) if need else None for shape, need in zip(shapes, needs, strict=False)]


@batch_norm.forward_kernel.overlay("native")
def batch_norm_native(xp, x, w=None, b=None, *, eps):
    declined = not_float32(x, w, b)
    if declined:
        return declined
    y, mean, var = (_native.empty(shape) for shape in (x.shape, x.shape[1:2], x.shape[1:2]))
    sizes = images(x)
    workspace = _native.empty((_native.batch_norm_workspace(*sizes),))
    _native.batch_norm_forward(
        y, mean, var, one_run(x), run_or_none(w), run_or_none(b), workspace, eps, *sizes
    )
    return y, (x, mean, var, w)


@batch_norm.backward_kernel.overlay("native")
def batch_norm_backward_native(xp, gy, saved, needs, *, eps):
    x, mean, var, w = saved
    declined = not_float32(gy, x, mean, var, w)
    if declined:
        return declined
    gx, gw, gb = empty(x, mean.shape, (*needs, False, False)[:3])
    _batch_norm_backward(gx, gw, gb, gy, saved, eps, True)
    return (gx, gw, gb)[: len(needs)]


@batch_norm_inference.forward_kernel.overlay("native")
def batch_norm_inference_native(xp, x, mean, var, w=None, b=None, *, eps):
    declined = not_float32(x, w, b)
    if declined:
        return declined
    y = _native.empty(x.shape)
    mean, var = (np.array(moment, FLOAT32, order="C") for moment in (mean, var))
    _native.batch_norm_inference_forward(
        y, one_run(x), mean, var, run_or_none(w), run_or_none(b), eps, *images(x)
    )
    return y, (x, mean, var, w)


@batch_norm_inference.backward_kernel.overlay("native")
def batch_norm_inference_backward_native(xp, gy, saved, needs, *, eps):
    x, mean, var, w = saved
    declined = not_float32(gy, x, mean, var, w)
    if declined:
        return declined
    gx, gw, gb = empty(x, mean.shape, (needs[0], *needs[3:], False, False)[:3])
    _batch_norm_backward(gx, gw, gb, gy, saved, eps, False)
    return (gx, None, None, gw, gb)[: len(needs)]


def _batch_norm_backward(gx, gw, gb, gy, saved, eps, with_statistics_of_x):
    x, mean, var, w = saved
    inputs = (one_run(gy), one_run(x), one_run(mean), one_run(var), run_or_none(w))
    sizes = images(x)
    workspace = _native.empty((_native.batch_norm_workspace(*sizes),))
    _native.batch_norm_backward(gx, gw, gb, *inputs, workspace, eps, *sizes, with_statistics_of_x)


@layer_norm.forward_kernel.overlay("native")
def layer_norm_native(xp, x, w=None, b=None, *, normalized_shape, eps):
    declined = not_float32(x, w, b)
    if declined:
        return declined
    outer = x.shape[: x.ndim - len(normalized_shape)]
    return _forward(x, w, b, outer, eps, rows(x, normalized_shape))


@layer_norm.backward_kernel.overlay("native")
def layer_norm_backward_native(xp, gy, saved, needs, *, normalized_shape, eps):
    declined = not_float32(gy, *saved)
    if declined:
        return declined
    return _backward(gy, saved, needs, tuple(normalized_shape), eps, rows(saved[0], normalized_shape))


@group_norm.forward_kernel.overlay("native")
def group_norm_native(xp, x, w=None, b=None, *, num_groups, eps):
    declined = not_float32(x, w, b)
    if declined:
        return declined
    return _forward(x, w, b, (x.shape[0], num_groups), eps, (*images(x), num_groups))


@group_norm.backward_kernel.overlay("native")
def group_norm_backward_native(xp, gy, saved, needs, *, num_groups, eps):
    declined = not_float32(gy, *saved)
    if declined:
        return declined
    x = saved[0]
    return _backward(gy, saved, needs, x.shape[1:2], eps, (*images(x), num_groups))


def _forward(x, w, b, outer, eps, sizes):
    y, mean, var = (_native.empty(shape) for shape in (x.shape, outer, outer))
    _native.group_norm_forward(y, mean, var, one_run(x), run_or_none(w), run_or_none(b), eps, *sizes)
    return y, (x, mean, var, w)


def _backward(gy, saved, needs, parameter_shape, eps, sizes):
    x, mean, var, w = saved
    gx, gw, gb = empty(x, parameter_shape, (*needs, False, False)[:3])
    inputs = (one_run(gy), one_run(x), one_run(mean), one_run(var), run_or_none(w))
    workspace = _native.empty((_native.group_norm_workspace(*sizes),))
    _native.group_norm_backward(gx, gw, gb, *inputs, workspace, eps, *sizes)
    return (gx, gw, gb)[: len(needs)]
