"""What becomes of each operation of a plan: one function for each kind, which adds its instructions.

The first line of its docstring says what it takes; docs/serving.md lists them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import _native
from minicnn.backends.native.arithmetic import add, div, mul, neg, sub
from minicnn.backends.native.arrays import one_run
from minicnn.backends.native.conv import algorithm
from minicnn.backends.native.lowering import (
    Instruction,
    Lowering,
    Place,
    UnfitError,
    constant,
    fits,
    run_strides,
)
from minicnn.backends.native.pooling import adaptive_max_pool2d_limit, max_pool2d_limit
from minicnn.core.plan import Slot, Step
from minicnn.typing import Array, Shape

__all__ = ["INSTRUCTIONS"]

# -- layers with weights -------------------------------------------------------------------------------


def conv2d(to: Lowering, step: Step) -> None:
    """Any stride, padding, dilation and groups; the weights are constants."""
    x, w, *others = step.operands
    z = others.pop(0) if "add" in step.op.name else None
    x_like, y_like, weights = to.value(x), to.value(step.result), constant(w, "weights")
    assert weights is not None
    kind = algorithm(weights.shape, (to.images, *x_like.shape[1:]), step.attrs)
    bias = to.kept(constant(others[0], "bias")) if others else None
    if kind == "depthwise":
        return _depthwise(to, step, weights, bias, z)
    packed = to.kept(
        weights, kind, x_like.shape, *step.attrs.items(),
        pack=lambda w: _native.conv_packed(kind, y_like, x_like, w, **step.attrs),
    )  # fmt: skip
    source, added = to.operand(x), -1 if z is None else to.operand(z)
    result, with_relu = to.result(step), step.op.name.endswith("relu")
    to.program.conv(
        result, source, added, -1, kind, y_like, x_like, weights.shape, packed, bias, with_relu, **step.attrs
    )
    to.note(f"{step.op.name} ({kind}) {weights.shape}", result, source, added)


def _depthwise(to: Lowering, step: Step, weights: Array, bias: Array | None, z: Slot | None) -> None:
    """A depthwise kernel adds no other result: that, and a ReLU behind it, are instructions of their own."""
    x_like, y_like = to.value(step.operands[0]), to.value(step.result)
    source, with_relu, size = to.operand(step.operands[0]), step.op.name.endswith("relu"), y_like[0].size
    spare = to.buffer(fixed=_native.depthwise_workspace(x_like, weights, y_like, **step.attrs))
    added = -1 if z is None else to.operand(z)
    result = to.result(step)
    target = result if z is None else to.buffer(size)
    to.program.conv(
        target, source, -1, spare, "depthwise", y_like, x_like, weights.shape, to.kept(weights), bias,
        with_relu and z is None, **step.attrs,
    )  # fmt: skip
    to.note(f"{step.op.name} (depthwise) {weights.shape}", target, source, spare)
    if z is None:
        return
    total = to.buffer(size) if with_relu else result
    to.program.two(total, target, added, "add", size)
    to.note("add", total, target, added)
    if with_relu:
        to.program.map(result, total, "relu", size)
        to.note("relu", result, total)


def linear(to: Lowering, step: Step) -> None:
    """Any number of rows for each image; the weights are constants."""
    x, w, b = (*step.operands, None)[:3]
    weights = constant(w, "weights")
    assert weights is not None
    packed = to.kept(weights, "dense", pack=_native.dense_packed)
    _dense(to, step, x, weights.shape, packed, to.kept(constant(b, "bias")))


def matmul(to: Lowering, step: Step) -> None:
    """A result with a constant matrix behind it, as a dense layer."""
    x, w = step.operands
    weights = constant(w, "a matrix")
    if weights is None or weights.ndim != 2:
        raise UnfitError("a product with other than a constant matrix")
    packed = to.kept(weights, "matmul", pack=lambda w: _native.dense_packed(one_run(w.T)))
    _dense(to, step, x, weights.shape[::-1], packed, None)


def _dense(to: Lowering, step: Step, x: Any, w_shape: Shape, packed: Any, bias: Any) -> None:
    if not isinstance(x, Slot) or to.value(x).ndim < 2:
        raise UnfitError("a dense layer of constants, or across images")
    rows = math.prod(to.value(x).shape[1:-1])
    source, result = to.operand(x), to.result(step)
    to.program.dense(result, source, rows, w_shape, packed, bias, step.op.name == "linear_relu")
    to.note(f"{step.op.name} {w_shape}", result, source)


def batch_norm_inference(to: Lowering, step: Step) -> None:
    """Weight, bias, mean and variance are constants."""
    x, *vectors = (*step.operands, None, None)[:5]
    names = ("mean", "variance", "weight", "bias")
    kept = [to.kept(constant(v, name)) for v, name in zip(vectors, names, strict=True)]
    shape = to.value(step.result).shape
    source, result = to.operand(x), to.result(step)
    to.program.batch_norm(result, source, (1, shape[1], math.prod(shape[2:])), *kept, step.attrs["eps"])
    to.note(f"{step.op.name} {shape[1:]}", result, source)


def group_norm(to: Lowering, step: Step) -> None:
    """Weight and bias are constants."""
    shape = to.value(step.result).shape
    _group_norm(to, step, (1, shape[1], math.prod(shape[2:])), step.attrs["num_groups"])


def layer_norm(to: Lowering, step: Step) -> None:
    """Over dimensions behind the batch; weight and bias are constants."""
    shape, normalized = to.value(step.result).shape, step.attrs["normalized_shape"]
    kept = len(shape) - len(normalized)
    if kept < 1:
        raise UnfitError("a layer normalization across images")
    _group_norm(to, step, (math.prod(shape[1:kept]), math.prod(normalized), 1), 1)


def _group_norm(to: Lowering, step: Step, sizes: tuple[int, int, int], groups: int) -> None:
    """sizes: (outer, channels, inner) of an image."""
    x, w, b = (*step.operands, None, None)[:3]
    weight, bias = to.kept(constant(w, "weight")), to.kept(constant(b, "bias"))
    source, result, spare = to.operand(x), to.result(step), to.buffer(2 * sizes[0] * groups)
    to.program.group_norm(result, source, spare, sizes, groups, weight, bias, step.attrs["eps"])
    to.note(f"{step.op.name} {to.value(step.result).shape[1:]}", result, source, spare)


# -- pooling and means ---------------------------------------------------------------------------------


def max_pool2d(to: Lowering, step: Step) -> None:
    """Any window, with a horizontal stride up to 64."""
    x, y = to.value(step.operands[0]), to.value(step.result)
    fits(max_pool2d_limit(step.attrs["stride"], y.shape[2:]))
    source, result = to.operand(step.operands[0]), to.result(step)
    spare = to.buffer(y[0].size)  # the index, of at most 4 bytes
    attrs = {name: step.attrs[name] for name in ("kernel_size", "stride", "padding", "dilation")}
    to.program.max_pool(result, source, spare, y, x, step.op.name.startswith("relu"), **attrs)
    to.note(f"{step.op.name} {y.shape[1:]}", result, source, spare)


def avg_pool2d(to: Lowering, step: Step) -> None:
    """Any window."""
    x, y = to.value(step.operands[0]), to.value(step.result)
    source, result = to.operand(step.operands[0]), to.result(step)
    to.program.avg_pool(
        result, source, y, x, kernel_size=step.attrs["kernel_size"], stride=step.attrs["stride"],
        padding=step.attrs["padding"], with_padding=step.attrs["count_include_pad"],
        divisor=step.attrs["divisor_override"] or 0,
    )  # fmt: skip
    to.note(f"{step.op.name} {y.shape[1:]}", result, source)


def adaptive_avg_pool2d(to: Lowering, step: Step) -> None:
    """Any size."""
    x, y = to.value(step.operands[0]), to.value(step.result)
    source, result = to.operand(step.operands[0]), to.result(step)
    to.program.mean_pool(result, source, y, x)
    to.note(f"{step.op.name} {y.shape[1:]}", result, source)


def adaptive_max_pool2d(to: Lowering, step: Step) -> None:
    """Any size, of images with fewer than 2^31 pixels."""
    x, y = to.value(step.operands[0]), to.value(step.result)
    fits(adaptive_max_pool2d_limit(x.shape))
    source, result = to.operand(step.operands[0]), to.result(step)
    spare = to.buffer(2 * y[0].size)  # the index, of 8 bytes
    to.program.largest_pool(result, source, spare, y, x)
    to.note(f"{step.op.name} {y.shape[1:]}", result, source, spare)


def mean(to: Lowering, step: Step) -> None:
    """Over neighbouring dimensions behind the batch, such as `(2, 3)`, kept or not."""
    shape, dim = to.value(step.operands[0]).shape, step.attrs["dim"]
    if not dim or dim[0] == 0 or dim != tuple(range(dim[0], dim[-1] + 1)):
        raise UnfitError(f"a mean over dimensions {dim}: across images, or not neighbours")
    first, last = dim[0], dim[-1] + 1
    outer, count, inner = (math.prod(part) for part in (shape[1:first], shape[first:last], shape[last:]))
    sizes = (count, inner) if inner > 1 else (1, count)  # a mean over rows, or over all of an image
    x_like, y_like = (np.broadcast_to(np.float32(0), (1, outer, *size)) for size in (sizes, (1, inner)))
    source, result = to.operand(step.operands[0]), to.result(step)
    to.program.mean_pool(result, source, y_like, x_like)
    to.note(f"mean {shape[1:]} over {dim}", result, source)


# -- functions of each element, and of lines -----------------------------------------------------------


def activation(to: Lowering, step: Step) -> None:
    """Any parameters."""
    name = "gelu_tanh" if step.attrs.get("approximate") == "tanh" else step.op.name
    _map(to, step, name, *(value for value in step.attrs.values() if not isinstance(value, str)))


def clip(to: Lowering, step: Step) -> None:
    """The bounds are numbers or left out."""
    _, low, high = (*step.operands, None, None)[:3]
    if any(isinstance(bound, (Slot, np.ndarray)) for bound in (low, high)):
        raise UnfitError("a clip with bounds that are no numbers")
    _map(to, step, "hardtanh", -math.inf if low is None else low, math.inf if high is None else high)


def _map(to: Lowering, step: Step, kernel: str, *parameters: float) -> None:
    source, result = to.operand(step.operands[0]), to.result(step)
    to.program.map(result, source, kernel, to.value(step.result)[0].size, *parameters)
    to.note(step.op.name, result, source)


def softmax(to: Lowering, step: Step) -> None:
    """Over a dimension behind the batch."""
    shape, dim = to.value(step.result).shape, step.attrs["dim"]
    if dim == 0:
        raise UnfitError("a softmax across images")
    source, result = to.operand(step.operands[0]), to.result(step)
    lines = math.prod(shape[1:dim]), shape[dim], math.prod(shape[dim + 1 :])
    to.program.softmax(result, source, lines, step.op.name == "log_softmax")
    to.note(step.op.name, result, source)


# -- where numbers lie ---------------------------------------------------------------------------------


def clone(to: Lowering, step: Step) -> None:
    """Any layout."""
    strides = run_strides(to.value(step.result).shape[1:])
    to.places[step.result] = Place(to.operand(step.operands[0]), 0, strides)


def concatenate(to: Lowering, step: Step) -> None:
    """Results behind each other, along a dimension behind the batch."""
    parts, dim = step.operands, step.attrs["dim"]
    if dim == 0 or not all(isinstance(part, Slot) for part in parts):
        raise UnfitError("a concatenation across images, or with constants")
    result, offset = to.result(step), 0
    strides = run_strides(to.value(step.result).shape[1:])
    for part in parts:
        shape = to.value(part).shape[1:]
        to.copy(Place(result, offset, strides), to.places[part], shape)
        offset += shape[dim - 1] * strides[dim - 1]


def pad(to: Lowering, step: Step) -> None:
    """With zeros, and not across images."""
    (x,), padding = step.operands, step.attrs["padding"]
    if padding[0] != (0, 0) or step.attrs["value"] != 0:
        raise UnfitError("padding with other than zeros, or across images")
    if any(b < 0 or a < 0 for b, a in padding):
        raise UnfitError("padding that cuts off")
    place, result = to.places[x], to.result(step)
    strides = run_strides(to.value(step.result).shape[1:])
    offset = sum(b * s for (b, _), s in zip(padding[1:], strides, strict=True))
    to.copy(Place(result, offset, strides), place, to.value(x).shape[1:], zeros_around=True)


def _of(function: Instruction, *names: str) -> dict[str, Any]:
    return dict.fromkeys(names, function)


INSTRUCTIONS: dict[str, Instruction] = {
    **_of(conv2d, "conv2d", "conv2d_add", "conv2d_add_relu", "conv2d_relu"),
    **_of(linear, "linear", "linear_relu"),
    **_of(matmul, "matmul"),
    **_of(batch_norm_inference, "batch_norm_inference"),
    **_of(group_norm, "group_norm"),
    **_of(layer_norm, "layer_norm"),
    **_of(max_pool2d, "max_pool2d", "relu_max_pool2d"),
    **_of(avg_pool2d, "avg_pool2d"),
    **_of(adaptive_avg_pool2d, "adaptive_avg_pool2d"),
    **_of(adaptive_max_pool2d, "adaptive_max_pool2d"),
    **_of(mean, "mean"),
    **_of(activation, "elu", "exp", "gelu", "hardtanh", "leaky_relu", "log", "relu", "sigmoid", "silu"),
    **_of(activation, "softplus", "tanh"),
    **_of(clip, "clip"),
    **_of(softmax, "log_softmax", "softmax"),
    **_of(add, "add"),
    **_of(sub, "sub"),
    **_of(mul, "mul"),
    **_of(div, "div"),
    **_of(neg, "neg"),
    **_of(concatenate, "concatenate"),
    **_of(pad, "pad"),
    **_of(clone, "clone"),
}
