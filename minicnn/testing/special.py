"""NaN, infinities, subnormal and the largest numbers: kernels make of them what the reference makes.

One element of one operand, or of one incoming gradient, is replaced at a time. Results and gradients must
then be NaN where the reference's are, infinite where they are, with that sign, and elsewhere within the
usual bounds. Where the largest number overflows in float32 only, the reference's float64 is right, too; rows
that say so (``OpCase.overflow``) may overflow with it in any way. Zeros must have the reference's sign,
except where numbers are added up (``OpCase.sums``).

Convolutions may sum zeros that stand for no pixel, or leave them out; NaN and infinity times zero is NaN. In
rows that say so (``OpCase.padded``) a NaN in the weights, or on its way to their gradient, may therefore
reach numbers that do not depend on it, but only of an image and channel, or of a kernel, that it belongs to;
and a kernel may decline such weights.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.core import random
from minicnn.core.dispatch import use_backend
from minicnn.testing.judge import Truth, in_float64, incoming, integers
from minicnn.testing.tolerance import differing, unit
from minicnn.testing.trial import Trial

__all__ = ["VALUES", "Place", "may_decline", "operands_of", "places", "special"]

SUBNORMAL = "a subnormal number"
LARGEST = float(np.finfo(np.float32).max)
VALUES = {
    "NaN": np.nan,
    "+inf": np.inf,
    "-inf": -np.inf,
    "-0": -0.0,
    SUBNORMAL: 2.0**-130,
    "the largest number": LARGEST,
}


@dataclass(frozen=True)
class Place:
    """One element of an operand or of an incoming gradient, and the special value to put there."""

    array: int  # of the operands, then the gradients
    operand: str  # in words
    at: tuple[int, ...]
    name: str

    @property
    def value(self) -> float:
        return VALUES[self.name]

    def __str__(self) -> str:
        return f"{self.name} in {self.operand} at {self.at}"


def places(trials: Sequence[Trial]) -> Iterator[tuple[Trial, Place]]:
    """Where special values are put in the calls of a row: each of them in each operand, and two or more of
    them in each operand of each call.
    """
    rng = random.new_generator(0)
    having: dict[str, list[tuple[Trial, int]]] = {}
    for trial in trials:
        for operand, i in operands_of(trial).items():
            having.setdefault(operand, []).append((trial, i))
    names = itertools.cycle(VALUES)
    for operand, calls in having.items():
        for trial, i in calls:
            shape = calls_of(trial, whole=trial.case.exact).arrays[i].shape
            for name in itertools.islice(names, max(2, -(-len(VALUES) // len(calls)))):
                yield trial, Place(i, operand, tuple(int(rng.integers(n)) for n in shape), name)


def operands_of(trial: Trial) -> dict[str, int]:
    """What can be replaced, by its name: floating point operands and incoming gradients with elements."""
    calls = calls_of(trial, whole=trial.case.exact)
    floating = (i for i, a in enumerate(calls.arrays) if isinstance(a, np.ndarray) and a.dtype.kind == "f")
    return {calls.name_of(i): i for i in floating if calls.arrays[i].size}


def special(trial: Trial, backend: str, place: Place) -> Iterator[str]:
    """A sentence for each way in which a backend does not make of a special value what the reference makes.

    The backend is taken as it is: with one overlay only, say.
    """
    # What cancels to 0 in one order of additions is a subnormal number in another.
    sums = place.name == SUBNORMAL and len(trial.floating) > 1
    calls = calls_of(trial, whole=trial.case.exact and not sums)
    yield from (f"{place}: {text}" for text in calls.differences(place, backend))


def may_decline(trial: Trial, place: Place) -> bool:
    """Whether a kernel may decline a special value: weights of a convolution that would spread NaN."""
    return trial.case.padded == place.array and not np.isfinite(place.value)


@functools.lru_cache(maxsize=1000)
def calls_of(trial: Trial, *, whole: bool) -> Calls:
    """The calls of a trial, the same for each kernel: so the reference computes them once."""
    return Calls(trial, whole=whole)


Found = dict[str, np.ndarray]  # results and gradients by name


class Calls:
    """A call in float32, in which single elements are replaced.

    If ``whole`` it is one of small integers, whose sums do not round. Those of one operand have zeros and
    ties among them; factors are not 0, which would hide what they meet.
    """

    def __init__(self, trial: Trial, *, whole: bool) -> None:
        if whole:
            trial = integers(trial)
        if whole and len(trial.floating) > 1:
            inputs = enumerate(trial.sample.inputs)
            trial = trial.on([np.where(x == 0, 1.0, x) if i in trial.floating else x for i, x in inputs])
        self.trial = trial
        inputs = enumerate(trial.sample.inputs)
        operands = [np.array(x, np.float32, order="C") if i in trial.floating else x for i, x in inputs]
        with use_backend("numpy"):
            self.arrays = [*operands, *incoming(trial, operands, whole=whole)]
        self.reference: dict[tuple[Place, Any], Found] = {}  # what it gave
        self.truths: dict[Place, Truth] = {}

    def name_of(self, i: int) -> str:
        count = len(self.trial.sample.inputs)
        return f"operand {i}" if i < count else f"the gradient of result {i - count}"

    def arrays_with(
        self, i: int, at: tuple[int, ...], value: float, dtype: Any
    ) -> tuple[list[Any], list[Any]]:
        """Operands and incoming gradients with an element replaced."""
        arrays = list(self.arrays)
        arrays[i] = arrays[i].copy()
        arrays[i][at] = value
        arrays = [in_float64(a) if dtype == np.float64 else a for a in arrays]
        count = len(self.trial.sample.inputs)
        return arrays[:count], arrays[count:]

    def numbers(
        self, i: int, at: tuple[int, ...], value: float, backend: str, dtype: Any = np.float32
    ) -> Found:
        operands, gys = self.arrays_with(i, at, value, dtype)
        with use_backend(backend):
            operands, gys = (
                [a if a is None or not hasattr(a, "dtype") else self.trial.array(a, a.dtype) for a in arrays]
                for arrays in (operands, gys)
            )
            results, gradients = self.trial.numbers(operands, gys)
        named = {f"result {i}": y for i, y in enumerate(results)}
        return named | {f"gradient of operand {i}": g for i, g in gradients.items()}

    def right(self, place: Place, dtype: Any = np.float32) -> Found:
        """What the reference gives."""
        if (place, dtype) not in self.reference:
            found = self.numbers(place.array, place.at, place.value, "numpy", dtype)
            self.reference[place, dtype] = found
        return self.reference[place, dtype]

    def differences(self, place: Place, backend: str) -> Iterator[str]:
        found, right = self.numbers(place.array, place.at, place.value, backend), self.right(place)
        wrong = {name: self.wrong(name, a, right[name], closely(right[name])) for name, a in found.items()}
        if not any(mask.any() for mask in wrong.values()):
            return
        exact = self.right(place, np.float64)
        for name, a in found.items():
            if not wrong[name].any():
                continue
            bound = self.allowed(place, name)
            mask = (
                wrong[name]
                & self.wrong(name, a, right[name], bound)
                & self.wrong(name, a, exact[name], bound)
            )
            if self.trial.case.overflow and place.value == LARGEST:
                mask &= np.isfinite(a)
            if mask.any() and a.ndim == 4 and self.may_spread(place, name):
                mask = mask & ~self.spread(place, name, a, right[name], bound)
                if name.startswith("result") and not mask.any():
                    return  # of other results there are other gradients
            if mask.any():
                worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))
                yield (
                    f"{name}: {int(mask.sum())} of {mask.size} differ; at {worst} {a[worst]!r}, "
                    f"the reference gives {right[name][worst]!r}"
                )

    def wrong(self, name: str, a: np.ndarray, right: np.ndarray, bound: Any) -> np.ndarray:
        """Where numbers differ, or zeros in a sign that is not free."""
        mask = differing(a, right, bound)[0]
        if a.dtype.kind != "f" or name.startswith(tuple(self.trial.case.sums)):
            return mask
        return mask | ((a == 0) & (right == 0) & (np.signbit(a) != np.signbit(right)))

    def allowed(self, place: Place, name: str) -> Any:
        """The bound of two roundings: of a NaN as of the number it replaces, of an infinity as of 1000."""
        if place not in self.truths:
            value = place.value
            if np.isinf(value):
                value = float(np.copysign(1e3, value))
            elif np.isnan(value):
                value = float(self.arrays[place.array][place.at])
            operands, gys = self.arrays_with(place.array, place.at, value, np.float64)
            self.truths[place] = Truth(self.trial.on(operands), gys, np.float32, exact=False)
        truth, number = self.truths[place], int(name.rpartition(" ")[2])
        if name.startswith("gradient"):
            return 2 * truth.of_gradients.get(number, 0.0)
        return 0.0 if truth.of_results is None else 2 * truth.of_results[number]

    def may_spread(self, place: Place, name: str) -> bool:
        """Whether NaN may come from zeros that stand for no pixel: of the weights, or to them."""
        gradient = name == f"gradient of operand {self.trial.case.padded}"
        return may_decline(self.trial, place) or gradient and not np.isfinite(place.value)

    def spread(
        self, place: Place, name: str, a: np.ndarray, right: np.ndarray, allowed: np.ndarray
    ) -> np.ndarray:
        """Where zeros that stand for no pixel explain the difference.

        A result is as without the replaced element, on which it does not depend; or it is NaN though the
        reference's is not, in an image and channel, or a kernel, which what surrounds this element reaches.
        """
        i, at = place.array, place.at
        zero, one = (self.numbers(i, at, other, "numpy")[name] for other in (0.0, 1.0))
        without = (zero == one) & ~differing(a, zero, allowed)[0]
        whole = self.numbers(i, at[:2], place.value, "numpy")[name]
        met = ~np.isfinite(whole).all((-1, -2), keepdims=True)
        return without | (np.isnan(a) & np.isfinite(right) & met)


def closely(right: np.ndarray) -> np.ndarray | float:
    """What is below any bound of two roundings, without a Jacobian."""
    if right.dtype.kind != "f":
        return 0.0
    with np.errstate(all="ignore"):
        return np.nan_to_num(4 * unit(np.float32) * np.abs(right.astype(np.float64)))
