"""What a training refuses before anything is lost by it, and how it looks at a model on the side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.errors import NonFiniteError, OptionError
from minicnn.io import checkpoint
from minicnn.nn import Module
from minicnn.optim.lr_scheduler import ReduceLROnPlateau
from minicnn.train import anomaly

__all__ = ["check_finite", "check_repeatable", "check_schedule", "evaluation_mode", "require_finite"]


def check_repeatable(train: Any, validation: Any) -> None:
    """Refuse loaders whose passes a resumed training could not repeat.

    Raises
    ------
    OptionError
        If the training loader has no seed, or one of them draws from a generator that no checkpoint saves.
    """
    if train.seed is None:
        raise OptionError("checkpoints need a loader with a seed", hint="DataLoader(..., seed=0)")
    for loader in (train, validation):
        if _own_generator(loader):
            raise OptionError(
                "checkpoints do not save the generator of a loader or sampler",
                hint="leave generator= out; DataLoader(..., seed=0) makes each pass repeatable",
            )


def _own_generator(source: Any) -> bool:
    """Whether a loader or a sampler, or a sampler inside it, draws from a generator of its own."""
    if source is None:
        return False
    # A loader with a seed makes no use of its generator.
    own = getattr(source, "seed", None) is None and getattr(source, "generator", None)
    inside = (getattr(source, name, None) for name in ("batch_sampler", "sampler"))
    return isinstance(own, np.random.Generator) or any(map(_own_generator, inside))


def check_schedule(scheduler: Any, updates: float, validation: Any) -> None:
    """Refuse a schedule that ends before the updates that are to come, or lacks the figure it watches.

    Raises
    ------
    OptionError
    """
    if isinstance(scheduler, ReduceLROnPlateau) and (validation is None or scheduler.mode != "min"):
        raise OptionError(
            "ReduceLROnPlateau is stepped with the loss of each validation: it needs one, and mode='min'"
        )
    total = getattr(scheduler, "total_steps", None)
    if total is not None and scheduler.last_epoch + updates > total:
        raise OptionError(
            expected=f"at most {total - scheduler.last_epoch} updates, where the schedule ends",
            got=f"{updates} to do",
            hint="total_steps counts updates: epochs times len(loader)",
            op=type(scheduler).__name__,
        )


def check_finite(state: dict[str, Any]) -> None:
    """Refuse to save a state with numbers that are not finite: it would be no use to go on from.

    Raises
    ------
    NonFiniteError
    """
    for name, array in checkpoint.leaves({"model": state["model"], "optimizer": state["optimizer"]}):
        if isinstance(array, np.ndarray) and not anomaly.all_finite([array]):
            raise NonFiniteError(f"{name} has numbers that are not finite: step {state['step']} is not saved")


def require_finite(loss: float, part: str) -> None:
    """Refuse a loss measured on a part of the images that says nothing, as the accuracy beside it then does.

    Raises
    ------
    NonFiniteError
    """
    if not math.isfinite(loss):
        raise NonFiniteError(
            f"the {part} loss is {loss}",
            hint="images that no training image is like, or running statistics that are not finite",
        )


@contextmanager
def evaluation_mode(model: Module) -> Iterator[None]:
    """Evaluation mode for a block; afterwards each module, frozen ones too, is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
