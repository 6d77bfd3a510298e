"""What the losses share."""

from __future__ import annotations

from minicnn import _native
from minicnn.typing import Array, Shape

__all__ = ["REDUCTIONS", "empty_loss"]

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}  # as in kernels/include/reducing.h


def empty_loss(shape: Shape, reduction: str) -> Array:
    """Room for the losses, or for their mean or sum."""
    return _native.empty(shape if reduction == "none" else ())
