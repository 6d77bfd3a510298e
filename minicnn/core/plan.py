"""A plan: the operations that a function called, written down, so that they can be repeated without it.

:func:`trace` runs a function once and notes each operation with its operands. What depends on the input
only through operations is in the plan; everything else is a constant of it: parameters, and whatever
Python computed on its own. A backend may turn a plan into something faster (``Backend.lower``).
"""

from __future__ import annotations

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

__all__ = ["Plan", "Slot", "Step", "same", "slots", "trace"]


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


def same(a: Any, b: Any) -> bool:
    """Whether two plans, or parts of them, are the same to the last bit of their constants.

    So two calls of a function that are the same show that it computes alike in both: with no random numbers,
    and with none that Python took from the input.
    """
    if isinstance(a, Plan):
        return a.output == b.output and same(a.steps, b.steps)
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, Step):
        return a.op is b.op and a.result == b.result and same((a.operands, a.attrs), (b.operands, b.attrs))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b or a is b or repr(a) == repr(b))  # the last for NaN


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
    try:
        yield
    finally:
        watching.reset(token)


def _needed(steps: list[Step], output: Slot) -> list[Step]:
    """The steps that the output depends on."""
    needed = {output}
    kept = []
    for step in reversed(steps):
        if step.result in needed:
            needed |= slots(step.operands)
            kept.append(step)
    return kept[::-1]
