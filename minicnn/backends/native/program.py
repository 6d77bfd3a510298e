"""Plans as programs of native kernels: weights packed once, results in one small arena, no Python between.

A plan is traced with two images, so that its arrays show which dimension is the batch. It becomes a
program if each step has an instruction here and treats each image on its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import _native
from minicnn.backends.native.arrays import FLOAT32, one_run
from minicnn.backends.native.conv import algorithm
from minicnn.core.dispatch import Declined
from minicnn.core.plan import Plan, Slot, Step
from minicnn.typing import Array, Shape

__all__ = ["IMAGES", "lower"]

IMAGES = 2  # of the input that a plan is traced with
ARENA = 512 * 1024  # floats that the results of a chunk may take; more, if the weights take more


class UnfitError(Exception):
    """A step has no instruction: why."""


@dataclass
class Place:
    """Where a value lies: in a buffer, possibly as a view of it. Distances are in floats."""

    buffer: int
    offset: int
    strides: tuple[int, ...]  # of the dimensions behind the batch


class Lowering:
    """A program in the making."""

    def __init__(self, plan: Plan, images: int) -> None:
        self.plan = plan
        self.images = images
        self.program = _native.Program()
        self.floats = [plan.values[0][0].size, plan.values[plan.output.number][0].size]  # of an image
        self.fixed = [0, 0]  # floats whatever the number of images
        self.uses: list[list[int]] = [[], []]  # of each buffer: the instructions that touch it
        self.places: dict[Slot, Place] = {}
        self.lines: list[str] = []  # what the instructions are, in words
        self.places[Slot(0)] = Place(0, 0, run_strides(plan.values[0].shape[1:]))

    # -- buffers -----------------------------------------------------------------------------

    def buffer(self, floats: int = 0, fixed: int = 0) -> int:
        """A new buffer, of so many floats an image and so many whatever their number."""
        self.floats.append(floats)
        self.fixed.append(fixed)
        self.uses.append([])
        return len(self.floats) - 1

    def value(self, slot: Slot) -> Array:
        """What the slot held in the traced call: its shape and its memory tell where it lies."""
        return self.plan.values[slot.number]

    def result(self, step: Step) -> int:
        """The buffer of a step's result."""
        value = self.value(step.result)
        check(value)
        last = step.result == self.plan.output
        number = 1 if last else self.buffer(value[0].size)
        self.places[step.result] = Place(number, 0, run_strides(value.shape[1:]))
        return number

    def operand(self, slot: Any) -> int:
        """The buffer of an operand in one run: a view is copied."""
        if not isinstance(slot, Slot):
            raise UnfitError("a constant where images are expected")
        place, shape = self.places[slot], self.value(slot).shape[1:]
        size, strides = math.prod(shape), run_strides(shape)
        if place.offset == 0 and place.strides == strides and self.floats[place.buffer] == size:
            return place.buffer
        copied = Place(self.buffer(size), 0, strides)
        self.copy(copied, place, shape)
        self.places[slot] = copied
        return copied.buffer

    def copy(self, to: Place, place: Place, shape: Shape) -> None:
        """Copy a value of up to 4 dimensions, zeros around it."""
        if len(shape) > 4:
            raise UnfitError(f"a copy of {len(shape)} dimensions")
        front = (0,) * (4 - len(shape))
        self.program.copy(
            to.buffer, place.buffer, self.floats[to.buffer], self.floats[place.buffer],
            (1,) * len(front) + shape, to.offset, front + to.strides, place.offset, front + place.strides,
        )  # fmt: skip
        self.note(f"copy {shape}", to.buffer, place.buffer)

    def note(self, line: str, *buffers: int) -> None:
        """An instruction was added: its line, and the buffers that it touches."""
        for buffer in buffers:
            if buffer >= 0:
                self.uses[buffer].append(len(self.lines))
        self.lines.append(line)

    # -- all of it ---------------------------------------------------------------------------

    def run(self) -> Any:
        """The finished program."""
        check(self.plan.values[0])
        for step in self.plan.steps:
            if step.op.view:
                self.view(step)
            elif step.op.name in INSTRUCTIONS:
                INSTRUCTIONS[step.op.name](self, step)
            else:
                raise UnfitError(f"no instruction for {step.op.name}")
        output = self.plan.output
        shape = self.value(output).shape[1:]
        if self.places[output].buffer != 1:  # a view came last
            self.copy(Place(1, 0, run_strides(shape)), self.places[output], shape)
        chunk = self.chunk()
        places, arena = self.layout(chunk)
        self.program.finish(places, arena, chunk, self.floats[0], shape)
        return self.program

    def view(self, step: Step) -> None:
        """A step that only looks at its operand in another way."""
        (slot,) = (o for o in step.operands if isinstance(o, Slot))
        value, base, place = self.value(step.result), self.value(slot), self.places[slot]
        check(value)
        steps = tuple(s // 4 for s in value.strides)
        if not np.may_share_memory(value, base):  # it had to be copied
            if step.op.name != "reshape":
                raise UnfitError(f"{step.op.name} that has to copy")
            self.places[step.result] = Place(self.operand(slot), 0, run_strides(value.shape[1:]))
            return
        moved = (address(value) - address(base)) // 4
        if place.strides != tuple(s // 4 for s in base.strides[1:]):
            raise UnfitError(
                f"{step.op.name} of a view"
            )  # the traced array lay in another order than it does here
        if steps[0] != base.strides[0] // 4:
            raise UnfitError(f"{step.op.name} across images")
        self.places[step.result] = Place(place.buffer, place.offset + moved, steps[1:])

    def chunk(self) -> int:
        """How many images are computed at a time: for each chunk all weights are read anew."""
        return max(1, min(self.images, max(ARENA, self.program.weights) // max(1, self.peak())))

    def peak(self) -> int:
        """Floats an image of the results that live at the same time, at the most."""
        spans = [(min(u), max(u), f) for u, f in zip(self.uses[2:], self.floats[2:], strict=True) if u]
        return max((sum(f for a, b, f in spans if a <= i <= b) for i in range(len(self.lines))), default=0)

    def layout(self, chunk: int) -> tuple[list[int], int]:
        """The buffers' places in the arena: the lowest that is free while the buffer lives."""
        start = line_up(2 * len(self.floats))  # the table of the buffers' addresses comes first
        places, arena = [0] * len(self.floats), start
        settled: list[tuple[int, int, int, int]] = []  # first use, last use, begin, end
        for number in sorted(range(2, len(places)), key=lambda b: min(self.uses[b], default=0)):
            if not self.uses[number]:
                continue
            first, last = min(self.uses[number]), max(self.uses[number])
            size = line_up(self.floats[number] * chunk + self.fixed[number])
            at = start
            for begin, end in sorted((b, e) for f, l, b, e in settled if f <= last and first <= l):
                if begin - at >= size:
                    break
                at = max(at, end)
            settled.append((first, last, at, at + size))
            places[number], arena = at, max(arena, at + size)
        return places, arena


def run_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The distances of a C-contiguous run."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def address(array: Array) -> int:
    return array.__array_interface__["data"][0]


def line_up(floats: int) -> int:
    """Rounded up to whole cache lines."""
    return -(-floats // 16) * 16


def check(value: Array) -> None:
    """Whether a value is one of float32 for each image."""
    if value.dtype != FLOAT32 or value.ndim < 1 or len(value) != IMAGES or value.size == 0:
        raise UnfitError(f"a value {value.dtype} {value.shape} that is not one for each image")


def constant(operand: Any, what: str) -> Array | None:
    """A weight: an array of float32 or None."""
    if operand is None:
        return None
    if isinstance(operand, Slot) or not isinstance(operand, np.ndarray) or operand.dtype != FLOAT32:
        raise UnfitError(f"{what} that is not a constant of float32")
    return one_run(operand).copy()


# -- one function for each operation -------------------------------------------------------------------


def _conv2d(to: Lowering, step: Step) -> None:
    x, w, *others = step.operands
    residual = others.pop(0) if "add" in step.op.name else None
    b = others[0] if others else None
    x_like, y_like, weights = to.value(x), to.value(step.result), constant(w, "weights")
    assert weights is not None
    kind = algorithm(weights.shape, (to.images, *x_like.shape[1:]), step.attrs)
    source, other = to.operand(x), -1 if residual is None else to.operand(residual)
    bias, with_relu = constant(b, "bias"), step.op.name.endswith("relu")
    result, size = to.result(step), y_like[0].size
    spare, target, added = -1, result, other
    if kind == "depthwise":
        spare = to.buffer(fixed=_native.depthwise_workspace(x_like, weights, y_like, **step.attrs))
        if residual is not None:  # which it adds no other result to
            target, added = to.buffer(size), -1
    to.program.conv(
        target, source, added, spare, kind, y_like, x_like, weights, bias, with_relu and added == other,
        **step.attrs,
    )  # fmt: skip
    to.note(f"{step.op.name} ({kind}) {weights.shape}", target, source, added, spare)
    if added != other:
        total = to.buffer(size) if with_relu else result
        to.program.add_up(total, target, other, size)
        to.note("add", total, target, other)
        if with_relu:
            to.program.relu(result, total, size)
            to.note("relu", result, total)


def _linear(to: Lowering, step: Step) -> None:
    x, w, b = (*step.operands, None)[:3]
    weights = constant(w, "weights")
    if to.value(step.result).ndim != 2 or weights is None:
        raise UnfitError("a dense layer of more than one row for each image")
    source, result = to.operand(x), to.result(step)
    to.program.dense(result, source, weights, constant(b, "bias"), step.op.name == "linear_relu")
    to.note(f"{step.op.name} {weights.shape}", result, source)


def _max_pool2d(to: Lowering, step: Step) -> None:
    x, y = to.value(step.operands[0]), to.value(step.result)
    source, result = to.operand(step.operands[0]), to.result(step)
    spare = to.buffer(y[0].size)  # the index, of at most 4 bytes
    attrs = {name: step.attrs[name] for name in ("kernel_size", "stride", "padding", "dilation")}
    to.program.max_pool(result, source, spare, y, x, step.op.name.startswith("relu"), **attrs)
    to.note(f"{step.op.name} {y.shape[1:]}", result, source, spare)


def _avg_pool2d(to: Lowering, step: Step) -> None:
    x, y = to.value(step.operands[0]), to.value(step.result)
    source, result = to.operand(step.operands[0]), to.result(step)
    to.program.avg_pool(
        result, source, y, x, kernel_size=step.attrs["kernel_size"], stride=step.attrs["stride"],
        padding=step.attrs["padding"], with_padding=step.attrs["count_include_pad"],
        divisor=step.attrs["divisor_override"] or 0,
    )  # fmt: skip
    to.note(f"avg_pool2d {y.shape[1:]}", result, source)


def _adaptive_avg_pool2d(to: Lowering, step: Step) -> None:
    x, y = to.value(step.operands[0]), to.value(step.result)
    source, result = to.operand(step.operands[0]), to.result(step)
    to.program.mean_pool(result, source, y, x)
    to.note(f"adaptive_avg_pool2d {y.shape[1:]}", result, source)


def _batch_norm_inference(to: Lowering, step: Step) -> None:
    x, mean, var, w, b = (*step.operands, None, None)[:5]
    shape = to.value(step.result).shape
    source, result = to.operand(x), to.result(step)
    to.program.batch_norm(
        result, source, shape[1], math.prod(shape[2:]), constant(mean, "mean"), constant(var, "variance"),
        constant(w, "weight"), constant(b, "bias"), step.attrs["eps"],
    )  # fmt: skip
    to.note(f"batch_norm_inference {shape[1:]}", result, source)


def _relu(to: Lowering, step: Step) -> None:
    source, result = to.operand(step.operands[0]), to.result(step)
    to.program.relu(result, source, to.value(step.result)[0].size)
    to.note("relu", result, source)


def _add(to: Lowering, step: Step) -> None:
    x, z = step.operands
    if not (isinstance(x, Slot) and isinstance(z, Slot) and to.value(x).shape == to.value(z).shape):
        raise UnfitError("an addition of different shapes")
    sources, result = (to.operand(x), to.operand(z)), to.result(step)
    to.program.add_up(result, *sources, to.value(step.result)[0].size)
    to.note("add", result, *sources)


def _pad(to: Lowering, step: Step) -> None:
    (x,), padding = step.operands, step.attrs["padding"]
    if padding[0] != (0, 0) or step.attrs["value"] != 0:
        raise UnfitError("padding with other than zeros, or across images")
    shape, before = to.value(x).shape[1:], [max(0, b) for b, _ in padding[1:]]
    if any(b < 0 or a < 0 for b, a in padding):
        raise UnfitError("padding that cuts off")
    place, result = to.places[x], to.result(step)
    strides = run_strides(to.value(step.result).shape[1:])
    offset = sum(b * s for b, s in zip(before, strides, strict=True))
    to.copy(Place(result, offset, strides), place, shape)


def _softmax(to: Lowering, step: Step) -> None:
    shape, dim = to.value(step.result).shape, step.attrs["dim"]
    if dim == 0:
        raise UnfitError("a softmax across images")
    source, result = to.operand(step.operands[0]), to.result(step)
    lines = math.prod(shape[1:dim]), shape[dim], math.prod(shape[dim + 1 :])
    to.program.softmax(result, source, lines, step.op.name == "log_softmax")
    to.note(step.op.name, result, source)


INSTRUCTIONS: dict[str, Callable[[Lowering, Step], None]] = {
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "add": _add,
    "avg_pool2d": _avg_pool2d,
    "batch_norm_inference": _batch_norm_inference,
    "conv2d": _conv2d,
    "conv2d_add": _conv2d,
    "conv2d_add_relu": _conv2d,
    "conv2d_relu": _conv2d,
    "linear": _linear,
    "linear_relu": _linear,
    "log_softmax": _softmax,
    "max_pool2d": _max_pool2d,
    "pad": _pad,
    "relu": _relu,
    "relu_max_pool2d": _max_pool2d,
    "softmax": _softmax,
}


def lower(plan: Plan, images: int) -> tuple[Callable[[Array], Array], list[str]] | Declined:
    """A function that computes the plan for any images, best for so many; and its instructions in words."""
    try:
        chunk = Lowering(plan, images).run().chunk
        lowering = Lowering(plan, chunk)  # again: the algorithms depend on the size of the chunks
        return lowering.run(), lowering.lines
    except UnfitError as reason:
        return Declined(str(reason))
