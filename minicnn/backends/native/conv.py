"""Convolutions; kernels/conv.cpp, winograd.cpp and depthwise.cpp.

A transposed convolution is the backward pass of a convolution, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from minicnn import _native
from minicnn.backends.native.arrays import not_float32, one_run
from minicnn.core.dispatch import Declined
from minicnn.core.precision import get_conv_precision
from minicnn.ops.conv import conv2d, conv_transpose2d
from minicnn.ops.fused import conv2d_add, conv2d_add_relu, conv2d_relu
from minicnn.typing import Attrs, Shape

FEW_CHANNELS = 8  # fewer do not pay for Winograd's transforms
FEW_TILES = 8  # fewer fill less than half of the vectors of Winograd's products
# The longest of Winograd's sums whose errors keep within what set_conv_precision promises: docs/kernels.md.
MOST_CHANNELS = 4096
MOST_TILES = 1 << 17  # of all images, which only the weights' gradient sums over

_SAME = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}


# What `alone` asks for instead of the rules below, in this thread.
_forced: ContextVar[str | None] = ContextVar("forced", default=None)


def algorithm(w_shape: Shape, x_shape: Shape, attrs: Attrs) -> str:
    """The algorithm of a convolution with weights and images of these shapes.

    Winograd's takes 3 x 3 with stride 1 and padding 1, unless the highest precision is asked for; its
    transforms need channels and tiles of 4 x 4 pixels enough to pay, and its sums over channels must not
    be so long that too many digits are lost. One channel for each group is a depthwise convolution. All
    else is direct.
    """
    forced = _forced.get()
    if forced is not None:
        return forced
    if w_shape[2:] == (3, 3) and attrs == _SAME and get_conv_precision() == "high":
        channels = w_shape[:2]
        if min(channels) >= FEW_CHANNELS and max(channels) <= MOST_CHANNELS and _tiles(x_shape) >= FEW_TILES:
            return "winograd"
    return "depthwise" if attrs["groups"] == x_shape[1] == w_shape[0] > 1 else "direct"


def gradient_algorithm(w_shape: Shape, x_shape: Shape, attrs: Attrs) -> str:
    """The algorithm of the weights' gradient, whose sums are over tiles."""
    chosen = algorithm(w_shape, x_shape, attrs)
    too_many = chosen == "winograd" and _tiles(x_shape) > MOST_TILES and _forced.get() is None
    return "direct" if too_many else chosen


def _tiles(x_shape: Shape) -> int:
    return x_shape[0] * -(-x_shape[2] // 4) * -(-x_shape[3] // 4)


def rule() -> str:
    """What `algorithm` chooses, in one line."""
    others = "depthwise for one channel a group, direct for all others"
    if get_conv_precision() == "highest":
        return others
    return (
        f"winograd for 3 x 3 with stride 1, padding 1, {FEW_CHANNELS} to {MOST_CHANNELS} channels and "
        f"{FEW_TILES} tiles of 4 x 4 pixels or more (weights' gradient: to {MOST_TILES}), {others}"
    )


def _declined(*arrays) -> Declined | None:
    declined = not_float32(*arrays)
    if declined is None and any(array is not None and array.size == 0 for array in arrays):
        return Declined("an empty array")
    return declined


def _correlate(kernel, x, w, b, size, *, z=None, with_relu=False, **attrs):
    """The convolution, plus z, through a ReLU."""
    y = _native.empty((len(x), len(w), *size))
    chosen = algorithm(w.shape, x.shape, attrs)
    later = z is not None and chosen == "depthwise"  # which adds nothing itself
    _native.conv_forward(
        y,
        one_run(x),
        one_run(w),
        None if b is None else one_run(b),
        None if z is None or later else one_run(z),
        algorithm=chosen,
        with_relu=with_relu and not later,
        **attrs,
    )
    kernel.count_algorithm("native", chosen)
    if later:
        _native.add(y, one_run(z), y)
        if with_relu:
            _native.relu_forward(y, y)
    return y


def _spread(kernel, gy, w, channels, size, **attrs):
    gx = _native.empty((len(gy), channels, *size))
    chosen = algorithm(w.shape, gx.shape, attrs)
    _native.conv_backward_data(gx, one_run(gy), one_run(w), algorithm=chosen, **attrs)
    kernel.count_algorithm("native", chosen)
    return gx


def _weight_gradient(kernel, gy, x, shape, **attrs):
    gw = _native.empty(shape)
    chosen = gradient_algorithm(shape, x.shape, attrs)
    _native.conv_weight_gradient(gw, one_run(gy), one_run(x), algorithm=chosen, **attrs)
    kernel.count_algorithm("native", chosen)
    return gw


def _forward(kernel, x, w, b, z=None, *, with_relu=False, **attrs):
    """The convolution, plus z, through a ReLU; and what its backward pass needs."""
    declined = _declined(x, w, z, b)
    if declined:
        return declined
    size = conv2d.output_shape(x, w, **attrs)[2:]
    y = _correlate(kernel, x, w, b, size, z=z, with_relu=with_relu, **attrs)
    return y, (x, w, y) if with_relu else (x, w)


def _backward(kernel, gy, saved, needs, **attrs):
    """The gradients of x, w and b, behind a ReLU if its result was saved; and what that lets through."""
    declined = _declined(gy, *saved)
    if declined:
        return declined, gy
    x, w, *through = saved
    gy = one_run(gy)
    gb = _native.empty(gy.shape[1:2]) if len(needs) > 2 and needs[2] else None
    if through:
        masked = _native.empty(gy.shape)
        _native.bias_gradient(gb, masked, gy, one_run(through[0]))
        gy = masked
    elif gb is not None:
        _native.bias_gradient(gb, None, gy, None)
    gx = _spread(kernel, gy, w, x.shape[1], x.shape[2:], **attrs) if needs[0] else None
    gw = _weight_gradient(kernel, gy, x, w.shape, **attrs) if needs[1] else None
    return (gx, gw, gb)[: len(needs)], gy


def _backward_with_addition(kernel, gy, saved, needs, **attrs):
    """The same for the operands x, w, z, b: what reaches the sum is the gradient of z."""
    gradients, gz = _backward(kernel, gy, saved, (*needs[:2], *needs[3:]), **attrs)
    if type(gradients) is Declined:
        return gradients
    gx, gw, *gb = gradients
    return (gx, gw, gz if needs[2] else None, *gb)


@conv2d.forward_kernel.overlay("native")
def conv2d_native(xp, x, w, b=None, **attrs):
    return _forward(conv2d.forward_kernel, x, w, b, **attrs)


@conv2d.backward_kernel.overlay("native")
def conv2d_backward_native(xp, gy, saved, needs, **attrs):
    return _backward(conv2d.backward_kernel, gy, saved, needs, **attrs)[0]


@conv2d_relu.forward_kernel.overlay("native")
def conv2d_relu_native(xp, x, w, b=None, **attrs):
    return _forward(conv2d_relu.forward_kernel, x, w, b, with_relu=True, **attrs)


@conv2d_relu.backward_kernel.overlay("native")
def conv2d_relu_backward_native(xp, gy, saved, needs, **attrs):
    return _backward(conv2d_relu.backward_kernel, gy, saved, needs, **attrs)[0]


@conv2d_add.forward_kernel.overlay("native")
def conv2d_add_native(xp, x, w, z, b=None, **attrs):
    return _forward(conv2d_add.forward_kernel, x, w, b, z, **attrs)


@conv2d_add.backward_kernel.overlay("native")
def conv2d_add_backward_native(xp, gy, saved, needs, **attrs):
    return _backward_with_addition(conv2d_add.backward_kernel, gy, saved, needs, **attrs)


@conv2d_add_relu.forward_kernel.overlay("native")
def conv2d_add_relu_native(xp, x, w, z, b=None, **attrs):
    return _forward(conv2d_add_relu.forward_kernel, x, w, b, z, with_relu=True, **attrs)


@conv2d_add_relu.backward_kernel.overlay("native")
def conv2d_add_relu_backward_native(xp, gy, saved, needs, **attrs):
    return _backward_with_addition(conv2d_add_relu.backward_kernel, gy, saved, needs, **attrs)


@conv_transpose2d.forward_kernel.overlay("native")
def conv_transpose2d_native(xp, x, w, b=None, **attrs):
    declined = _declined(x, w, b)
    if declined:
        return declined
    channels, *size = conv_transpose2d.output_shape(x, w, **attrs)[1:]
    del attrs["output_padding"]
    y = _spread(conv_transpose2d.forward_kernel, x, w, channels, size, **attrs)
    if b is not None:
        y += b[:, None, None]
    return y, (x, w)


@conv_transpose2d.backward_kernel.overlay("native")
def conv_transpose2d_backward_native(xp, gy, saved, needs, *, output_padding, **attrs):
    x, w = saved
    declined = _declined(gy, x, w)
    if declined:
        return declined
    gy = one_run(gy)
    kernel = conv_transpose2d.backward_kernel
    gx = _correlate(kernel, gy, w, None, x.shape[2:], **attrs) if needs[0] else None
    gw = _weight_gradient(kernel, x, gy, w.shape, **attrs) if needs[1] else None
    gb = None
    if len(needs) > 2 and needs[2]:
        gb = _native.empty(gy.shape[1:2])
        _native.bias_gradient(gb, None, gy, None)
    return (gx, gw, gb)[: len(needs)]


# -- each algorithm by itself, for measurements: see minicnn/bench/ladder.py -----------------------------


def _alone(overlay: Callable[..., Any], chosen: str, saving: float) -> Callable[..., Any]:
    """The overlay with one algorithm, whatever the rules say; declines what that does not take."""

    def run(*arguments, **attrs):
        token = _forced.set(chosen)
        try:
            return overlay(*arguments, **attrs)
        except _native.MisfitError as error:
            return Declined(str(error))
        finally:
            _forced.reset(token)

    run.saving = saving  # type: ignore[attr-defined]
    return run


_SAVINGS = {"direct": 1.0, "depthwise": 1.0, "winograd": 4.0}  # Winograd's 36 multiplications stand for 144
for _overlay in (conv2d_native, conv2d_backward_native):
    _overlay.algorithms = {name: _alone(_overlay, name, saving) for name, saving in _SAVINGS.items()}
