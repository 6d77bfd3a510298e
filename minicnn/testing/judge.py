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

__all__ = ["Truth", "incoming", "integers", "judged"]


class Truth:
    """What is right for some numbers in float64, and how far rounding may lead; found out when asked for.

    Parameters
    ----------
    trial : Trial
        Its operands are the numbers.
    gys : list
        The incoming gradients.
    dtype : dtype
        Of what is judged: it decides what rounding is allowed.
    exact : bool
        Allow none.
    """

    def __init__(self, trial: Trial, gys: list[Any], dtype: Any, exact: bool) -> None:
        self.trial, self.gys, self.dtype, self.exact = trial, gys, dtype, exact

    @functools.cached_property
    def results(self) -> list[np.ndarray]:
        """The oracle's."""
        with use_backend("numpy"):
            return self.trial.expected()

    @functools.cached_property
    def gradients(self) -> dict[int, np.ndarray]:
        """The reference's, by operand."""
        with use_backend("numpy"):
            return self.trial.numbers(list(self.trial.sample.inputs), self.gys)[1]

    @functools.cached_property
    def _bounds(self) -> Bounds | None:
        return None if self.exact else self.trial.bounds()

    @functools.cached_property
    def of_results(self) -> list[np.ndarray] | None:
        """The bound of each result; None if they must not round at all."""
        with use_backend("numpy"):
            if self._bounds is None:
                return None
            of_shape = [np.empty(0) if gy is None else gy for gy in self.gys]
            return split(roundings(self.dtype) * self._bounds.results(self.dtype), of_shape)

    @functools.cached_property
    def of_gradients(self) -> dict[int, np.ndarray]:
        """The bound of each gradient, by operand."""
        with use_backend("numpy"):
            if self._bounds is None:
                return {}
            u = np.concatenate([gy.ravel() for gy in self.gys if gy is not None])
            vector = roundings(self.dtype) * self._bounds.gradients(u, self.dtype)
            return {s.positions[0]: vector[s.where].reshape(s.shape) for s in self._bounds.f.slots}


def judged(
    trial: Trial,
    operands: list[Any],
    gys: list[Any],
    dtype: Any,
    *,
    exact: bool = False,
    truth: Callable[..., Truth] = Truth,
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
    truth : callable
        What gives a :class:`Truth`, such as one that remembers.
    """
    results, gradients = trial.numbers(operands, gys)
    numbers, numbers_gys = ([in_float64(a) for a in arrays] for arrays in (operands, gys))
    right = truth(trial.on(numbers), numbers_gys, dtype, exact)
    yield from close(results, right)
    yield from close_gradients(gradients, right)


def close(results: list[Any], right: Truth) -> Iterator[str]:
    """Where results differ by more than rounding; how much that is, is found out only if they differ."""
    rounded = [b.astype(a.dtype) for a, b in zip(results, right.results, strict=True)]
    if not any(compare(a, b, 0.0) for a, b in zip(results, rounded, strict=True)):
        return
    allowed = [np.zeros(())] * len(results)
    if right.of_results is not None:
        rounded, allowed = right.results, right.of_results
    for number, (a, b, bound) in enumerate(zip(results, rounded, allowed, strict=True)):
        message = compare(a, b, bound)
        if message:
            yield f"result {number}: {message}"


def close_gradients(gradients: dict[int, Any], right: Truth) -> Iterator[str]:
    """The same for gradients."""
    if not any(compare(a, right.gradients[i].astype(a.dtype), 0.0) for i, a in gradients.items()):
        return
    for i, a in gradients.items():
        message = compare(a, right.gradients[i], right.of_gradients.get(i, 0.0))
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
    draws = [np.asarray(rng.integers(-3, 4, x.shape) * 1.0) if i in trial.floating else x for i, x in inputs]
    return trial.on(draws)


def incoming(trial: Trial, operands: list[Any], *, whole: bool = False) -> list[Any]:
    """A random gradient for each result; of integers if ``whole``."""
    rng = random.new_generator(2)
    draw = (lambda shape: rng.integers(-3, 4, shape) * 1.0) if whole else rng.standard_normal
    results, _ = trial.call(operands)
    return [trial.array(np.asarray(draw(r.shape)), r.dtype) if r.dtype.kind == "f" else None for r in results]
