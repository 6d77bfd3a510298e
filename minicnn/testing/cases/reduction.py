"""Rows of the reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import DTypeError, ShapeError
from minicnn.ops import extremes, reduction
from minicnn.oracles import reduction as oracles
from minicnn.testing.spec import LENGTHS, Invalid, OpCase, Sample

__all__ = ["CASES"]

# Shape, dim, keepdim: all, first, last, middle, several that are not neighbours, size 1, 0-dimensional.
OVER = (
    ((7,), (0,), False),
    ((3, 4), (0, 1), True),
    ((3, 4), (0,), False),
    ((2, 3, 4), (1,), True),
    ((2, 3, 2), (0,), False),
    ((2, 3, 2, 2), (0, 2, 3), False),
    ((3, 1), (1,), False),
)
POINT = ((), (), False)
NOTHING_LEFT = ((0, 3), (1,), False)  # an empty result
NOTHING_IN = ((0, 3), (0,), True)  # nothing to reduce


def over(*extra: Any, whole: bool = False, **attrs: Any) -> Any:
    """Normal numbers (or small whole ones, so that equal ones occur) in every shape."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return np.asarray(rng.integers(0, 3, shape) * 1.0 if whole else rng.standard_normal(shape))

    def samples(rng: np.random.Generator) -> list[Sample]:
        return [
            Sample((draw(rng, shape),), {"dim": dim, "keepdim": keepdim, **attrs})
            for shape, dim, keepdim in (*OVER, *extra)
        ]

    return samples


def reduced_tails(rng: np.random.Generator) -> list[Sample]:
    """Lengths around multiples of 4, 8 and 16, inside and outside, and beyond a block of 128."""
    sizes = [
        *(((n,), (0,)) for n in (*LENGTHS, 127, 128, 129, 300)),
        ((3, 17), (1,)),
        ((17, 3), (0,)),
        ((2, 5, 9), (0, 2)),
    ]
    return [Sample((rng.standard_normal(shape),), {"dim": dim}) for shape, dim in sizes]


def spread(rng: np.random.Generator) -> list[Sample]:
    """For var and std: more than one number each, both corrections; then a mean far above the spread."""
    found = [
        Sample((rng.standard_normal(shape),), {"dim": dim, "keepdim": keepdim, "correction": correction})
        for (shape, dim, keepdim), correction in zip(OVER[:6], (1, 0, 0.5, 1, 0, 0), strict=True)
    ]
    return [*found, Sample((1000 + rng.standard_normal((3, 9)),), {"dim": (1,)})]


def over_spread(x: np.ndarray, *, dim: tuple[int, ...], **attrs: Any) -> float:
    """x / σ: of that size is what x - mean, divided by σ in backward, is rounded from."""
    spread = x.std(dim).min(initial=np.inf)
    return float(np.abs(x).max(initial=0.0) / spread) if spread else 0.0


def norms(rng: np.random.Generator) -> list[Sample]:
    """The Euclidean norm everywhere, the other orders in turn."""
    euclidean = over(POINT, NOTHING_LEFT, NOTHING_IN)(rng)
    others = [over(p=p)(rng)[2:4] for p in (0.0, 0.5, 1.0, 1.5, 3.0)]
    return [*euclidean, *(sample for samples in others for sample in samples)]


NO_FLOAT = (Invalid((np.arange(3),), {"dim": (0,)}, DTypeError, r"floating point.*int64.*\.float\(\)"),)
EMPTY = (Invalid((np.zeros((0, 2)),), {"dim": (0,)}, ShapeError, r"to choose from, got shape \(0, 2\)"),)
FIRST = "where equal, the first in row-major order"

CASES = [
    OpCase(
        "sum",
        reduction.sum_,
        over(POINT, NOTHING_LEFT, NOTHING_IN),
        oracles.sum_,
        linear=(0,),
        exact=True,
        tails=reduced_tails,
    ),
    OpCase(
        "mean",
        reduction.mean,
        over(POINT, NOTHING_LEFT),
        oracles.mean,
        invalid=NO_FLOAT,
        linear=(0,),
        tails=reduced_tails,
    ),
    OpCase("var", reduction.var, spread, oracles.var, invalid=NO_FLOAT),
    OpCase(
        "std",
        reduction.std,
        spread,
        oracles.std,
        inner_slope=over_spread,
        invalid=NO_FLOAT,
        kinks="where all are equal, derivative 0",
    ),
    OpCase(
        "norm",
        reduction.norm,
        norms,
        oracles.norm,
        invalid=NO_FLOAT,
        kinks="where x = 0 for p ≤ 1, and where y = 0: derivative 0",
    ),
    OpCase(
        "amax",
        extremes.amax,
        over(POINT),
        oracles.amax,
        invalid=EMPTY,
        kinks=FIRST,
        exact=True,
        tails=reduced_tails,
    ),
    OpCase(
        "amin",
        extremes.amin,
        over(POINT),
        oracles.amin,
        invalid=EMPTY,
        kinks=FIRST,
        exact=True,
        tails=reduced_tails,
    ),
    OpCase(
        "argmax",
        extremes.argmax,
        over(POINT, whole=True),
        oracles.argmax,
        invalid=EMPTY,
        differentiable=False,
    ),
    OpCase(
        "argmin",
        extremes.argmin,
        over(POINT, whole=True),
        oracles.argmin,
        invalid=EMPTY,
        differentiable=False,
    ),
    OpCase("all", reduction.all_, over(NOTHING_IN, whole=True), oracles.all_, differentiable=False),
    OpCase("any", reduction.any_, over(NOTHING_IN, whole=True), oracles.any_, differentiable=False),
]
