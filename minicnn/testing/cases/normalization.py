"""Rows of the normalizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.nn import functional as F
from minicnn.ops import normalization as ops
from minicnn.oracles import normalization as oracles
from minicnn.testing.spec import SUMS, Invalid, OpCase, Sample

__all__ = ["CASES"]

IMAGE = np.zeros((2, 3, 2, 2))


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Of mean 1 and standard deviation 2."""
    return 1 + 2 * rng.standard_normal(shape)


def over_batch(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample((numbers(rng, 4, 3, 2, 2), numbers(rng, 3), numbers(rng, 3))),
        Sample((numbers(rng, 5, 2), numbers(rng, 2), numbers(rng, 2)), {"eps": 0.1}),
        Sample((numbers(rng, 1, 2, 3, 3), numbers(rng, 2), None)),
        Sample((numbers(rng, 2, 2, 5), None, numbers(rng, 2))),
        Sample((numbers(rng, 3, 1, 2, 3), None, None), {"eps": 1e-3}),
        Sample((numbers(rng, 0, 3, 2, 2), numbers(rng, 3), numbers(rng, 3))),
        Sample(
            (1000 + numbers(rng, 3, 2, 4), numbers(rng, 2), numbers(rng, 2))
        ),  # a mean far above the spread
    ]


def with_statistics(rng: np.random.Generator) -> list[Sample]:
    samples = []
    for sample in over_batch(rng):
        x, w, b = sample.inputs
        mean, var = numbers(rng, x.shape[1]), rng.uniform(0.5, 2.0, x.shape[1])
        samples.append(Sample((x, mean, var, w, b), sample.attrs))
    x, mean, var = numbers(rng, 1, 2), numbers(rng, 2), rng.uniform(0.5, 2.0, 2)
    return [*samples, Sample((x, mean, var, None, None), {"eps": 0.0})]


def over_last(rng: np.random.Generator) -> list[Sample]:
    def sample(shape: tuple[int, ...], kept: int, w: bool, b: bool, **attrs: float) -> Sample:
        inner = shape[kept:]
        parameters = (numbers(rng, *inner) if given else None for given in (w, b))
        return Sample((numbers(rng, *shape), *parameters), {"normalized_shape": inner, **attrs})

    return [
        sample((3, 5), 1, True, True),
        sample((2, 3, 4), 1, True, True, eps=0.1),
        sample((2, 2, 4), 2, True, False),
        sample((6,), 0, False, True),
        sample((1, 3, 2, 2), 1, False, False),
        sample((0, 4), 1, True, True),
        Sample((1000 + numbers(rng, 2, 9), numbers(rng, 9), numbers(rng, 9)), {"normalized_shape": (9,)}),
    ]


def over_groups(rng: np.random.Generator) -> list[Sample]:
    def sample(shape: tuple[int, ...], groups: int, w: bool, b: bool, **attrs: float) -> Sample:
        parameters = (numbers(rng, shape[1]) if given else None for given in (w, b))
        return Sample((numbers(rng, *shape), *parameters), {"num_groups": groups, **attrs})

    return [
        sample((2, 4, 2, 2), 2, True, True),
        sample((1, 3, 3, 2), 3, True, True, eps=0.1),
        sample((2, 6), 2, True, False),
        sample((2, 3, 5), 1, False, True),
        sample((1, 4, 1, 3), 4, False, False),
        sample((0, 4, 2, 2), 2, True, True),
    ]


def over_places(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample((numbers(rng, 2, 3, 2, 3), None, None, numbers(rng, 3), numbers(rng, 3))),
        Sample((numbers(rng, 1, 2, 5),), {"eps": 0.1}),
    ]


def channel_tails(rng: np.random.Generator) -> list[Sample]:
    """Places, channels and batches around multiples of 4, 8 and 16."""
    shapes = (
        [(2, 1, 1, n) for n in (4, 7, 8, 9, 17)]
        + [(2, c, 1, 2) for c in (3, 8, 9, 17)]
        + [(17, 2), (9, 1, 3, 1)]
    )
    return [Sample((numbers(rng, *s), numbers(rng, s[1]), numbers(rng, s[1]))) for s in shapes]


def row_tails(rng: np.random.Generator) -> list[Sample]:
    shapes = [(2, n) for n in (4, 7, 8, 9, 16, 17, 33)] + [(9, 5)]
    return [
        Sample((numbers(rng, *s), numbers(rng, s[1]), numbers(rng, s[1])), {"normalized_shape": s[1:]})
        for s in shapes
    ]


def steepness(*axes: int, groups: bool = False) -> Any:
    """How large the numbers are that cancel in backward: x / σ, and w / σ times it for dL/dx.

    ``axes`` are those of the moments; with ``groups`` of the input in its groups.
    """

    def sizes(x: Any, w: Any = None, b: Any = None, **attrs: Any) -> tuple[float, float, float]:
        if not x.size:
            return 0.0, 0.0, 0.0
        if groups:
            x = x.reshape(len(x), attrs["num_groups"], -1)
        over = axes or tuple(range(x.ndim - len(attrs["normalized_shape"]), x.ndim))
        over = tuple(a for a in over if a < x.ndim)
        steepest = float(1 / np.sqrt(x.var(over).min() + attrs.get("eps", 1e-5)))
        ratio = 1.0 + steepest * float(np.abs(x).max())
        heaviest = 1.0 if w is None else float(np.abs(w).max())
        return ratio * steepest * heaviest, ratio * x.size, 0.0

    return sizes


WRONG_WEIGHT = r"weight of shape \(3,\) for input of shape \(2, 3, 2, 2\), got \(4,\)"

OVERFLOW = "x - mean is multiplied by gradients, and the deviation by weights, before they cancel"

CASES = [
    OpCase(
        "batch_norm",
        ops.batch_norm,
        over_batch,
        oracles.batch_norm,
        overflow=OVERFLOW,
        inner_slope=steepness(0, 2, 3),
        tails=channel_tails,
        invalid=(
            Invalid((np.zeros((1, 3)),), {}, ShapeError, "more than 1 value per channel when training"),
            Invalid((np.zeros((1, 3, 1, 1)),), {}, ShapeError, r"got input of shape \(1, 3, 1, 1\)"),
            Invalid((np.zeros(3),), {}, ShapeError, r"\(N, C, \.\.\.\), got \(3,\)"),
            Invalid((IMAGE, np.ones(4)), {}, ShapeError, WRONG_WEIGHT),
            Invalid((IMAGE, None, np.ones((3, 1))), {}, ShapeError, r"bias of shape \(3,\)"),
            Invalid((IMAGE,), {"eps": 0.0}, OptionError, "eps above 0"),
            Invalid((np.zeros((2, 3), np.int64),), {}, DTypeError, "floating point"),
        ),
        sums=SUMS,
    ),
    OpCase(
        "batch_norm_inference",
        ops.batch_norm_inference,
        with_statistics,
        oracles.batch_norm_inference,
        overflow=OVERFLOW,
        constant=(1, 2),
        invalid=(
            Invalid((IMAGE, np.zeros(2), np.ones(3)), {}, ShapeError, r"running_mean of shape \(3,\)"),
            Invalid((IMAGE, np.zeros(3), np.ones(2)), {}, ShapeError, r"running_var of shape \(3,\)"),
            Invalid((IMAGE, np.zeros(3), np.ones(3), np.ones(4)), {}, ShapeError, WRONG_WEIGHT),
            Invalid((IMAGE, np.zeros(3), np.ones(3)), {"eps": -1.0}, OptionError, "eps of at least 0"),
        ),
        sums=SUMS,
    ),
    OpCase(
        "layer_norm",
        ops.layer_norm,
        over_last,
        oracles.layer_norm,
        overflow=OVERFLOW,
        inner_slope=steepness(),
        tails=row_tails,
        invalid=(
            Invalid((IMAGE,), {"normalized_shape": (3,)}, ShapeError, r"\(\.\.\., 3\), got \(2, 3, 2, 2\)"),
            Invalid((np.zeros(3),), {"normalized_shape": (1, 3)}, ShapeError, r"\(\.\.\., 1, 3\)"),
            Invalid((np.zeros((2, 3)), np.ones(2)), {"normalized_shape": (3,)}, ShapeError, "weight of sh"),
            Invalid((np.arange(3),), {"normalized_shape": (3,)}, DTypeError, "floating point"),
            Invalid((np.ones(3),), {"normalized_shape": (3,), "eps": -1.0}, OptionError, "eps of at least 0"),
        ),
        sums=SUMS,
    ),
    OpCase(
        "group_norm",
        ops.group_norm,
        over_groups,
        oracles.group_norm,
        overflow=OVERFLOW,
        inner_slope=steepness(2, groups=True),
        invalid=(
            Invalid((IMAGE,), {"num_groups": 2}, ShapeError, "channels that 2 groups divide, got 3"),
            Invalid((IMAGE,), {"num_groups": 0}, OptionError, "at least 1, got 0"),
            Invalid((IMAGE, np.ones(4)), {"num_groups": 3}, ShapeError, WRONG_WEIGHT),
            Invalid((IMAGE,), {"num_groups": 3, "eps": -1.0}, OptionError, "eps of at least 0"),
        ),
        sums=SUMS,
    ),
    OpCase(
        "instance_norm",
        F.instance_norm,
        over_places,
        lambda x, mean=None, var=None, w=None, b=None, **attrs: oracles.instance_norm(x, w, b, **attrs),
        constant=(1, 2),
        overflow=OVERFLOW,
        invalid=(
            Invalid((np.zeros((2, 3, 1)),), {}, ShapeError, "more than 1 value per channel and sample"),
            Invalid((IMAGE, np.zeros(2), np.ones(3)), {}, ShapeError, r"running_mean of shape \(3,\), got"),
            Invalid((IMAGE,), {"use_input_stats": False}, OptionError, "must be given in evaluation mode"),
        ),
        sums=SUMS,
    ),
]
