"""The gradient check: analytic gradients against difference quotients, with known power.

All checked inputs together are one vector, all floating point results another, so the function is
f: R^p -> R^m. Backward gives uᵀJ for a cotangent u; a difference along d gives J·d; what is compared
is uᵀJ·d, for every unit vector d or for random ones. What the check can miss is stated with
:func:`gradcheck`, and measured in ``tests/core/test_gradcheck_power.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minicnn.core.flat import FlatFunction, Slot
from minicnn.core.random import new_generator
from minicnn.core.report import ArgumentReport, GradReport, Outcome
from minicnn.errors import GradError

__all__ = ["GradReport", "adjoint_check", "gradcheck"]

RTOL = 1e-6  # of the analytic value
ATOL = 1e-8  # of the largest gradient of the argument
ROUNDING = 64 * 2.0**-52  # of the results that moved, over the step: what evaluating f in float64 blurs
STEP = 1e-3  # of the root mean square of the argument
SHRINK = (1.0, 0.1, 0.01, 0.001)  # steps to try when the first one disagrees
TRUST = 0.1  # a shorter step may clear a mismatch only if its rounding is below this share of it
ALL_ELEMENTS = 200  # up to this size every element is checked
PATIENCE = 10  # after so many wrong elements of an input, others get no second look
DIRECTIONS = 8  # beyond it: this many random unit directions
EXACT_UNIT = 2520.0  # divisible by 1 to 10, so that averages of integers stay integers


def gradcheck(
    function: Callable[..., Any],
    inputs: Any,
    *,
    attrs: dict[str, Any] | None = None,
    wrt: Sequence[int] | None = None,
    seed: int = 0,
    raise_exception: bool = True,
) -> GradReport:
    """Compare a function's backward with 4-point central differences in float64.

        num = (8·(F(h) - F(-h)) - (F(2h) - F(-2h))) / 12h,   F(t) = u·f(x + t·d),   h = 1e-3 · rms(x)

    A comparison passes if |num - ana| ≤ 1e-6·|ana| + 1e-8·max|gradient of this input| + rounding, where
    rounding = 64·eps·Σ|u·y|/h over the results y that moved is what evaluating in float64 blurs.

    Parameters
    ----------
    function : callable
        ``function(*inputs, **attrs)`` on tensors; gives a tensor or a tuple of tensors. It may draw
        random numbers from minicnn's generator: every call then sees the same ones.
    inputs : tensor, array, or sequence of them, numbers and None
        Floating point ones are converted to float64 copies. The same object at two positions is one
        input used twice.
    attrs : dict, optional
        Keyword arguments of ``function``.
    wrt : sequence of int, optional
        Positions to check; default: all floating point tensors and arrays.
    seed : int
        Chooses the cotangents and directions.
    raise_exception : bool
        Raise if the check fails, rather than only report it.

    Returns
    -------
    GradReport
        True if all passed. Says for each input how much was checked, the worst element with its
        index, and the kinks that were met.

    Raises
    ------
    GradError
        If the check fails (unless ``raise_exception`` is False), or there is nothing to check.

    Notes
    -----
    *Coverage.* Inputs of up to 200 elements are checked element by element, larger ones along 8
    random unit directions; then, if a direction fails, bisection finds the worst element. Two random
    cotangents, no entry near 0, stand for all results. Shifting an input as a whole, and all inputs
    together, is checked too: at a tie, that tells a gradient given once from one given to all or none.

    *Kinks.* Where the comparison fails, shorter steps are tried: if one agrees, a kink was near and
    was stepped around. If the one-sided derivatives differ and the gap does not shrink with the step,
    the point lies on a kink: the gradient has to lie between the one-sided derivatives.

    *Beyond numbers.* The gradients' shape and dtype are checked, and that neither inputs nor incoming
    gradients are changed.

    *What it can miss.* An error below the tolerance; a wrong choice among valid ones on a kink; in large
    inputs, an error in one element that is below about 1e-6·√n of the typical one.

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.tensor([[1.0, -2.0, 3.0]])
    >>> print(gradcheck(lambda x: (x * x).sum(), x))
    passed: 3 of 3 elements
      x (1, 3): 3 of 3 elements and 1 direction
    """
    f = FlatFunction(function, inputs, attrs or {}, wrt, np.float64)
    with np.errstate(all="ignore"):  # infinite gradients are found below, not warned of
        arguments = tuple(_Differences(f, seed).arguments())
    report = GradReport(f.name, arguments, tuple(f.problems))
    if raise_exception and not report.ok:
        raise GradError(report.summary(), op=f.name)
    return report


class Side(NamedTuple):
    """One-sided derivatives J·d of each result, at one step."""

    right: np.ndarray
    left: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        return self.right - self.left


class _Differences:
    """Difference quotients of one function at one point, and their comparison with its backward."""

    def __init__(self, f: FlatFunction, seed: int) -> None:
        self.f = f
        self.x = f.start
        self.y = f.value(self.x)
        f.require_pure(self.y)
        rng = new_generator(seed)
        self.rng = rng
        shape = (2, self.y.size)
        self.u = rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
        self.gradients = f.gradients(self.x, self.u)  # (2, p)

    def arguments(self) -> Iterator[ArgumentReport]:
        """The report of each input, and of all together; nothing if the result is not finite."""
        if not np.isfinite(self.y).all():
            return
        for slot in self.f.slots:
            yield self.argument(slot)
        if len(self.f.slots) > 1 and self.x.size:
            everything = slice(0, self.x.size)
            h = min(self.step(slot.where) for slot in self.f.slots)
            outcome = self.along(np.ones_like(self.x), everything, h)
            yield ArgumentReport.of("all inputs together", None, [], [outcome])

    def argument(self, slot: Slot) -> ArgumentReport:
        h = self.step(slot.where)
        elements: list[Outcome] = []
        size = slot.where.stop - slot.where.start
        directions = [self.along(self.indicator(slot.where), slot.where, h)] if size else []
        if size <= ALL_ELEMENTS:
            for j in range(slot.where.start, slot.where.stop):
                patient = sum(not o.ok for o in elements) < PATIENCE
                elements.append(self.element(j, slot, h, patient))
        else:
            directions += [self.random_direction(slot, h) for _ in range(DIRECTIONS)]
        return ArgumentReport.of(slot.name, slot.shape, elements, directions)

    def indicator(self, where: slice) -> np.ndarray:
        d = np.zeros_like(self.x)
        d[where] = 1.0
        return d

    def element(self, j: int, slot: Slot, h: float, patient: bool = True) -> Outcome:
        outcome = self.along(self.indicator(slice(j, j + 1)), slot.where, h, patient)
        return replace(outcome, index=slot.index(j))

    def random_direction(self, slot: Slot, h: float) -> Outcome:
        d = np.zeros_like(self.x)
        d[slot.where] = self.rng.standard_normal(slot.where.stop - slot.where.start)
        d /= np.linalg.norm(d)
        outcome = self.along(d, slot.where, h)
        return outcome if outcome.ok else max(outcome, self.locate(d, slot, h), key=lambda o: o.error)

    def locate(self, d: np.ndarray, slot: Slot, h: float) -> Outcome:
        """Halve the direction, follow the half that is more wrong, down to one element."""
        start, stop = slot.where.start, slot.where.stop
        while stop - start > 1:
            middle = (start + stop) // 2
            halves = [slice(start, middle), slice(middle, stop)]
            errors = [self.along(d * self.indicator(half), slot.where, h).error for half in halves]
            worse = halves[int(np.argmax(errors))]
            start, stop = worse.start, worse.stop
        return self.element(start, slot, h)

    def step(self, where: slice) -> float:
        """The first step to try: longer than 1e-3 · rms(x) only where rounding would hide everything."""
        x = self.x[where]
        rms = math.sqrt(float(np.mean(x * x))) if x.size else 0.0
        h = STEP * rms if rms > 0 else STEP
        largest = float(np.abs(self.gradients[:, where]).max(initial=0.0))
        blur = ROUNDING * float(np.abs(self.u * self.y).max(initial=0.0))
        while h < STEP and largest > 0 and blur / h > 0.1 * RTOL * largest:
            h *= 10.0
        return h

    def along(self, d: np.ndarray, where: slice, h: float, patient: bool = True) -> Outcome:
        """Compare along a direction, if patient with shorter steps and the rule for kinks if need be."""
        analytic = self.gradients @ d
        scale = np.abs(self.gradients[:, where]).max(axis=1, initial=0.0)
        outcomes: list[Outcome] = []
        off = np.zeros_like(analytic)
        for step in self.steps(d, h):
            slopes, blur = self.central(d, step)
            if outcomes and np.all(blur > TRUST * off):
                continue  # too blurred to explain what the first step found
            outcomes.append(self.compare(self.u @ slopes, analytic, scale, blur))
            if outcomes[-1].ok:
                return replace(outcomes[-1], stepped_around=len(outcomes) > 1)
            if len(outcomes) == 1:
                off = np.abs(self.u @ slopes - analytic)
            if not patient:
                return outcomes[0]
        if self.on_kink(d, h, analytic, scale):
            return replace(outcomes[0], error=0.0, on_kink=True)
        return outcomes[0]

    def steps(self, d: np.ndarray, h: float) -> Iterator[float]:
        """The step, shorter ones, and one in proportion to the smallest number that moves.

        The last is for 1/x, log x and the like close to 0.
        """
        yield from (h * shrink for shrink in SHRINK)
        moving = np.abs(self.x[d != 0])
        smallest = float(moving[moving > 0].min(initial=math.inf))
        if STEP * smallest < h * SHRINK[-1]:
            yield STEP * smallest

    def compare(
        self, numeric: np.ndarray, analytic: np.ndarray, scale: np.ndarray, blur: np.ndarray
    ) -> Outcome:
        """The worse of the two cotangents; its error in units of the tolerance."""
        tolerance = RTOL * np.abs(analytic) + ATOL * scale + blur
        difference = np.abs(numeric - analytic)
        errors = np.where(difference == 0, 0.0, difference / np.maximum(tolerance, 1e-300))
        errors = np.where(np.isfinite(errors), errors, math.inf)
        k = int(np.argmax(errors))
        return Outcome(float(numeric[k]), float(analytic[k]), float(errors[k]))

    def central(self, d: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray]:
        """J·d by the 4-point formula, and what rounding may add to u·J·d."""
        far_left, left, right, far_right = (self.f.value(self.x + t * h * d) for t in (-2, -1, 1, 2))
        slopes = (8.0 * (right - left) - (far_right - far_left)) / (12.0 * h)
        moved = (right != left) | (far_right != far_left)
        return slopes, ROUNDING / h * (np.abs(self.u) @ (np.abs(self.y) * moved))

    def sides(self, d: np.ndarray, h: float) -> Side:
        """The one-sided derivatives by the 5-point formula."""
        weights = np.array([-25.0, 48.0, -36.0, 16.0, -3.0]) / (12.0 * h)
        right, left = (
            s * (weights @ np.stack([self.f.value(self.x + s * t * h * d) for t in range(5)]))
            for s in (1.0, -1.0)
        )
        return Side(right, left)

    def on_kink(self, d: np.ndarray, h: float, analytic: np.ndarray, scale: np.ndarray) -> bool:
        """Whether the point lies on a kink, and the analytic value between the one-sided derivatives.

        The interval is that of each result, summed: u·J·d of a sum of kinks need not lie between its
        own one-sided derivatives (Clarke's generalised derivative is a sum of sets).
        """
        for wide, narrow in zip(SHRINK[1:], SHRINK[2:], strict=False):
            far, near = self.sides(d, h * wide), self.sides(d, h * narrow)
            noise = 16.0 * ROUNDING * np.abs(self.y) / (h * narrow)
            persists = (np.abs(near.gap) > noise) & (np.abs(near.gap - far.gap) <= 0.1 * np.abs(far.gap))
            if not persists.any():
                continue
            ends = np.stack([self.u * near.right, self.u * near.left])
            ends = np.where(persists, ends, ends.mean(axis=0))
            slack = RTOL * np.abs(analytic) + ATOL * scale + np.abs(self.u) @ noise
            low, high = ends.min(axis=0).sum(axis=1) - slack, ends.max(axis=0).sum(axis=1) + slack
            if bool(np.all((low <= analytic) & (analytic <= high))):
                return True
        return False


def adjoint_check(
    function: Callable[..., Any],
    inputs: Any,
    wrt: Sequence[int],
    *,
    attrs: dict[str, Any] | None = None,
    seed: int = 0,
    raise_exception: bool = True,
) -> GradReport:
    """Check the backward of a linear function exactly, in float32:  ⟨A v, u⟩ = ⟨v, Aᵀ u⟩.

    All numbers are small integers, so float32 computes them without rounding and the tolerance is
    zero: any error of an index shows. An affine function is checked as well: A v = f(v) - f(0).

    Parameters
    ----------
    function, inputs, attrs, seed, raise_exception
        As for :func:`gradcheck`; of floating point inputs only the shapes are used.
    wrt : sequence of int
        The positions in each of which, all else fixed, the function is linear or affine.

    Returns
    -------
    GradReport
        Up to 200 elements an input are checked one by one, larger inputs by 8 random vectors.

    Raises
    ------
    GradError
        As for :func:`gradcheck`.

    Notes
    -----
    The numbers are multiples of 2520, so dividing by any number up to 10 is exact too. Sums of more
    than about 1,000 products leave the integers that float32 holds.

    Examples
    --------
    >>> import minicnn
    >>> adjoint_check(lambda x: x[::2] - 1, minicnn.zeros(5), wrt=(0,)).ok
    True
    """
    rng = new_generator(seed)
    problems: list[str] = []
    arguments = []
    for position in wrt:
        f = FlatFunction(
            function, inputs, attrs or {}, (position,), np.float32, fill=lambda shape: _small(rng, shape)
        )
        arguments.append(_adjoint(f, rng))
        problems += f.problems
    report = GradReport(f.name if wrt else "", tuple(arguments), tuple(problems))
    if raise_exception and not report.ok:
        raise GradError(report.summary(), op=report.name)
    return report


def _small(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Integers from -3 to 3 without 0, so that one may divide by them."""
    return rng.integers(1, 4, shape) * rng.choice([-1.0, 1.0], shape)


def _adjoint(f: FlatFunction, rng: np.random.Generator) -> ArgumentReport:
    (slot,) = f.slots
    p = f.start.size
    at_zero = f.value(np.zeros(p))
    u = EXACT_UNIT * _small(rng, (1, at_zero.size))
    gradient = f.gradients(EXACT_UNIT * f.start, u)[0]
    if not np.array_equal(gradient, f.gradients(np.zeros(p), u)[0]):
        f.problems.append(
            f"the gradient of {slot.name} depends on {slot.name}, so the function is not linear"
        )
    every = p <= ALL_ELEMENTS
    vectors = np.eye(p) if every else _small(rng, (DIRECTIONS, p))
    outcomes = []
    for j, v in enumerate(EXACT_UNIT * vectors):
        left, right = float(u[0] @ (f.value(v) - at_zero)), float(gradient @ v)
        outcomes.append(
            Outcome(left, right, 0.0 if left == right else math.inf, slot.index(j) if every else None)
        )
    return ArgumentReport.of(slot.name, slot.shape, *((outcomes, []) if every else ([], outcomes)))
