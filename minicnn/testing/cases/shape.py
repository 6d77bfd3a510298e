"""Rows of rearranging, indexing and converting."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import DTypeError, ShapeError
from minicnn.ops import conversion, indexing, shape
from minicnn.oracles import shape as oracles
from minicnn.testing.spec import Invalid, OpCase, Sample

__all__ = ["CASES"]


def calls(*rows: Any) -> Any:
    """Normal numbers in the given shapes, with the given attributes."""
    return lambda rng: [
        Sample(tuple(np.asarray(rng.standard_normal(s)) for s in shapes), attrs) for *shapes, attrs in rows
    ]


ALL = slice(None)
INDICES = (
    ((4, 3), (slice(1, 3),)),
    ((4, 3), (slice(None, None, -2), -1)),
    ((2, 3, 2), (..., None, 1)),
    ((3, 2, 2), (ALL, 0, slice(0, 0))),
    ((3,), (-1,)),  # down to a single element
    ((2, 3), (1, 2)),
)
PICKS = (
    ((4, 3), (np.array([0, 2, 2, -1]),)),  # an element taken twice
    ((2, 3, 4), (ALL, np.array([[0], [2]]), np.array([1, 3, 3]))),
    ((2, 3, 4), (np.array([1, 1]), ALL, np.array([2, 0]))),  # parted index arrays come first
    ((2, 3, 4), (np.array([1, 1]), ALL, 2)),  # an integer is no index array
    ((2, 3, 4), (0, ALL, np.array([0, 1]))),
    ((2, 3, 4), (..., 1, np.array([[True, False, True, True]] * 2)[0], None)),
    ((3, 2, 2), (np.eye(3, 2, dtype=bool), -1)),
    ((3, 2), (np.array([[True, False], [True, True], [False, False]]),)),
    ((3, 2, 2), (ALL, np.array([False, True]), slice(0, 0))),
)


def taken(indices: Any) -> Any:
    return lambda rng: [Sample((rng.standard_normal(s),), {"index": index}) for s, index in indices]


def replaced(rng: np.random.Generator) -> list[Sample]:
    x = rng.standard_normal((3, 4))
    mask = np.array([True, False, True])
    return [
        Sample((x, rng.standard_normal((2, 4))), {"index": (slice(0, 2),)}),
        Sample((x, rng.standard_normal(3)), {"index": (ALL, -1)}),
        Sample((x, rng.standard_normal((1, 2))), {"index": (ALL, slice(None, None, -2))}),  # it broadcasts
        Sample((x, rng.standard_normal((2, 1))), {"index": (mask,)}),
        Sample((x, rng.standard_normal(2)), {"index": (np.array([0, 2]), np.array([3, 1]))}),
        Sample(
            (rng.standard_normal((2, 3, 4)), rng.standard_normal((3, 2))),
            {"index": (0, ALL, np.array([3, 1]))},
        ),
        Sample((x, rng.standard_normal((1, 1, 4))), {"index": (1,)}),  # more dimensions than the part
        Sample((x, 0.5), {"index": (1,)}),
    ]


def converted(rng: np.random.Generator) -> list[Sample]:
    numbers = 3 * rng.standard_normal((2, 3))
    return [
        Sample((numbers,), {"dtype": np.dtype(np.float32)}),
        Sample((numbers,), {"dtype": np.dtype(np.int64)}),
        Sample((numbers,), {"dtype": np.dtype(np.float16)}),
        Sample((np.arange(4),), {"dtype": np.dtype(np.float32)}),
        Sample((np.zeros((0, 2)),), {"dtype": np.dtype(np.bool_)}),
    ]


CASES = [
    OpCase(
        "reshape",
        shape.reshape,
        calls(
            ((2, 6), {"shape": (3, 4)}),
            ((2, 3, 2), {"shape": (-1,)}),
            ((6,), {"shape": (2, -1, 1)}),
            ((), {"shape": (1, 1)}),
            ((1,), {"shape": ()}),
            ((0, 3), {"shape": (3, 0)}),
        ),
        oracles.reshape,
        invalid=(
            Invalid((np.zeros((2, 3)),), {"shape": (4,)}, ShapeError, r"6 elements of \(2, 3\), got \(4,\)"),
            Invalid((np.zeros((2, 3)),), {"shape": (4, -1)}, ShapeError, r"6 elements.*got \(4, -1\)"),
            Invalid((np.zeros((2, 3)),), {"shape": (-1, -1)}, ShapeError, "6 elements"),
            Invalid((np.zeros((0, 3)),), {"shape": (0, -1)}, ShapeError, "0 elements"),
            Invalid((np.zeros((2, 3)),), {"shape": (-2, -3)}, ShapeError, "6 elements"),
        ),
        linear=(0,),
        exact=True,
    ),
    OpCase(
        "permute",
        shape.permute,
        calls(
            ((2, 3), {"dim": (1, 0)}),
            ((2, 3, 4), {"dim": (2, 0, 1)}),
            ((1, 3, 0), {"dim": (1, 0, 2)}),
            ((), {"dim": ()}),
        ),
        oracles.permute,
        invalid=(
            Invalid((np.zeros((2, 3)),), {"dim": (0,)}, ShapeError, r"0 to 1 once, got \(0,\)"),
            Invalid((np.zeros((2, 3)),), {"dim": (0, 0)}, ShapeError, "once"),
        ),
        linear=(0,),
        exact=True,
    ),
    OpCase(
        "broadcast_to",
        shape.broadcast_to,
        calls(
            ((3,), {"shape": (2, 3)}),
            ((2, 1, 3), {"shape": (2, 4, 3)}),
            ((), {"shape": (2, 2)}),
            ((1,), {"shape": (0,)}),
            ((2, 3), {"shape": (2, 3)}),
        ),
        oracles.broadcast_to,
        invalid=(
            Invalid(
                (np.zeros((2, 3)),), {"shape": (2, 4)}, ShapeError, r"\(2, 3\) broadcasts to, got \(2, 4\)"
            ),
            Invalid((np.zeros((2, 3)),), {"shape": (3,)}, ShapeError, "broadcasts"),
        ),
        linear=(0,),
        exact=True,
    ),
    OpCase(
        "pad",
        shape.pad,
        calls(
            ((3,), {"padding": ((1, 2),)}),
            ((2, 3), {"padding": ((0, 0), (2, 0)), "value": -1.5}),
            ((3, 4), {"padding": ((-1, 1), (2, -3))}),
            ((3,), {"padding": ((-2, -1),)}),
            ((3,), {"padding": ((2, -4),)}),  # all is cut off
            ((3,), {"padding": ((-4, 2),)}),
            ((), {"padding": ()}),
            ((0, 2), {"padding": ((1, 0), (0, 0)), "value": 2.0}),
        ),
        oracles.pad,
        invalid=(
            Invalid((np.zeros((2, 3)),), {"padding": ((1, 1),)}, ShapeError, "each of 2 dimensions"),
            Invalid((np.zeros(3),), {"padding": ((-2, -2),)}, ShapeError, r"cut off than \(3,\) has"),
        ),
        linear=(0,),
        exact=True,
    ),
    OpCase(
        "concatenate",
        shape.concatenate,
        calls(
            ((2, 3), (1, 3), {}),
            ((2, 3), (2, 1), (2, 2), {"dim": 1}),
            ((4,), (1,), {}),
            ((0, 2), (3, 2), {}),
        ),
        oracles.concatenate,
        invalid=(
            Invalid(
                (np.zeros((2, 3)), np.zeros((2, 4))),
                {},
                ShapeError,
                r"but dimension 0, got \(2, 3\), \(2, 4\)",
            ),
            Invalid((np.zeros((2, 3)), np.zeros(3)), {}, ShapeError, "agree"),
            Invalid((np.zeros(()),), {}, ShapeError, "agree"),
            Invalid((np.zeros(2),), {"dim": 1}, ShapeError, "a dimension from -1 to 0, got 1"),
        ),
        linear=(0, 1),
        exact=True,
    ),
    OpCase("getitem", indexing.getitem, taken(INDICES), oracles.getitem, linear=(0,), exact=True),
    OpCase("pick", indexing.pick, taken(PICKS), oracles.getitem, linear=(0,), exact=True),
    OpCase(
        "setitem",
        indexing.setitem,
        replaced,
        oracles.setitem,
        invalid=(
            Invalid((np.zeros((2, 3)), np.zeros(2)), {"index": (0,)}, ShapeError, "setitem: .*broadcast"),
            Invalid((np.zeros(3), np.zeros((2, 3))), {"index": (ALL,)}, ShapeError, "setitem: .*broadcast"),
            Invalid((np.arange(3), np.zeros(())), {"index": (0,)}, DTypeError, "a value that fits int64"),
        ),
        linear=(0, 1),
        exact=True,
    ),
    OpCase(
        "cast",
        conversion.cast,
        converted,
        oracles.cast,
        differentiable=False,
        nonfinite={0: "integer types have none, and what C makes of them depends on the machine"},
    ),
    OpCase(
        "clone",
        conversion.clone,
        calls(((2, 3), {}), ((), {}), ((0,), {})),
        oracles.clone,
        linear=(0,),
        exact=True,
    ),
]
