"""Rows of the activations."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.nn import functional as F
from minicnn.ops import activation as ops
from minicnn.oracles import activation as oracles
from minicnn.testing.spec import LENGTHS, Invalid, OpCase, Sample

__all__ = ["CASES"]

SHAPES = ((), (1,), (7,), (3, 5), (2, 3, 1, 4), (0, 3))
INTEGERS = np.arange(3)


def elementwise(*options: dict[str, Any]) -> Any:
    """Samples of every shape, the options in turn; then each option on numbers far from 0."""

    def samples(rng: np.random.Generator) -> list[Sample]:
        choices = options or ({},)
        near = [
            Sample((np.asarray(2 * rng.standard_normal(shape)),), choices[i % len(choices)])
            for i, shape in enumerate(SHAPES)
        ]
        return near + [Sample((rng.uniform(-12, 12, 9),), attrs) for attrs in choices[:3]]

    return samples


def around_vectors(rng: np.random.Generator) -> list[Sample]:
    """Lengths around multiples of 4, 8 and 16, then rows of such lengths."""
    shapes = [(n,) for n in LENGTHS] + [(5, 3), (3, 17), (2, 1, 9)]
    return [Sample((2 * rng.standard_normal(shape),)) for shape in shapes]


def many_classes(rng: np.random.Generator) -> list[Sample]:
    shapes = [((2, n), 1) for n in (3, 4, 5, 7, 8, 9, 15, 16, 17, 33)] + [((9, 3), 0), ((2, 5, 3, 3), 1)]
    return [Sample((3 * rng.standard_normal(shape),), {"dim": dim}) for shape, dim in shapes]


def along_dim(rng: np.random.Generator) -> list[Sample]:
    sizes = (
        ((5,), 0),
        ((3, 4), 1),
        ((3, 4), 0),
        ((2, 3, 2, 2), 1),
        ((1, 1), 1),
        ((0, 3), 1),
        ((2, 0), 1),
        ((), 0),
    )
    return [Sample((np.asarray(3 * rng.standard_normal(shape)),), {"dim": dim}) for shape, dim in sizes]


def of_size_1(x: np.ndarray, **attrs: Any) -> float:
    """Backward subtracts a saved y from 1: that is as exact as y, which may be close to 1."""
    return 1.0


NO_INTEGERS = Invalid((INTEGERS,), {}, DTypeError, r"floating point.*got int64")
NO_SUCH_DIM = (
    Invalid((np.zeros((2, 3)),), {"dim": 2}, ShapeError, r"dim from 0 to 1 for shape \(2, 3\), got 2"),
    Invalid((INTEGERS,), {"dim": 0}, DTypeError, r"floating point.*got int64"),
)

CASES = [
    OpCase(
        "relu",
        ops.relu,
        elementwise(),
        oracles.relu,
        kinks="at 0, derivative 0",
        exact=True,
        tails=around_vectors,
    ),
    OpCase(
        "leaky_relu",
        ops.leaky_relu,
        elementwise({}, {"negative_slope": 0.3}, {"negative_slope": 0.0}),
        oracles.leaky_relu,
        invalid=(NO_INTEGERS,),
        kinks="at 0, derivative negative_slope",
        tails=around_vectors,
    ),
    OpCase(
        "hardtanh",
        ops.hardtanh,
        elementwise({}, {"min_val": -2.0, "max_val": 0.5}, {"min_val": 0.0, "max_val": 6.0}),
        oracles.hardtanh,
        kinks="at min_val and max_val, derivative 0",
        exact=True,
        tails=around_vectors,
    ),
    OpCase(
        "relu6",
        F.relu6,
        elementwise(),
        lambda x: oracles.hardtanh(x, min_val=0.0, max_val=6.0),
        kinks="at 0 and 6, derivative 0",
        exact=True,
    ),
    OpCase(
        "elu",
        ops.elu,
        elementwise({}, {"alpha": 0.3}),
        oracles.elu,
        roundings=4,
        invalid=(NO_INTEGERS,),
        kinks="at 0 unless alpha = 1, derivative alpha",
        tails=around_vectors,
    ),
    OpCase(
        "sigmoid", ops.sigmoid, elementwise(), oracles.sigmoid, inner_slope=of_size_1, tails=around_vectors
    ),
    OpCase("tanh", ops.tanh, elementwise(), oracles.tanh, inner_slope=of_size_1, tails=around_vectors),
    OpCase(
        "softplus",
        ops.softplus,
        elementwise({}, {"beta": 3.0}, {"beta": 0.5, "threshold": 1.0}),
        oracles.softplus,
        invalid=(
            NO_INTEGERS,
            Invalid((np.zeros(2),), {"beta": 0.0}, OptionError, r"beta above 0, got 0\.0"),
        ),
        kinks="a step where beta · x = threshold, derivative of the left side",
    ),
    OpCase(
        "silu",
        ops.silu,
        elementwise(),
        oracles.silu,
        invalid=(NO_INTEGERS,),
        roundings=8,
        tails=around_vectors,
    ),
    OpCase(
        "gelu",
        ops.gelu,
        elementwise({}, {"approximate": "tanh"}),
        oracles.gelu,
        tails=around_vectors,
        roundings=16,  # the series for erfc has up to 20 terms
        invalid=(
            NO_INTEGERS,
            Invalid((np.zeros(2),), {"approximate": "erf"}, OptionError, "'none' or 'tanh', got 'erf'"),
        ),
    ),
    OpCase(
        "softmax",
        ops.softmax,
        along_dim,
        oracles.softmax,
        invalid=NO_SUCH_DIM,
        tails=many_classes,
        inner_slope=of_size_1,
        sums=("gradient",),
    ),
    # The logarithm is of a sum of 1 and what may be little more.
    OpCase(
        "log_softmax",
        ops.log_softmax,
        along_dim,
        oracles.log_softmax,
        invalid=NO_SUCH_DIM,
        tails=many_classes,
        inner=1.0,
        inner_slope=of_size_1,
        sums=("gradient",),
    ),
]
