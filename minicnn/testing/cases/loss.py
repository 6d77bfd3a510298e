"""Rows of the losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.errors import DTypeError, LabelError, OptionError, ShapeError
from minicnn.nn import functional as F
from minicnn.ops import loss as ops
from minicnn.oracles import loss as oracles
from minicnn.testing.spec import SUMS, Invalid, OpCase, Sample

__all__ = ["CASES"]

SCORES = np.zeros((2, 3))
NONE, SUM = {"reduction": "none"}, {"reduction": "sum"}


# -- classes ---------------------------------------------------------------------------------


def with_indices(smoothing: bool) -> Callable[[np.random.Generator], list[Sample]]:
    """Samples of every form of input, with and without weights, ignored labels and smoothing."""

    def samples(rng: np.random.Generator) -> list[Sample]:
        def sample(shape: tuple[int, ...], weighted: bool, **attrs: Any) -> Sample:
            classes = shape[1] if len(shape) > 1 else shape[0]
            target = rng.integers(classes, size=(shape[0], *shape[2:]) if len(shape) > 1 else ())
            if "ignore_index" in attrs:
                target = np.where(rng.random(target.shape) < 0.3, attrs["ignore_index"], target)
            if not smoothing:
                attrs.pop("label_smoothing", None)
            w = rng.uniform(0.5, 2.0, classes) if weighted else None
            return Sample((2 * rng.standard_normal(shape), np.asarray(target), w), attrs)

        return [
            sample((4, 3), False),
            sample((5, 4), True, ignore_index=1, label_smoothing=0.1),
            sample((2, 3, 2, 2), True, reduction="none", ignore_index=-7, label_smoothing=0.3),
            sample((3, 2), True, reduction="sum"),
            sample((2, 4, 3), False, ignore_index=-100, label_smoothing=1.0),
            sample((5,), False, reduction="none", label_smoothing=0.2),
            sample((1, 1), False),
            sample((0, 3), True, reduction="sum"),
        ]

    return samples


def with_probabilities(rng: np.random.Generator) -> list[Sample]:
    def sample(shape: tuple[int, ...], weighted: bool, **attrs: Any) -> Sample:
        axis = min(1, len(shape) - 1)
        target = rng.uniform(0.1, 1.0, shape)
        w = rng.uniform(0.5, 2.0, shape[axis]) if weighted else None
        return Sample((2 * rng.standard_normal(shape), target / target.sum(axis, keepdims=True), w), attrs)

    return [
        sample((4, 3), False),
        sample((3, 4), True, label_smoothing=0.1),
        sample((2, 3, 2, 2), True, reduction="none", label_smoothing=0.3),
        sample((2, 4, 2), False, reduction="sum"),
        sample((5,), True, reduction="none"),
        sample((0, 3), False, reduction="sum"),
    ]


BAD_LABELS = (
    Invalid(
        (SCORES, np.array([0, 3])), {}, LabelError, r"labels from 0 to 2 \(3 classes\), got 3 at target\[1\]"
    ),
    Invalid((SCORES, np.array([-1, 0])), {}, LabelError, r"got -1 at target\[0\]"),
    Invalid(
        (np.zeros((1, 2, 2, 2)), np.array([[[0, 1], [0, 9]]])), {}, LabelError, r"got 9 at target\[0, 1, 1\]"
    ),
    Invalid((SCORES, np.array([1, 3])), {}, LabelError, "count from 1: use target - 1"),
    Invalid((np.zeros(3), np.array(4)), {}, LabelError, "got 4"),
    Invalid((SCORES, np.array([0, 1, 2])), {}, ShapeError, r"target of shape \(2,\).*got \(3,\)"),
    Invalid((SCORES, np.array([[0], [1]])), {}, ShapeError, r"use target\.squeeze\(1\)"),
    Invalid((SCORES, np.eye(3, dtype=int)[:2]), {}, ShapeError, r"one-hot.*target\.argmax\(1\)"),
    Invalid((SCORES, np.array([0.0, 1.0])), {}, DTypeError, r"indices.*got float64; use \.long\(\)"),
    Invalid((np.array([[1, 2]]), np.array([0])), {}, DTypeError, "floating point"),
    Invalid((SCORES, np.array([0, 1]), np.ones(2)), {}, ShapeError, r"shape \(3,\), got \(2,\)"),
    Invalid(
        (SCORES, np.array([0, 1]), np.ones(3, np.float32)),
        {},
        DTypeError,
        "weight in the dtype of the input, float64, got float32",
    ),
    Invalid((SCORES, np.array([0, 1])), {"reduction": "avg"}, OptionError, "'sum', got 'avg'"),
)
BAD_SMOOTHING = Invalid(
    (SCORES, np.array([0, 1])), {"label_smoothing": 1.5}, OptionError, r"in \[0, 1\], got 1\.5"
)


def heaviest(x: np.ndarray, target: np.ndarray, *weights: np.ndarray | None, **attrs: Any) -> float:
    """The largest weight of a number of size 1 that backward subtracts from another."""
    factors = [target] if target.dtype.kind == "f" else []
    factors += [w for w in weights if w is not None]
    return math.prod(float(np.abs(a).max(initial=1.0)) for a in factors)


def many_classes(rng: np.random.Generator) -> list[Sample]:
    """Classes and batches around multiples of 4, 8 and 16."""
    sizes = [(2, c) for c in (2, 4, 5, 8, 9, 10, 17, 33)] + [(n, 3) for n in (3, 8, 9, 17)]
    return [Sample((2 * rng.standard_normal((n, c)), rng.integers(c, size=n), None)) for n, c in sizes]


# -- numbers ---------------------------------------------------------------------------------


def pairs(*options: dict[str, Any]) -> Callable[[np.random.Generator], list[Sample]]:
    """Samples of two operands of equal shape, far enough apart from each other to avoid kinks."""

    def samples(rng: np.random.Generator) -> list[Sample]:
        shapes = ((3, 4), (2, 3, 2), (5,), (), (1, 1), (0, 2))
        choices = [*({}, NONE, SUM), *options]
        found = []
        for i in range(max(len(shapes), len(choices))):
            shape, attrs = shapes[i % len(shapes)], choices[i % len(choices)]
            if 0 in shape:
                attrs = {**attrs, "reduction": "sum"}
            x = rng.standard_normal(shape)
            distance = rng.uniform(0.05, 3.0, shape) * rng.choice([-1.0, 1.0], shape)
            found.append(Sample((np.asarray(x), np.asarray(x + distance)), attrs))
        return found

    return samples


def questions(rng: np.random.Generator) -> list[Sample]:
    def sample(shape: tuple[int, ...], w: Any, pos_weight: Any, **attrs: Any) -> Sample:
        weights = (None if size is None else rng.uniform(0.5, 2.0, size) for size in (w, pos_weight))
        return Sample((2 * rng.standard_normal(shape), rng.uniform(0.1, 0.9, shape), *weights), attrs)

    return [
        sample((3, 4), None, None),
        sample((3, 4), (3, 1), (4,)),
        sample((2, 3, 2), (2, 3, 2), None, reduction="none"),
        sample((5,), None, (5,), reduction="sum"),
        sample((0, 3), None, (3,), reduction="sum"),
    ]


def distributions(rng: np.random.Generator) -> list[Sample]:
    def sample(shape: tuple[int, ...], **attrs: Any) -> Sample:
        target = rng.uniform(0.1, 1.0, shape)
        target = np.log(target) if attrs.get("log_target") else target
        return Sample((np.log(rng.uniform(0.1, 1.0, shape)), target), attrs)

    return [
        sample((3, 4)),
        sample((3, 4), reduction="batchmean"),
        sample((2, 3, 2), reduction="none", log_target=True),
        sample((4,), reduction="sum"),
        sample((2, 5), reduction="batchmean", log_target=True),
        sample((0, 3), reduction="sum"),
    ]


BAD_PAIRS = (
    Invalid((SCORES, np.zeros((2, 1))), {}, ShapeError, r"\(2, 3\), got \(2, 1\); losses do not broadcast"),
    Invalid((SCORES, np.zeros((2, 3), int)), {}, DTypeError, "target of floating point numbers, got int64"),
    Invalid((SCORES.astype(int), SCORES), {}, DTypeError, "input of floating point numbers, got int64"),
    Invalid((SCORES, SCORES), {"reduction": "avg"}, OptionError, "'sum', got 'avg'"),
)

CASES = [
    OpCase(
        "cross_entropy",
        ops.cross_entropy,
        with_indices(smoothing=True),
        oracles.cross_entropy,
        tails=many_classes,
        inner_slope=heaviest,  # p - 1 is as exact as p, which may be close to 1
        constant=(1, 2),
        invalid=(*BAD_LABELS, BAD_SMOOTHING),
        sums=SUMS,
    ),
    OpCase(
        "nll_loss",
        ops.nll_loss,
        with_indices(smoothing=False),
        oracles.nll_loss,
        tails=many_classes,
        constant=(1, 2),
        invalid=BAD_LABELS,
        sums=SUMS,
    ),
    OpCase(
        "soft_cross_entropy",
        ops.soft_cross_entropy,
        with_probabilities,
        oracles.soft_cross_entropy,
        inner_slope=heaviest,
        constant=(2,),
        invalid=(
            Invalid((SCORES, np.zeros((3, 3))), {}, ShapeError, r"shape \(2, 3\), got \(3, 3\)"),
            Invalid((SCORES, SCORES), {"label_smoothing": -0.1}, OptionError, "label_smoothing"),
            Invalid((SCORES, SCORES, np.ones(2)), {}, ShapeError, "one weight per class"),
            Invalid((SCORES, SCORES), {"reduction": "avg"}, OptionError, "'sum', got 'avg'"),
        ),
        sums=SUMS,
    ),
    OpCase(
        "l1_loss",
        ops.l1_loss,
        pairs(),
        oracles.l1_loss,
        invalid=BAD_PAIRS,
        kinks="at 0, derivative 0",
        sums=SUMS,
    ),
    OpCase("mse_loss", ops.mse_loss, pairs(), oracles.mse_loss, invalid=BAD_PAIRS, sums=SUMS),
    OpCase(
        "huber_loss",
        ops.huber_loss,
        pairs({"delta": 0.5}, {"delta": 2.0, "reduction": "none"}),
        oracles.huber_loss,
        invalid=(*BAD_PAIRS, Invalid((SCORES, SCORES), {"delta": 0.0}, OptionError, "delta above 0")),
        sums=SUMS,
    ),
    OpCase(
        "smooth_l1_loss",
        F.smooth_l1_loss,
        pairs({"beta": 0.5}, {"beta": 2.0, "reduction": "none"}),
        oracles.smooth_l1_loss,
        invalid=(*BAD_PAIRS, Invalid((SCORES, SCORES), {"beta": -1.0}, OptionError, "beta of at least 0")),
        sums=SUMS,
    ),
    OpCase(
        "binary_cross_entropy_with_logits",
        ops.binary_cross_entropy_with_logits,
        questions,
        oracles.binary_cross_entropy_with_logits,
        inner_slope=heaviest,
        constant=(2, 3),
        invalid=(
            *BAD_PAIRS,
            Invalid((SCORES, SCORES, np.ones(2)), {}, ShapeError, "broadcast"),
            Invalid((SCORES, SCORES, None, np.ones((4, 2, 3))), {}, ShapeError, "pos_weight that broadcasts"),
        ),
        sums=SUMS,
    ),
    OpCase(
        "kl_div",
        ops.kl_div,
        distributions,
        oracles.kl_div,
        invalid=(
            *BAD_PAIRS[:3],
            Invalid((SCORES, SCORES), {"reduction": "avg"}, OptionError, "'batchmean', got 'avg'"),
            Invalid((np.zeros(()), np.zeros(())), {"reduction": "batchmean"}, ShapeError, "a batch dim"),
        ),
        sums=SUMS,
    ),
]
