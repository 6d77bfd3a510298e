"""Normalizations; kernels/batch_norm.cpp and kernels/group_norm.cpp."""

from __future__ import annotations

from math import prod

import numpy as np

from minicnn import _native
from minicnn.backends.native.arrays import FLOAT32, not_float32, one_run
from minicnn.core.dispatch import Declined
from minicnn.ops.fused import batch_norm_add, batch_norm_add_relu, batch_norm_relu
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
    return _batch_norm(x, w, b, eps)


@batch_norm.backward_kernel.overlay("native")
def batch_norm_backward_native(xp, gy, saved, needs, *, eps):
    return _batch_norm_backward(gy, saved, needs, eps)


@batch_norm_relu.forward_kernel.overlay("native")
def batch_norm_relu_native(xp, x, w=None, b=None, *, eps):
    return _batch_norm(x, w, b, eps, with_relu=True)


@batch_norm_relu.backward_kernel.overlay("native")
def batch_norm_relu_backward_native(xp, gy, saved, needs, *, eps):
    *before, b, y = saved
    return _batch_norm_backward(gy, before, needs, eps, y=y, b=b, nothing_added=True)


@batch_norm_add.forward_kernel.overlay("native")
def batch_norm_add_native(xp, x, z, w=None, b=None, *, eps):
    return _batch_norm(x, w, b, eps, z=z)


@batch_norm_add.backward_kernel.overlay("native")
def batch_norm_add_backward_native(xp, gy, saved, needs, *, eps):
    gradients = _batch_norm_backward(gy, saved, (needs[0], *needs[2:]), eps)
    if type(gradients) is Declined:
        return gradients
    gx, *others = gradients
    return (gx, gy if needs[1] else None, *others)


@batch_norm_add_relu.forward_kernel.overlay("native")
def batch_norm_add_relu_native(xp, x, z, w=None, b=None, *, eps):
    return _batch_norm(x, w, b, eps, z=z, with_relu=True)


@batch_norm_add_relu.backward_kernel.overlay("native")
def batch_norm_add_relu_backward_native(xp, gy, saved, needs, *, eps):
    *before, y = saved
    gz = _native.empty(gy.shape) if needs[1] else None
    gradients = _batch_norm_backward(gy, before, (needs[0], *needs[2:]), eps, y=y, gz=gz)
    if type(gradients) is Declined:
        return gradients
    gx, *others = gradients
    return (gx, gz, *others)


def _batch_norm(x, w, b, eps, *, z=None, with_relu=False):
    """y and what is saved of batch normalization, the addition of z, and the ReLU."""
    declined = not_float32(x, w, b, z)
    if declined:
        return declined
    y, mean, var = (_native.empty(shape) for shape in (x.shape, x.shape[1:2], x.shape[1:2]))
    sizes = images(x)
    workspace = _native.empty((_native.batch_norm_workspace(*sizes),))
    inputs = (one_run(x), run_or_none(w), run_or_none(b), run_or_none(z))
    _native.batch_norm_forward(y, mean, var, *inputs, workspace, eps, *sizes, with_relu)
    of_relu = () if not with_relu else (b, y) if z is None else (y,)
    return y, (x, mean, var, w, *of_relu)


def _batch_norm_backward(gy, saved, needs, eps, *, y=None, gz=None, b=None, nothing_added=False):
    """The gradients of x, w and b, behind a ReLU with the result y if there is one, and into gz that of z."""
    x, mean, var, w = saved
    declined = not_float32(gy, x, mean, var, w, b)
    if declined:
        return declined
    gx, gw, gb = empty(x, mean.shape, (*needs, False, False)[:3])
    inputs = (
        one_run(gy), run_or_none(y), one_run(x), one_run(mean), one_run(var), run_or_none(w), run_or_none(b)
    )  # fmt: skip
    sizes = images(x)
    workspace = _native.empty((_native.batch_norm_workspace(*sizes),))
    _native.batch_norm_backward(gx, gw, gb, gz, *inputs, workspace, eps, *sizes, nothing_added)
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
    declined = not_float32(gy, x, mean, var, w) or (Declined("an empty array") if x.size == 0 else None)
    if declined:
        return declined
    gx, gw, gb = empty(x, mean.shape, (needs[0], *needs[3:], False, False)[:3])
    inputs = (one_run(gy), one_run(x), one_run(mean), one_run(var), run_or_none(w))
    sizes = images(x)
    workspace = _native.empty((_native.batch_norm_workspace(*sizes),))
    _native.batch_norm_inference_backward(gx, gw, gb, *inputs, workspace, eps, *sizes)
    return (gx, None, None, gw, gb)[: len(needs)]


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
