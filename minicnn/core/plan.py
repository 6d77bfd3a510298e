"""A plan: the operations that a function called, written down, so that they can be repeated without it.

:func:`trace` runs a function once and notes each operation with its operands. What depends on the input
only through operations is in the plan; everything else is a constant of it: parameters, and whatever
Python computed on its own. A backend may turn a plan into something faster (``Backend.lower``).
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.core.fusion import fusing
from minicnn.core.op import Op, observe
from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor, watching
from minicnn.errors import OptionError
from minicnn.typing import Array, Attrs

__all__ = ["Plan", "Slot", "Step", "signature", "slots", "trace"]


@dataclass(frozen=True)
class Slot:
    """An operand that is the input, number 0, or the result of a step."""

    number: int


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes
    ----------
    op : Op
    operands : tuple
        A :class:`Slot`, a constant (an array, a number or None), or a list of such.
    attrs : dict
    result : Slot
    """

    op: Op
    operands: tuple[Any, ...]
    attrs: Attrs
    result: Slot


@dataclass(frozen=True)
class Plan:
    """Steps in their order.

    Attributes
    ----------
    steps : list of Step
    output : Slot
        What the function returned.
    values : list of array
        What each slot held in the traced call.
    """

    steps: list[Step]
    output: Slot
    values: list[Array]


def signature(of: Any) -> Any:
    """A plan, or a part of one, as it is now, to be compared: its steps, constants to the last bit.

    Two calls of a function whose plans have the same signature compute alike: with no random numbers, and
    with none that Python took from the input. What the steps computed does not count.
    """
    if isinstance(of, Plan):
        return signature(of.steps), of.output
    if isinstance(of, Step):
        return of.op.name, signature(of.operands), signature(of.attrs), of.result
    if isinstance(of, np.ndarray):
        return of.dtype.str, of.shape, hashlib.blake2b(of.tobytes()).digest()
    if isinstance(of, dict):
        return [(name, signature(value)) for name, value in of.items()]
    if isinstance(of, (list, tuple)):
        return type(of), [signature(item) for item in of]
    return type(of), repr(of)  # NaN is NaN, and True is not 1


def slots(operands: Any) -> set[Slot]:
    """The slots among operands."""
    found: set[Slot] = set()
    for operand in operands:
        if isinstance(operand, Slot):
            found.add(operand)
        elif isinstance(operand, list):
            found |= slots(operand)
    return found


def trace(function: Callable[[Tensor], Tensor], x: Array) -> Plan:
    """The plan of ``function(Tensor(x))``, without gradients.

    Raises
    ------
    OptionError
        If what the function returns was not computed from its input by operations, or the function looks
        at the numbers of what was, or changes it in place: a plan would not show what depends on that.
    """
    steps: list[Step] = []
    values = [x]
    known = {id(x): Slot(0)}  # no value is freed meanwhile, so that ids stay unique
    constants: list[Any] = []

    def operand_of(value: Any) -> Any:
        if isinstance(value, list):
            return [operand_of(item) for item in value]
        return known.get(id(value), value)

    def note(op: Op, arrays: list[Any], attrs: Attrs, y: Array) -> None:
        operands = tuple(operand_of(array) for array in arrays)
        if not slots(operands):
            constants.append(y)  # computed once, here
        elif id(y) not in known:  # else an operand that was passed on as it is
            known[id(y)] = Slot(len(values))
            values.append(y)
            steps.append(Step(op, operands, attrs, known[id(y)]))

    def refuse(what: str, array: Array) -> None:
        if id(array) in known:
            raise OptionError(
                expected="a function that only calls operations on its tensors", got=f"one that {what}"
            )

    with no_grad(), observe(note, fused=True), fusing(), _noticing(refuse):
        result = function(Tensor.wrap(x))
        output = known.get(id(result.array)) if isinstance(result, Tensor) else None
    if output is None:
        raise OptionError(
            expected="a result that is one tensor, computed from the input by minicnn's operations",
            got=type(result).__name__,
            hint="compute with tensors throughout",
        )
    return Plan(_needed(steps, output), output, values)


@contextmanager
def _noticing(refuse: Callable[[str, Array], None]) -> Iterator[None]:
    """Tell of tensors whose numbers Python looks at, and of those that change in place, in this thread."""
    token = watching.set((*watching.get(), refuse))
    _NoticedArray.count(1)
    try:
        yield
    finally:
        _NoticedArray.count(-1)
        watching.reset(token)


class _NoticedArray:
    """``Tensor.array`` while something is traced: it tells of reads by code that is not minicnn's own.

    At all other times the array is a plain attribute, which is faster than any property.
    """

    _lock = threading.Lock()
    _traces = 0  # in all threads

    @classmethod
    def count(cls, more: int) -> None:
        with cls._lock:
            cls._traces += more
            if cls._traces == more == 1:
                Tensor.array = cls()
            elif cls._traces == 0:
                del Tensor.array

    def __get__(self, tensor: Tensor | None, owner: type) -> Array:
        if tensor is None:
            raise AttributeError("array")
        array = tensor.__dict__["array"]
        notices = watching.get()
        if notices and not _called_by_minicnn():
            for notice in notices:
                notice("looks at their numbers", array)
        return array

    def __set__(self, tensor: Tensor, array: Array) -> None:
        tensor.__dict__["array"] = array


def _called_by_minicnn() -> bool:
    """Whether its own code reads; what waits is computed for whoever reads it."""
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__") == fusing.__module__ and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_globals.get("__name__", "").startswith("minicnn.")


def _needed(steps: list[Step], output: Slot) -> list[Step]:
    """The steps that the output depends on."""
    needed = {output}
    kept = []
    for step in reversed(steps):
        if step.result in needed:
            needed |= slots(step.operands)
            kept.append(step)
    return kept[::-1]
