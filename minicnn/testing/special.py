"""NaN, infinities, subnormal and the largest numbers: kernels make of them what the reference makes.

One element of one operand, or of one incoming gradient, is replaced at a time. Results and gradients must
then be NaN where the reference's are, infinite where they are, with that sign, and elsewhere within the
usual bounds. Where the largest number overflows in float32 only, the reference's float64 is right, too.

Convolutions may sum zeros that stand for no pixel, or leave them out; NaN and infinity times zero is NaN. In
rows that say so (``OpCase.padded``) a NaN in the weights, or on its way to their gradient, may therefore
reach numbers that do not depend on it, but only of an image and channel, or of a kernel, that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.core import random
from minicnn.core.dispatch import use_backend
from minicnn.testing.judge import in_float64, incoming, integers
from minicnn.testing.tolerance import differing, unit
from minicnn.testing.trial import Trial, split

__all__ = ["VALUES", "special"]

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


def special(trial: Trial, backend: str, *, turn: int, seed: int = 0) -> Iterator[str]:
    """A sentence for each special value of which a backend does not make what the reference makes.

    Parameters
    ----------
    trial : Trial
    backend : str
        As it is: with one overlay only, say.
    turn : int
        Each operand gets two of the ``VALUES``; this number says which.
    seed : int
        Chooses the elements that are replaced.
    """
    calls = Calls(trial, whole=trial.case.exact)
    # What cancels to 0 in one order of additions is a subnormal number in another.
    sums = Calls(trial, whole=False) if len(trial.floating) > 1 else calls
    rng = random.new_generator(seed)
    for i, array in enumerate(calls.arrays):
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not array.size:
            continue
        for number, (name, value) in enumerate(VALUES.items()):
            if (turn + i - number) % 3 == 0:
                at = tuple(int(rng.integers(n)) for n in array.shape)
                texts = (sums if name == SUBNORMAL else calls).differences((i, at, value), backend)
                yield from (f"{name} in {calls.name_of(i)} at {at}: {text}" for text in texts)


Place = tuple[int, tuple[int, ...], float]  # which array, where in it, and what is put there
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

    def name_of(self, i: int) -> str:
        count = len(self.trial.sample.inputs)
        return f"operand {i}" if i < count else f"the gradient of result {i - count}"

    def arrays_with(self, place: Place, dtype: Any) -> tuple[list[Any], list[Any]]:
        """Operands and incoming gradients with an element replaced."""
        i, at, value = place
        arrays = list(self.arrays)
        arrays[i] = arrays[i].copy()
        arrays[i][at] = value
        arrays = [in_float64(a) if dtype == np.float64 else a for a in arrays]
        count = len(self.trial.sample.inputs)
        return arrays[:count], arrays[count:]

    def numbers(self, place: Place, backend: str, dtype: Any = np.float32) -> Found:
        operands, gys = self.arrays_with(place, dtype)
        with use_backend(backend):
            operands, gys = (
                [a if a is None or not hasattr(a, "dtype") else self.trial.array(a, a.dtype) for a in arrays]
                for arrays in (operands, gys)
            )
            results, gradients = self.trial.numbers(operands, gys)
        named = {f"result {i}": y for i, y in enumerate(results)}
        return named | {f"gradient of operand {i}": g for i, g in gradients.items()}

    def differences(self, place: Place, backend: str) -> Iterator[str]:
        found, right = self.numbers(place, backend), self.numbers(place, "numpy")
        wrong = {name: differing(a, right[name], closely(right[name]))[0] for name, a in found.items()}
        if not any(mask.any() for mask in wrong.values()):
            return
        allowed = self.allowed(place)
        exact = self.numbers(place, "numpy", np.float64)
        for name, a in found.items():
            mask = wrong[name]
            for candidate in (right[name], exact[name]):
                mask = mask & differing(a, candidate, allowed.get(name, 0.0))[0]
            if np.isfinite(place[2]) and a.dtype.kind == "f":
                mask &= np.isfinite(a) | np.isfinite(right[name])  # which overflow comes first is free
                if self.trial.case.overflow and place[2] == LARGEST:
                    mask &= np.isfinite(a) & np.isfinite(right[name])
            if mask.any() and a.ndim == 4 and self.may_spread(place, name):
                mask = mask & ~self.spread(place, name, a, right[name], allowed[name])
                if name.startswith("result") and not mask.any():
                    return  # of other results there are other gradients
            if mask.any():
                worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))
                yield (
                    f"{name}: {int(mask.sum())} of {mask.size} differ; at {worst} {a[worst]!r}, "
                    f"the reference gives {right[name][worst]!r}"
                )

    def allowed(self, place: Place) -> Found:
        """The bounds of two roundings: of a NaN as of the number it replaces, of an infinity as of 1000."""
        i, at, value = place
        if np.isinf(value):
            value = float(np.copysign(1e3, value))
        elif np.isnan(value):
            value = float(self.arrays[i][at])
        return self.bounds(*self.arrays_with((i, at, value), np.float64))

    def bounds(self, operands: list[Any], gys: list[Any]) -> Found:
        bounds = self.trial.on(operands).bounds()
        if bounds is None:
            return {}
        results = [np.empty(0) if gy is None else gy for gy in gys]
        u = np.concatenate([gy.ravel() for gy in gys if gy is not None])
        parts = split(2 * bounds.results(np.float32), results)
        vector = 2 * bounds.gradients(u, np.float32)
        slots = {
            f"gradient of operand {s.positions[0]}": vector[s.where].reshape(s.shape) for s in bounds.f.slots
        }
        return {f"result {i}": part for i, part in enumerate(parts)} | slots

    def may_spread(self, place: Place, name: str) -> bool:
        """Whether NaN may come from zeros that stand for no pixel: of the weights, or to them."""
        weights = self.trial.case.padded
        return (
            weights is not None
            and not np.isfinite(place[2])
            and (place[0] == weights or name == f"gradient of operand {weights}")
        )

    def spread(
        self, place: Place, name: str, a: np.ndarray, right: np.ndarray, allowed: np.ndarray
    ) -> np.ndarray:
        """Where zeros that stand for no pixel explain the difference.

        A result is as without the replaced element, on which it does not depend; or it is NaN though the
        reference's is not, in an image and channel, or a kernel, which what surrounds this element reaches.
        """
        i, at, value = place
        zero, one = (self.numbers((i, at, other), "numpy")[name] for other in (0.0, 1.0))
        without = (zero == one) & ~differing(a, zero, allowed)[0]
        whole = self.numbers((i, at[:2], value), "numpy")[name]
        met = ~np.isfinite(whole).all((-1, -2), keepdims=True)
        return without | (np.isnan(a) & np.isfinite(right) & met)


def closely(right: np.ndarray) -> np.ndarray | float:
    """What is below any bound of two roundings, without a Jacobian."""
    if right.dtype.kind != "f":
        return 0.0
    with np.errstate(all="ignore"):
        return np.nan_to_num(4 * unit(np.float32) * np.abs(right.astype(np.float64)))
