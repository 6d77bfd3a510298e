"""Rows of the matrix products."""

from __future__ import annotations

import numpy as np

from minicnn.errors import DTypeError, ShapeError
from minicnn.ops.linear import linear, matmul
from minicnn.oracles import linear as oracles
from minicnn.testing.spec import SUMS, Invalid, OpCase, Sample

__all__ = ["CASES"]

PRODUCTS = (
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 1, 2, 3), (4, 3, 1)),  # leading dimensions broadcast
    ((3,), (2, 3, 2)),
    ((2, 2, 3), (3,)),
    ((0, 3), (3, 2)),
)
LAYERS = (
    ((2, 3), 4, True),
    ((3,), 2, True),
    ((2, 2, 3), 2, False),
    ((1, 1), 1, True),
    ((0, 3), 2, True),
    ((2, 3), 0, True),
)


def products(rng: np.random.Generator) -> list[Sample]:
    return [Sample((rng.standard_normal(x), rng.standard_normal(y))) for x, y in PRODUCTS]


def layers(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample(
            (
                rng.standard_normal(x),
                rng.standard_normal((outputs, x[-1])),
                rng.standard_normal(outputs) if bias else None,
            )
        )
        for x, outputs, bias in LAYERS
    ]


def product_tails(rng: np.random.Generator) -> list[Sample]:
    sizes = [(1, 1, 1), *((m, 3, 2) for m in (5, 8, 17)), *((2, k, 2) for k in (4, 9, 16, 33)), (9, 5, 17)]
    return [Sample((rng.standard_normal((m, k)), rng.standard_normal((k, n)))) for m, k, n in sizes]


def layer_tails(rng: np.random.Generator) -> list[Sample]:
    sizes = [
        *((1, k, 2) for k in (1, 4, 7, 8, 9, 16, 17)),
        *((n, 3, 2) for n in (5, 8, 17)),
        (3, 5, 9),
        (2, 9, 17),
    ]
    return [
        Sample((rng.standard_normal((n, k)), rng.standard_normal((o, k)), rng.standard_normal(o)))
        for n, k, o in sizes
    ]


def zeros(*shapes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    return tuple(np.zeros(shape) for shape in shapes)


CASES = [
    OpCase(
        "matmul",
        matmul,
        products,
        oracles.matmul,
        invalid=(
            Invalid(zeros((2, 3), (2, 3)), {}, ShapeError, r"matmul: .*\(2, 3\) and \(2, 3\)"),
            Invalid(zeros((), (3,)), {}, ShapeError, r"matmul: .*got \(\) and \(3,\)"),
            Invalid(zeros((2, 2, 3), (3, 3, 1)), {}, ShapeError, "matmul: .*broadcast"),
            Invalid(
                (np.zeros((2, 3), np.float32), np.zeros((3, 2))), {}, DTypeError, "one dtype, got float32 and"
            ),
        ),
        linear=(0, 1),
        exact=True,
        tails=product_tails,
        sums=SUMS,
    ),
    OpCase(
        "linear",
        linear,
        layers,
        oracles.linear,
        invalid=(
            Invalid(zeros((2, 4), (5, 3)), {}, ShapeError, r"linear: .*\(\.\.\., 3\).*got \(2, 4\)"),
            Invalid(zeros((2, 3, 4, 4), (5, 48)), {}, ShapeError, "Flatten"),
            Invalid(zeros((2, 3), (5, 3), (3,)), {}, ShapeError, r"b of shape \(5,\), got \(3,\)"),
            Invalid(zeros((2, 3), (3,)), {}, ShapeError, r"linear: .*w of shape \(3,\)"),
            Invalid((np.zeros((2, 3), np.int64), np.zeros((1, 3))), {}, DTypeError, "floating point"),
            Invalid((np.zeros((2, 3), np.float32), np.zeros((1, 3))), {}, DTypeError, "dtype of w, float64"),
        ),
        linear=(0, 1, 2),
        exact=True,
        tails=layer_tails,
        sums=SUMS,
    ),
]
