"""What rounding may do to a function's results and gradients, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.core import random
from minicnn.core.flat import FlatFunction
from minicnn.testing.spec import OpCase, Sample
from minicnn.testing.tolerance import factor, unit

__all__ = ["Bounds"]

STEP = 1e-6  # of each operand element, for the slope of a gradient
DIRECTIONS = 16  # in which slopes of gradients are taken if there are more elements


class Bounds:
    """The bounds of :mod:`minicnn.testing.tolerance` for one call, from its exact Jacobian in float64.

    The Jacobian is the operation's own; that it is right is what the gradient check is for.

    Parameters
    ----------
    case : OpCase
    sample : Sample
    wrt : list of int
        The operands that have a derivative.

    Attributes
    ----------
    f : FlatFunction
        The function in float64.
    x : (p,)
        The elements of its operands, one after the other.
    y : (m,)
        The elements of its floating point results.
    """

    def __init__(self, case: OpCase, sample: Sample, wrt: list[int]) -> None:
        self.case = case
        self.f = FlatFunction(case.function, list(sample.inputs), sample.attrs, wrt, np.float64)
        self.x = self.f.start
        self.y = self.f.value(self.x)
        self.jacobian = np.abs(self.f.gradients(self.x, np.eye(self.y.size)))  # (m, p)
        self.sample = sample

    def results(self, dtype: Any) -> np.ndarray:
        """(m,): the bound of each result."""
        with np.errstate(all="ignore"):
            moved = _known(self.jacobian * np.abs(self.x)).sum(axis=1)
        sizes = np.abs(self.y) + moved + self.case.inner
        return self._bound(np.count_nonzero(self.jacobian, axis=1), sizes, dtype)

    def gradients(self, u: np.ndarray, dtype: Any) -> np.ndarray:
        """(p,): the bound of each element of the gradient for incoming gradients ``u``, (m,).

        What backward adds up is |u|·|J|. If the operation is not linear, the slopes J depend on the
        operands: as for the results, a change of each operand by one rounding adds |∂(uJ)/∂x|·|x|.
        """
        with np.errstate(all="ignore"):
            sizes = _known(np.abs(u) @ self.jacobian)
        if not set(range(len(self.f.fixed))) <= {*self.case.linear, *self.case.constant}:
            sizes += self._moved_slopes(u)
        if self.case.inner_slope is not None:
            inner = self.case.inner_slope(*self.sample.inputs, **self.sample.attrs)
            for slot in self.f.slots:
                size = inner[slot.positions[0]] if isinstance(inner, Sequence) else inner
                sizes[slot.where] += size * np.abs(u).max(initial=0.0)
        return self._bound(np.count_nonzero(self.jacobian, axis=0), sizes, dtype)

    def _moved_slopes(self, u: np.ndarray) -> np.ndarray:
        """(p,): Σ_k |∂(uJ)/∂x_k|·|x_k|, by central differences.

        Of many elements: twice the root of the sum of squares, which is how roundings of random sign
        add up; estimated along random signs.
        """
        if len(self.x) <= DIRECTIONS:
            return sum(
                (np.abs(self._slope(u, e * self.x)) for e in np.eye(len(self.x))), np.zeros_like(self.x)
            )
        rng = random.new_generator(8)
        signs = rng.choice([-1.0, 1.0], (DIRECTIONS, len(self.x)))
        return 2 * np.sqrt(np.mean([self._slope(u, s * self.x) ** 2 for s in signs], axis=0))

    def _slope(self, u: np.ndarray, d: np.ndarray) -> np.ndarray:
        """(p,): how fast the gradient for ``u`` changes along ``d``."""
        with np.errstate(all="ignore"):
            right, left = (self.f.gradients(self.x + s * STEP * d, u[None])[0] for s in (1.0, -1.0))
            return _known((right - left) / (2 * STEP))

    def _bound(self, lengths: np.ndarray, sizes: np.ndarray, dtype: Any) -> np.ndarray:
        """Numbers below the normal range are rounded to a multiple of the smallest, then multiplied."""
        smallest = float(np.finfo(dtype).smallest_subnormal) * (1.0 + np.abs(self.x).max(initial=0.0))
        return (factor(lengths) + self.case.roundings) * (unit(dtype) * sizes + smallest)


def _known(a: np.ndarray) -> np.ndarray:
    """With 0 for NaN: an infinite slope at 0, or of a result that is not finite, moves nothing."""
    return np.nan_to_num(a, nan=0.0, posinf=np.inf, neginf=-np.inf)
