"""Arithmetic in programs: of two results, or of one with a number or an array that is a constant.

An array goes through the kernel of batch normalization with mean 0 and variance 1, which is y = w x + b: it
has the loops for every layout and the threads, which a kernel of its own would have once more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.backends.native.lowering import Lowering, UnfitError, constant
from minicnn.core.plan import Slot, Step
from minicnn.ops.rules import NUMBERS
from minicnn.typing import Array, Shape

__all__ = ["add", "div", "mul", "neg", "sub"]


def add(to: Lowering, step: Step) -> None:
    """Two results, or one and a constant."""
    x, y = _result_first(step.operands)
    if isinstance(y, Slot):
        _of_two(to, step, "add")
    elif isinstance(y, NUMBERS):
        _with_number(to, step, x, "add", y)
    else:
        _affine(to, step, x, b=y)


def sub(to: Lowering, step: Step) -> None:
    """Two results, or one and a constant."""
    x, y = step.operands
    if isinstance(x, Slot) and isinstance(y, Slot):
        _of_two(to, step, "sub")
    elif isinstance(x, NUMBERS):
        _with_number(to, step, y, "sub_from", x)
    elif isinstance(y, NUMBERS):
        _with_number(to, step, x, "add", -y)
    elif isinstance(x, Slot):
        _affine(to, step, x, b=y, change=np.negative)
    else:
        _affine(to, step, y, b=x, sign=-1)


def mul(to: Lowering, step: Step) -> None:
    """Two results, or one and a constant."""
    x, y = _result_first(step.operands)
    if isinstance(y, Slot):
        _product(to, step)
    elif isinstance(y, NUMBERS):
        _with_number(to, step, x, "mul", y)
    else:
        _affine(to, step, x, w=y)


def div(to: Lowering, step: Step) -> None:
    """By a constant, as a product with its reciprocal."""
    x, y = step.operands
    if not isinstance(x, Slot) or isinstance(y, Slot):
        raise UnfitError("a division by a result")
    with np.errstate(all="ignore"):
        reciprocal = np.reciprocal(np.asarray(y, np.float32))
    if not np.isfinite(reciprocal).all() or (np.abs(reciprocal) < np.finfo(np.float32).tiny).any():
        raise UnfitError("a division by a number without a reciprocal")
    if isinstance(y, NUMBERS):
        _with_number(to, step, x, "mul", float(reciprocal))
    else:
        _affine(to, step, x, w=y, change=np.reciprocal)


def neg(to: Lowering, step: Step) -> None:
    """Any shape."""
    _with_number(to, step, step.operands[0], "mul", -1)


def _result_first(operands: tuple[Any, ...]) -> tuple[Any, ...]:
    return operands if isinstance(operands[0], Slot) else operands[::-1]


def _of_two(to: Lowering, step: Step, kernel: str) -> None:
    """Each in the shape of both together: what is broadcast is copied."""
    shape = to.value(step.result).shape
    sources, result = [to.expanded(slot, shape) for slot in step.operands], to.result(step)
    to.program.two(result, *sources, kernel, to.value(step.result)[0].size)
    to.note(step.op.name, result, *sources)


def _product(to: Lowering, step: Step) -> None:
    """Two results; where one has a number for each channel (squeeze and excitation), nothing is copied."""
    shape = to.value(step.result).shape
    x, z = sorted(step.operands, key=lambda slot: -to.value(slot).size)
    own = to.value(z).shape
    ones = next((i for i, n in enumerate(own[::-1]) if n != 1), 0)  # dimensions of size 1 at the end
    rows = len(own) - ones
    if not ones or to.value(x).shape != shape or own[:rows] != shape[:rows] or rows == len(shape):
        return _of_two(to, step, "mul")
    source, factors, result = to.operand(x), to.operand(z), to.result(step)
    to.program.scale(result, source, factors, math.prod(shape[1:rows]), math.prod(shape[rows:]))
    to.note("mul", result, source, factors)


def _with_number(to: Lowering, step: Step, x: Slot, kernel: str, number: Any) -> None:
    with np.errstate(over="ignore"):
        near = np.float32(number)
    if np.isinf(near) and not math.isinf(number):
        raise UnfitError("a number that float32 does not hold")
    source, result = to.operand(x), to.result(step)
    to.program.number(result, source, kernel, near, to.value(step.result)[0].size)
    to.note(step.op.name, result, source)


def _affine(
    to: Lowering, step: Step, x: Slot, w: Any = None, b: Any = None, change: Any = np.array, sign: int = 1
) -> None:
    """y = w x, or b + x or b - x, with a constant array that is changed first."""
    array = constant(b if w is None else w, "an operand")
    assert array is not None
    shape = to.value(x).shape
    if to.value(step.result).shape != shape:
        raise UnfitError("arithmetic that broadcasts a result to a constant's shape")
    sizes, vector = _sizes(array, shape), to.kept(array, change.__name__, pack=lambda a: change(a))
    zeros, ones = np.zeros(sizes[1], np.float32), np.ones(sizes[1], np.float32)
    weight, bias = (sign * ones, vector) if w is None else (vector, None)
    source, result = to.operand(x), to.result(step)
    to.program.batch_norm(result, source, sizes, zeros, ones, weight, bias, 0.0)
    to.note(f"{step.op.name} {array.shape}", result, source)


def _sizes(array: Array, shape: Shape) -> tuple[int, int, int]:
    """(outer, channels, inner) of an image, where the constant has a number for each channel."""
    own = (1,) * (len(shape) - array.ndim) + array.shape
    if own[0] != 1:
        raise UnfitError("a constant for each image")
    varies = [i for i, n in enumerate(own) if n != 1] or [len(own) - 1]
    first, last = varies[0], varies[-1] + 1
    if array.size == 1:
        return 1, 1, math.prod(shape[1:])
    if own[first:last] != shape[first:last]:
        raise UnfitError("a constant that varies over dimensions that are no neighbours")
    return math.prod(shape[1:first]), array.size, math.prod(shape[last:])
