"""A program in the making: where its values lie, and which buffers share memory.

What becomes of each step stands in ``instructions.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn import _native
from minicnn.backends.native.arrays import FLOAT32, one_run
from minicnn.core.plan import Plan, Slot, Step
from minicnn.typing import Array, Shape

__all__ = [
    "IMAGES", "Instruction", "Lowering", "Place", "UnfitError", "check", "constant", "fits", "run_strides",
]  # fmt: skip

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
    """A program in the making, best for so many images.

    Several programs of a plan share ``weights``: as they are packed, by what they are and for whom.
    """

    def __init__(self, plan: Plan, images: int, weights: dict[Any, Array]) -> None:
        for value in (plan.values[0], plan.values[plan.output.number]):
            check(value)
        self.plan = plan
        self.images = images
        self.weights = weights
        self.program = _native.Program()
        self.floats = [plan.values[0][0].size, plan.values[plan.output.number][0].size]  # of an image
        self.fixed = [0, 0]  # floats whatever the number of images
        self.uses: list[list[int]] = [[], []]  # of each buffer: the instructions that touch it
        self.places: dict[Slot, Place] = {}
        self.runs: dict[Slot, int] = {}  # buffers of copies of views
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
        """What the slot held in the traced call: its shape counts, not where it lay."""
        return self.plan.values[slot.number]

    def kept(self, array: Array | None, *key: Any, pack: Callable[[Array], Array] = np.array) -> Array | None:
        """A constant as the program keeps it: packed, or copied, once for all programs that do so alike."""
        if array is None:
            return None
        whole = (id(array), *key)  # the plan keeps the array alive
        if whole not in self.weights:
            self.weights[whole] = np.asarray(pack(one_run(array)))  # of one number NumPy makes a scalar
        return self.weights[whole]

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
        size = math.prod(shape)
        whole = place.offset == 0 and self.floats[place.buffer] == size
        if whole and lies_so(place.strides, run_strides(shape), shape):
            return place.buffer
        if slot not in self.runs:
            self.runs[slot] = self.copied(place, shape).buffer
        return self.runs[slot]

    def expanded(self, slot: Slot, shape: Shape) -> int:
        """The buffer of an operand that is broadcast to ``shape``, the batch included, in one run."""
        own, place = self.value(slot).shape, self.places[slot]
        if own == shape:
            return self.operand(slot)
        if len(own) != len(shape):
            raise UnfitError("operands with different numbers of dimensions")
        steps = tuple(0 if n == 1 else s for n, s in zip(own[1:], place.strides, strict=True))
        return self.copied(Place(place.buffer, place.offset, steps), shape[1:]).buffer

    def copied(self, place: Place, shape: Shape) -> Place:
        """A copy of a value, in one run."""
        copied = Place(self.buffer(math.prod(shape)), 0, run_strides(shape))
        self.copy(copied, place, shape)
        return copied

    def copy(self, to: Place, place: Place, shape: Shape, zeros_around: bool = False) -> None:
        """Copy a value of up to 4 dimensions; what lies in one run in both is one dimension."""
        sizes: list[tuple[int, int, int]] = []  # with the distances there and here, outermost first
        for n, to_step, from_step in zip(shape, to.strides, place.strides, strict=True):
            if n > 1 and sizes and sizes[-1][1:] == (n * to_step, n * from_step):
                sizes[-1] = (sizes[-1][0] * n, to_step, from_step)
            elif n > 1:
                sizes.append((n, to_step, from_step))
        if len(sizes) > 4:
            raise UnfitError(f"a copy of {len(sizes)} dimensions")
        size, to_steps, from_steps = zip(*[(1, 1, 1)] * (4 - len(sizes)), *sizes, strict=True)
        self.program.copy(
            to.buffer, place.buffer, size, to.offset, to_steps, place.offset, from_steps, zeros_around
        )
        self.note(f"copy {shape}", to.buffer, place.buffer)

    def note(self, line: str, *buffers: int) -> None:
        """An instruction was added: its line, and the buffers that it touches."""
        for buffer in buffers:
            if buffer >= 0:
                self.uses[buffer].append(len(self.lines))
        self.lines.append(line)

    # -- all of it ---------------------------------------------------------------------------

    def run(self, instructions: Mapping[str, Instruction]) -> Any:
        """The finished program; a function for each operation adds its instructions."""
        for step in self.plan.steps:
            if step.op.view:
                self.view(step)
            elif step.op.name in instructions:
                instructions[step.op.name](self, step)
            else:
                raise UnfitError(f"no instruction for {step.op.name}")
        output = self.plan.output
        shape = self.value(output).shape[1:]
        if self.places[output].buffer != 1:  # a view came last
            self.copy(Place(1, 0, run_strides(shape)), self.places[output], shape)
        chunk = self.chunk()
        places, arena = self.layout(chunk)
        self.program.finish(places, self.floats, self.fixed, arena, chunk, shape)
        return self.program

    def view(self, step: Step) -> None:
        """A step that only looks at its operand in another way: at memory where that lies as it does here."""
        (slot,) = (o for o in step.operands if isinstance(o, Slot))
        place, floats = self.places[slot], self.floats[self.places[slot].buffer]
        memory = np.empty(IMAGES * floats, FLOAT32)
        steps = [4 * s for s in (floats, *place.strides)]
        base = as_strided(memory[place.offset :], self.value(slot).shape, steps)
        operands = (base if o is slot else o for o in step.operands)
        value, _ = step.op.forward_kernel.reference(np, *operands, **step.attrs)
        check(value)
        if not np.may_share_memory(value, memory):  # it had to be copied
            if step.op.name != "reshape":
                raise UnfitError(f"{step.op.name} that has to copy")
            self.places[step.result] = Place(self.operand(slot), 0, run_strides(value.shape[1:]))
            return
        step_of_images, *steps = (s // 4 for s in value.strides)
        if step_of_images != floats:
            raise UnfitError(f"{step.op.name} across images")
        self.places[step.result] = Place(place.buffer, (address(value) - address(memory)) // 4, tuple(steps))

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


Instruction = Callable[[Lowering, Step], None]


def lies_so(strides: tuple[int, ...], others: tuple[int, ...], shape: Shape) -> bool:
    """Whether two distances mean the same: where there is one number only, none matters."""
    return all(n == 1 or s == o for n, s, o in zip(shape, strides, others, strict=True))


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


def fits(limit: str | None) -> None:
    """Refuse what a kernel does not take, if there is a limit in words."""
    if limit:
        raise UnfitError(limit)


def constant(operand: Any, what: str) -> Array | None:
    """A weight: an array of float32, or None."""
    if operand is None:
        return None
    if isinstance(operand, Slot) or not isinstance(operand, np.ndarray) or operand.dtype != FLOAT32:
        raise UnfitError(f"{what} that is not a constant of float32")
    return operand
