"""Rows of arithmetic, comparison and choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.errors import DTypeError, ShapeError
from minicnn.ops import choice, comparison, elementwise, rounding, transcendental
from minicnn.oracles import elementwise as oracles
from minicnn.testing.spec import LENGTHS, Invalid, OpCase, Sample

__all__ = ["CASES"]

# Pairs that broadcast: none, both ways, in front, size 1, empty, 0-dimensional.
PAIRS = (
    ((2, 3), (2, 3)),
    ((2, 3), (3,)),
    ((4, 1), (1, 3)),
    ((1,), (2, 1, 2)),
    ((), (5,)),
    ((0, 3), (1, 3)),
)
SHAPES = ((), (1,), (7,), (2, 3, 2), (0, 3))

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.uniform(0.5, 3.0, shape))


def away_from_0(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape))


def pairs(left: Draw = normal, right: Draw = normal) -> Any:
    """Both operands arrays in every pair of shapes, then a number on either side."""

    def samples(rng: np.random.Generator) -> list[Sample]:
        arrays = [Sample((left(rng, a), right(rng, b))) for a, b in PAIRS]
        return [*arrays, Sample((left(rng, (3,)), 2.5)), Sample((2, right(rng, (3,))))]

    return samples


def singles(draw: Draw = normal) -> Any:
    return lambda rng: [Sample((draw(rng, shape),)) for shape in SHAPES]


def integers(rng: np.random.Generator) -> list[Sample]:
    """Small integers as floating point, so that equal pairs occur; then numbers and integers."""
    arrays = [Sample((rng.integers(-1, 2, a) * 1.0, rng.integers(-1, 2, b) * 1.0)) for a, b in PAIRS]
    return [*arrays, Sample((rng.integers(0, 3, (4,)), 1)), Sample((0.0, rng.integers(-1, 2, (4,)) * 1.0))]


def special(rng: np.random.Generator) -> list[Sample]:
    odd = np.array([0.0, -0.0, 1.0, np.nan, np.inf, -np.inf])
    return [Sample((odd,)), *(Sample((np.asarray(rng.integers(-1, 2, shape) * 1.0),)) for shape in SHAPES)]


def halves(rng: np.random.Generator) -> list[Sample]:
    drawn = [Sample((np.asarray(rng.integers(-5, 6, shape) * 0.5),)) for shape in SHAPES]
    return [*drawn, Sample((rng.integers(-3, 4, 5),))]


def powers(rng: np.random.Generator) -> list[Sample]:
    numbers = (3, 0.5, 0, 1, -2.0)
    return [
        *(Sample((positive(rng, a), normal(rng, b))) for a, b in PAIRS[1:4]),
        *(Sample((positive(rng, (3,)), number)) for number in numbers),
        Sample((np.array([-1.5, 0.0, 2.0]), 2)),  # a base of any sign
        Sample((2.0, normal(rng, (3,)))),
    ]


def choices(rng: np.random.Generator) -> list[Sample]:
    shapes = (((2, 3), (2, 3), (2, 3)), ((3,), (2, 1), (2, 3)), ((2, 3), (3,), ()), ((0,), (1,), (1,)))
    arrays = [Sample((rng.random(c) < 0.5, normal(rng, x), normal(rng, y))) for c, x, y in shapes]
    mask = np.array([True, False, True])
    return [*arrays, Sample((mask, normal(rng, (3,)), 0.0)), Sample((mask, 1.0, normal(rng, (2, 3))))]


def limits(rng: np.random.Generator) -> list[Sample]:
    return [
        *(Sample((normal(rng, shape), -0.5, 0.7)) for shape in SHAPES),
        Sample((normal(rng, (6,)), 0.1)),
        Sample((normal(rng, (6,)), None, -0.1)),
        Sample((np.array([-1.0, -0.5, 0.0, 0.7, 1.0]), -0.5, 0.7)),  # on the bounds
        Sample((normal(rng, (3, 4)), normal(rng, (4,)), normal(rng, (3, 1)))),  # some lower > upper
        Sample((normal(rng, (4,)), None, normal(rng, (2, 1)))),
        Sample((normal(rng, (2, 3)), normal(rng, ()), 0.5)),
    ]


def pair_tails(rng: np.random.Generator) -> list[Sample]:
    """Lengths around multiples of 4, 8 and 16, of both operands, of one, and a bias per channel."""
    shapes = [*(((n,), (n,)) for n in LENGTHS), ((3, 17), (17,)), ((2, 5, 3, 3), (5, 1, 1)), ((9, 1), (1, 7))]
    return [Sample((normal(rng, a), away_from_0(rng, b))) for a, b in shapes]


def mismatch(name: str) -> tuple[Invalid, ...]:
    return (
        Invalid((np.zeros((2, 3)), np.zeros((2, 4))), {}, ShapeError, rf"{name}: .*\(2, ?3\).*\(2, ?4\)"),
    )


def binary(
    name: str, op: Any, oracle: Any, draw: Any = None, linear: tuple[int, ...] = (), kinks: str = ""
) -> OpCase:
    return OpCase(
        name,
        op,
        draw or pairs(),
        oracle,
        invalid=mismatch(op.name),
        linear=linear,
        kinks=kinks,
        exact=bool(linear or kinks),
        tails=pair_tails,
        sums=("gradient",),  # of what is broadcast
    )


def plain(name: str, op: Any, oracle: Any, samples: Any) -> OpCase:
    """A row without a derivative."""
    return OpCase(name, op, samples, oracle, differentiable=False)


CASES = [
    binary("add", elementwise.add, oracles.add, linear=(0, 1)),
    binary("sub", elementwise.sub, oracles.sub, linear=(0, 1)),
    binary("mul", elementwise.mul, oracles.mul, linear=(0, 1)),
    binary("div", elementwise.div, oracles.div, pairs(normal, away_from_0)),
    OpCase(
        "pow",
        elementwise.pow_,
        powers,
        oracles.pow_,
        invalid=(
            *mismatch("pow"),
            Invalid((np.arange(3), -1), {}, DTypeError, "negative powers; use .float"),
        ),
        kinks="at base 0 with an exponent below 1: infinite slope, 0 for exponent 0",
    ),
    OpCase("neg", elementwise.neg, singles(), oracles.neg, linear=(0,), exact=True),
    OpCase("abs", elementwise.abs_, singles(), oracles.abs_, kinks="at 0, derivative 0", exact=True),
    OpCase("exp", transcendental.exp, singles(), oracles.exp),
    OpCase("log", transcendental.log, singles(positive), oracles.log, kinks="at 0, derivative inf"),
    OpCase("sqrt", transcendental.sqrt, singles(positive), oracles.sqrt, kinks="at 0, derivative inf"),
    OpCase("sin", transcendental.sin, singles(), oracles.sin),
    OpCase("cos", transcendental.cos, singles(), oracles.cos),
    binary("maximum", choice.maximum, oracles.maximum, kinks="where equal, derivative 1/2 for each"),
    binary("minimum", choice.minimum, oracles.minimum, kinks="where equal, derivative 1/2 for each"),
    OpCase(
        "where",
        choice.where,
        choices,
        oracles.where,
        invalid=(
            Invalid((np.ones(3, bool), np.zeros(2), np.zeros(3)), {}, ShapeError, "where: .*broadcast"),
            Invalid((np.ones(3), np.zeros(3), np.zeros(3)), {}, DTypeError, r"where: .*bools.*\.bool\(\)"),
        ),
        linear=(1, 2),
        exact=True,
        constant=(0,),
    ),
    OpCase(
        "clip",
        choice.clip,
        limits,
        oracles.clip,
        invalid=(
            Invalid((np.zeros((2, 3)), np.zeros((2, 4))), {}, ShapeError, r"clip: .*\(2, ?3\).*\(2, ?4\)"),
            Invalid((np.zeros(2), [0.0]), {}, DTypeError, "clip: .*numbers, got list"),
        ),
        kinks="at low and high, derivative 1",
        exact=True,
    ),
    plain("eq", comparison.eq, oracles.eq, integers),
    plain("ne", comparison.ne, oracles.ne, integers),
    plain("lt", comparison.lt, oracles.lt, integers),
    plain("le", comparison.le, oracles.le, integers),
    plain("gt", comparison.gt, oracles.gt, integers),
    plain("ge", comparison.ge, oracles.ge, integers),
    plain("logical_and", comparison.logical_and, oracles.logical_and, integers),
    plain("logical_or", comparison.logical_or, oracles.logical_or, integers),
    plain("logical_not", comparison.logical_not, oracles.logical_not, special),
    plain("isnan", comparison.isnan, oracles.isnan, special),
    plain("sign", rounding.sign, oracles.sign, halves),
    plain("floor", rounding.floor, oracles.floor, halves),
    plain("floor_divide", rounding.floor_divide, oracles.floor_divide, pairs(normal, away_from_0)),
    OpCase(
        "remainder",
        rounding.remainder,
        pairs(normal, away_from_0),
        oracles.remainder,
        invalid=mismatch("remainder"),
        kinks="a jump where y divides x, the derivative beside it",
        tails=pair_tails,
        sums=("gradient",),
    ),
    plain("ceil", rounding.ceil, oracles.ceil, halves),
    plain("round", rounding.round_, oracles.round_, halves),
    plain("isfinite", comparison.isfinite, oracles.isfinite, special),
]
