"""Rows of the regularizers."""

from __future__ import annotations

import numpy as np

from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.ops import regularization as ops
from minicnn.oracles import regularization as oracles
from minicnn.testing.spec import Invalid, OpCase, Sample

__all__ = ["CASES"]


def samples(rng: np.random.Generator) -> list[Sample]:
    # 1 / (1 - p) is a power of two, so that the adjoint test is exact
    return [
        Sample((rng.standard_normal((3, 7)),), {"p": 0.5, "seed": 0}),
        Sample((rng.standard_normal((2, 3, 2, 2)),), {"p": 0.75, "seed": 1}),
        Sample((rng.standard_normal((2, 5, 2, 2)),), {"p": 0.5, "seed": 2, "channelwise": True}),
        Sample((rng.standard_normal((4, 3)),), {"p": 0.5, "seed": 3, "channelwise": True}),
        Sample((rng.standard_normal(5),), {"p": 0.0, "seed": 4}),
        Sample((rng.standard_normal(5),), {"p": 1.0, "seed": 5}),
        Sample((rng.standard_normal((0, 3)),), {"p": 0.5, "seed": 6}),
    ]


CASES = [
    OpCase(
        "dropout",
        ops.dropout,
        samples,
        oracles.dropout,
        linear=(0,),
        exact=True,
        invalid=(
            Invalid((np.zeros(3),), {"p": 1.5, "seed": 0}, OptionError, r"p from 0 to 1, got 1\.5"),
            Invalid((np.zeros(3),), {"p": float("nan"), "seed": 0}, OptionError, "p from 0 to 1, got nan"),
            Invalid((np.zeros(3),), {"p": 0.5, "seed": 0, "channelwise": True}, ShapeError, r"\(N, C, "),
            Invalid((np.arange(3),), {"p": 0.5, "seed": 0}, DTypeError, "floating point"),
        ),
    ),
]
