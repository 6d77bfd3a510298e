"""NaN and infinities: they reach the results they must reach, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.core import random
from minicnn.testing.tolerance import compare
from minicnn.testing.trial import Trial

__all__ = ["nonfinite"]

KINDS = {"NaN": np.nan, "+inf": np.inf, "-inf": -np.inf}


def nonfinite(trial: Trial) -> Iterator[str]:
    """NaN, +inf or -inf in one element of an operand gives NaN, +inf and -inf where the oracle has them.

    And a NaN in an incoming gradient reaches every operand element that has a slope there, and none
    that its result does not depend on.
    """
    with np.errstate(all="ignore"):
        yield from in_operands(trial)
        if trial.floats():
            yield from in_gradient(trial)


def in_operands(trial: Trial) -> Iterator[str]:
    """The set of positions of each kind equals the oracle's."""
    rng = random.new_generator(4)
    for position in trial.floating:
        x = trial.sample.inputs[position]
        if not x.size or position in trial.case.nonfinite:
            continue
        at = tuple(int(rng.integers(n)) for n in x.shape)
        for name, value in KINDS.items():
            odd = trial.on(replaced(trial.sample.inputs, position, at, value))
            results, _ = odd.call(odd.operands(np.float64))
            for result, right in zip(results, odd.expected(), strict=True):
                message = compare(kinds(result.cpu_array()), kinds(right.astype(result.dtype)), 0.0)
                if message:
                    yield f"{name} in operand {position} at {at}: kinds {message} (1 NaN, 2 +inf, 3 -inf)"


def replaced(inputs: tuple[Any, ...], position: int, at: tuple[int, ...], value: float) -> list[Any]:
    """The operands with one element replaced."""
    changed = list(inputs)
    changed[position] = inputs[position].copy()
    changed[position][at] = value
    return changed


def kinds(array: np.ndarray) -> np.ndarray:
    """0 where finite, 1 where NaN, 2 where +inf, 3 where -inf."""
    if array.dtype.kind != "f":
        return np.asarray(array)
    return np.isnan(array) + 2 * np.isposinf(array) + 3 * np.isneginf(array)


def in_gradient(trial: Trial) -> Iterator[str]:
    """A NaN for one result reaches what has a slope to it, and nothing that does not act upon it."""
    bounds = trial.bounds()
    if bounds is None or not bounds.y.size:
        return
    rng = random.new_generator(5)
    f, i = bounds.f, int(rng.integers(bounds.y.size))
    u = np.ones(bounds.y.size)
    u[i] = np.nan
    found = np.isnan(f.gradients(f.start, u[None])[0])
    slope = bounds.jacobian[i] != 0
    for j in np.flatnonzero(found != slope):
        if slope[j]:
            yield f"a NaN in the gradient of result {i} does not reach element {j} of the operands"
        elif not acts(f, int(j), i):
            yield f"a NaN in the gradient of result {i} leaks to element {j}, on which it does not depend"


def acts(f: Any, j: int, i: int) -> bool:
    """Whether result ``i`` depends on operand element ``j``: whether a NaN there reaches it."""
    x = f.start.copy()
    x[j] = np.nan
    return bool(np.isnan(f.value(x)[i]))
