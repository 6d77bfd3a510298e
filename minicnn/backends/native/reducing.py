"""What the losses share."""

from __future__ import annotations

import numpy as np

from minicnn.backends.native.arrays import FLOAT32
from minicnn.typing import Array, Shape

__all__ = ["REDUCTIONS", "empty_loss"]

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}  # as in kernels/include/reducing.h


def empty_loss(shape: Shape, reduction: str) -> Array:
    """Room for the losses, or for their mean or sum."""
    return np.empty(shape if reduction == "none" else (), FLOAT32)
