"""Pooling; kernels/max_pooling.cpp, kernels/avg_pooling.cpp and kernels/adaptive_pooling.cpp."""

from __future__ import annotations

import numpy as np

from minicnn import _native
from minicnn.backends.native.arrays import not_float32, one_run, optional_run
from minicnn.core.dispatch import Declined
from minicnn.ops.adaptive_pooling import adaptive_avg_pool2d, adaptive_max_pool2d
from minicnn.ops.fused import relu_max_pool2d
from minicnn.ops.pooling import avg_pool2d, max_pool2d
from minicnn.ops.windows import output_sizes

WIDEST_STRIDE = 64  # the kernel's memory, for all rows of a window, grows with it


def max_pool2d_limit(stride, size) -> str | None:
    """Why the kernel does not take windows of this stride and number; None if it does."""
    if stride[1] > WIDEST_STRIDE and size[1] > 1:
        return f"a horizontal stride of {stride[1]}; the kernel is for up to {WIDEST_STRIDE}"
    return None


def adaptive_max_pool2d_limit(shape) -> str | None:
    """Why the kernel does not take images of this shape; None if it does."""
    pixels = shape[2] * shape[3]
    return f"{pixels} pixels; the kernel counts them with 31 bits" if pixels >= 2**31 else None


@max_pool2d.forward_kernel.overlay("native")
def max_pool2d_native(xp, x, **attrs):
    return _max_pool2d(x, **attrs)


@max_pool2d.backward_kernel.overlay("native")
def max_pool2d_backward_native(xp, gy, saved, needs, **attrs):
    return _max_pool2d_backward(gy, *saved, None, **attrs)


@relu_max_pool2d.forward_kernel.overlay("native")
def relu_max_pool2d_native(xp, x, **attrs):
    return _max_pool2d(x, **attrs, with_relu=True)


@relu_max_pool2d.backward_kernel.overlay("native")
def relu_max_pool2d_backward_native(xp, gy, saved, needs, **attrs):
    return _max_pool2d_backward(gy, *saved, **attrs)


def _max_pool2d(x, *, kernel_size, stride, padding, dilation, ceil_mode, with_relu=False):
    """y and what is saved, of max(0, x) if ``with_relu``."""
    declined = not_float32(x)
    if declined:
        return declined
    size = output_sizes(x.shape, kernel_size, stride, padding, dilation, ceil=ceil_mode)
    limit = max_pool2d_limit(stride, size)
    if limit:
        return Declined(limit)
    y = _native.empty(x.shape[:2] + size)
    index = np.empty(y.shape, np.uint8 if kernel_size[0] * kernel_size[1] <= 256 else np.int32)
    window = (kernel_size, stride, padding, dilation)
    _native.max_pool2d_forward(y, index, one_run(x), *window, with_relu=with_relu)
    return y, (index, x.shape, y) if with_relu else (index, x.shape)


def _max_pool2d_backward(gy, index, shape, y, *, kernel_size, stride, padding, dilation, ceil_mode):
    """The gradient of x, behind a ReLU with the result y if there is one."""
    declined = not_float32(gy)
    if declined:
        return declined
    gx = _native.empty(shape)
    window = (kernel_size, stride, padding, dilation)
    _native.max_pool2d_backward(gx, one_run(gy), optional_run(y), one_run(index), *window)
    return (gx,)


@avg_pool2d.forward_kernel.overlay("native")
def avg_pool2d_native(xp, x, *, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    declined = not_float32(x)
    if declined:
        return declined
    size = output_sizes(x.shape, kernel_size, stride, padding, (1, 1), ceil=ceil_mode)
    y = _native.empty(x.shape[:2] + size)
    divisor = divisor_override or 0
    _native.avg_pool2d_forward(y, one_run(x), kernel_size, stride, padding, count_include_pad, divisor)
    return y, (x.shape,)


@avg_pool2d.backward_kernel.overlay("native")
def avg_pool2d_backward_native(
    xp, gy, saved, needs, *, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
):
    (shape,) = saved
    declined = not_float32(gy)
    if declined:
        return declined
    gx = _native.empty(shape)
    divisor = divisor_override or 0
    _native.avg_pool2d_backward(gx, one_run(gy), kernel_size, stride, padding, count_include_pad, divisor)
    return (gx,)


@adaptive_avg_pool2d.forward_kernel.overlay("native")
def adaptive_avg_pool2d_native(xp, x, *, output_size):
    declined = not_float32(x)
    if declined:
        return declined
    y = _native.empty(x.shape[:2] + output_size)
    _native.adaptive_avg_pool2d_forward(y, one_run(x))
    return y, (x.shape,)


@adaptive_avg_pool2d.backward_kernel.overlay("native")
def adaptive_avg_pool2d_backward_native(xp, gy, saved, needs, *, output_size):
    (shape,) = saved
    declined = not_float32(gy)
    if declined:
        return declined
    gx = _native.empty(shape)
    _native.adaptive_avg_pool2d_backward(gx, one_run(gy))
    return (gx,)


@adaptive_max_pool2d.forward_kernel.overlay("native")
def adaptive_max_pool2d_native(xp, x, *, output_size):
    declined = not_float32(x)
    if declined:
        return declined
    limit = adaptive_max_pool2d_limit(x.shape)
    if limit:
        return Declined(limit)
    y = _native.empty(x.shape[:2] + output_size)
    index = np.empty(y.shape, np.int64)
    _native.adaptive_max_pool2d_forward(y, index, one_run(x))
    return y, (index, x.shape)


@adaptive_max_pool2d.backward_kernel.overlay("native")
def adaptive_max_pool2d_backward_native(xp, gy, saved, needs, *, output_size):
    index, shape = saved
    declined = not_float32(gy)
    if declined:
        return declined
    gx = _native.empty(shape)
    _native.adaptive_max_pool2d_backward(gx, one_run(gy), one_run(index))
    return (gx,)
