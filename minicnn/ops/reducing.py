"""How losses become one number, and the checks that all losses share."""

from __future__ import annotations

from typing import Any

from minicnn.errors import OptionError, ShapeError
from minicnn.ops.reduction import average
from minicnn.ops.rules import require_dtype_of, require_float, total
from minicnn.typing import Array, ArrayModule, Shape

__all__ = ["check_pair", "check_reduction", "reduce_loss", "reduction_factor"]


def check_reduction(
    reduction: str, shape: Shape, *, choices: tuple[str, ...] = ("none", "mean", "sum")
) -> Shape:
    """The shape of a loss whose unreduced shape is given; refuses an unknown reduction."""
    if reduction not in choices:
        raise OptionError(expected=f"reduction out of {', '.join(map(repr, choices))}", got=repr(reduction))
    return tuple(shape) if reduction == "none" else ()


def check_pair(x: Any, target: Any) -> None:
    """Refuse a target that is not of the input's shape, integers on either side, or two types."""
    require_float(x)
    require_float(target, "target")
    require_dtype_of(x, target=target)
    if tuple(target.shape) != tuple(x.shape):
        raise ShapeError(
            expected=f"target of the input's shape {tuple(x.shape)}",
            got=str(tuple(target.shape)),
            hint="losses do not broadcast; reshape one of them, often by .squeeze(1) or .unsqueeze(1)",
        )


def reduce_loss(xp: ArrayModule, losses: Array, reduction: str) -> Array:
    """The losses themselves, their sum, or their mean. The mean of no losses is NaN, as in PyTorch."""
    if reduction == "none":
        return losses
    every = tuple(range(losses.ndim))
    return total(xp, losses, every) if reduction == "sum" else average(xp, losses, every)


def reduction_factor(gy: Array, count: int, reduction: str) -> Array:
    """dL/d(loss of one element) from dL/d(reduced loss): 1/count of it for a mean."""
    return gy / max(count, 1) if reduction == "mean" else gy
