"""The power of gradient checks, measured: which rule finds which of the wrong backward passes.

``python -m minicnn.testing.power`` prints the table of the documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.core.flat import FlatFunction
from minicnn.core.gradcheck import gradcheck
from minicnn.core.op import ops
from minicnn.errors import GradError
from minicnn.testing.faults import CATALOGUE

__all__ = ["RULES", "table", "verdict"]

Rule = Callable[..., bool]


def ours(function: Callable[..., Any], inputs: list[Any], attrs: dict[str, Any]) -> bool:
    """Whether minicnn's check objects."""
    return not gradcheck(function, inputs, attrs=attrs, raise_exception=False)


def fixed_step(
    step: float, absolute: float, relative: float, directions: Callable[[int], np.ndarray]
) -> Rule:
    """A rule with 2-point differences of a fixed step, along the rows of ``directions(p)``."""

    def objects(function: Callable[..., Any], inputs: list[Any], attrs: dict[str, Any]) -> bool:
        f = FlatFunction(function, inputs, attrs, None, np.float64)
        x = f.start
        u = np.random.default_rng(3).normal(size=(1, f.value(x).size))
        analytic = f.gradients(x, u)[0]
        for d in directions(x.size):
            numeric = u[0] @ (f.value(x + step * d) - f.value(x - step * d)) / (2 * step)
            if not abs(numeric - analytic @ d) <= absolute + relative * abs(numeric):
                return True
        return False

    return objects


def one_element(size: int) -> np.ndarray:
    return np.eye(size)[np.random.default_rng(5).integers(size)][None]


def one_direction(size: int) -> np.ndarray:
    d = np.random.default_rng(5).normal(size=(1, size))
    return d / np.linalg.norm(d)


# The others' are the rules of PyTorch, of JAX, and of a teaching framework, by their defaults.
RULES: dict[str, Rule] = {
    "minicnn": ours,
    "all elements, step 1e-6, 1e-5 + 0.1 %": fixed_step(1e-6, 1e-5, 1e-3, np.eye),
    "one direction, step 1e-4, 1e-5 + 0.001 %": fixed_step(1e-4, 1e-5, 1e-5, one_direction),
    "one element, step 1e-6, 1e-2 + 1 %": fixed_step(1e-6, 1e-2, 1e-2, one_element),
}


def verdict(name: str, rule: str) -> str:
    """What a rule makes of an entry of the catalogue.

    Returns
    -------
    str
        "caught", "missed", or "false alarm" if it objects to the right backward as well.
    """
    fault = CATALOGUE[name]
    operation, objects = ops[fault.operation], RULES[rule]
    if objects(operation, fault.inputs(), fault.attrs):
        return "false alarm"
    kernel = operation.backward_kernel
    assert kernel is not None
    right = kernel.reference

    def wrong(xp: Any, gy: Any, saved: Any, needs: tuple[bool, ...], **attrs: Any) -> tuple[Any, ...]:
        return fault.wrong(right, gy, saved, needs, **attrs)

    kernel.reference = wrong
    try:
        return "caught" if objects(operation, fault.inputs(), fault.attrs) else "missed"
    except GradError:
        return "caught"
    finally:
        kernel.reference = right


def table() -> str:
    """All verdicts, as a table in Markdown with the sums at its end."""
    verdicts = {name: [verdict(name, rule) for rule in RULES] for name in CATALOGUE}
    lines = [["wrong backward", *RULES], ["---"] * (len(RULES) + 1)]
    lines += [[name, *found] for name, found in verdicts.items()]
    sums = [sum(word == "caught" for word in column) for column in zip(*verdicts.values(), strict=True)]
    lines.append([f"caught of {len(CATALOGUE)}", *map(str, sums)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    print(table())
