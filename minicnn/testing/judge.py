"""One call in any dtype and layout, judged: results by the oracle, gradients by the float64 reference."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.core import random
from minicnn.core.device import move
from minicnn.core.dispatch import use_backend
from minicnn.testing.bounds import Bounds
from minicnn.testing.tolerance import compare
from minicnn.testing.trial import Trial, split

__all__ = ["incoming", "integers", "judged"]


def judged(
    trial: Trial, operands: list[Any], gys: list[Any], dtype: Any, *, exact: bool = False
) -> Iterator[str]:
    """How the results and gradients on these arrays differ from what is right for the same numbers.

    Parameters
    ----------
    trial : Trial
        Says which row; the numbers are those of ``operands``.
    operands, gys : list
        Arrays in any layout, and incoming gradients; all else as it is.
    dtype : dtype
        Of the floating point ones among them: it decides what rounding is allowed.
    exact : bool
        Allow none.
    """
    results, gradients = trial.numbers(operands, gys)
    numbers, numbers_gys = ([in_float64(a) for a in arrays] for arrays in (operands, gys))
    right = trial.on(numbers)
    with use_backend("numpy"):
        expected = right.expected()
        _, expected_gradients = right.numbers(numbers, numbers_gys)
        bounds = functools.cache((lambda: None) if exact else right.bounds)
        yield from close(results, expected, bounds, dtype)
        yield from close_gradients(gradients, expected_gradients, numbers_gys, bounds, dtype)


def close(
    results: list[Any], expected: list[Any], find_bounds: Callable[[], Bounds | None], dtype: Any
) -> Iterator[str]:
    """Where results differ by more than rounding; how much that is, is found out only if they differ."""
    rounded = [b.astype(a.dtype) for a, b in zip(results, expected, strict=True)]
    if not any(compare(a, b, 0.0) for a, b in zip(results, rounded, strict=True)):
        return
    bounds = find_bounds()
    allowed = [np.zeros(())] * len(results)
    if bounds is not None:
        rounded, allowed = expected, split(roundings(dtype) * bounds.results(dtype), results)
    for number, (a, b, bound) in enumerate(zip(results, rounded, allowed, strict=True)):
        message = compare(a, b, bound)
        if message:
            yield f"result {number}: {message}"


def close_gradients(
    gradients: dict[int, Any],
    expected: dict[int, Any],
    gys: list[Any],
    find_bounds: Callable[[], Bounds | None],
    dtype: Any,
) -> Iterator[str]:
    """The same for gradients."""
    if not any(compare(a, expected[i].astype(a.dtype), 0.0) for i, a in gradients.items()):
        return
    bounds = find_bounds()
    allowed = {}
    if bounds is not None:
        u = np.concatenate([gy.ravel() for gy in gys if gy is not None])
        vector = roundings(dtype) * bounds.gradients(u, dtype)
        allowed = {slot.positions[0]: vector[slot.where].reshape(slot.shape) for slot in bounds.f.slots}
    for i, a in gradients.items():
        message = compare(a, expected[i], allowed.get(i, 0.0))
        if message:
            yield f"gradient of operand {i}: {message}"


def roundings(dtype: Any) -> int:
    """How many of two results are rounded: in float64 what is right is as well."""
    return 1 if dtype == np.float32 else 2


def in_float64(a: Any) -> Any:
    """The same numbers in a C-contiguous array of float64 (integers as they are) on the CPU."""
    if not hasattr(a, "dtype"):
        return a
    a = move(a, "cpu")
    return np.array(a, np.float64 if a.dtype.kind == "f" else a.dtype.newbyteorder("="), order="C")


def integers(trial: Trial) -> Trial:
    """The same call on integers from -3 to 3: there are ties and zeros, and no sum of them rounds."""
    rng = random.new_generator(7)
    inputs = enumerate(trial.sample.inputs)
    return trial.on([rng.integers(-3, 4, x.shape) * 1.0 if i in trial.floating else x for i, x in inputs])


def incoming(trial: Trial, operands: list[Any], *, whole: bool = False) -> list[Any]:
    """A random gradient for each result; of integers if ``whole``."""
    rng = random.new_generator(2)
    draw = (lambda shape: rng.integers(-3, 4, shape) * 1.0) if whole else rng.standard_normal
    results, _ = trial.call(operands)
    return [trial.array(np.asarray(draw(r.shape)), r.dtype) if r.dtype.kind == "f" else None for r in results]
