"""What ``--optimizer`` and ``--schedule`` choose between, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicnn import optim
from minicnn.optim import lr_scheduler

__all__ = ["OPTIMIZERS", "SCHEDULES"]

# The class, and the largest learning rate where none is given.
OPTIMIZERS: dict[str, tuple[Callable[..., optim.Optimizer], float]] = {
    "adam": (optim.Adam, 2e-3),
    "adamw": (optim.AdamW, 2e-3),
    "sgd": (optim.SGD, 0.1),
    "rmsprop": (optim.RMSprop, 1e-3),
}


def _onecycle(optimizer: optim.Optimizer, lr: float, steps: int) -> Any:
    moves_momentum = not isinstance(optimizer, optim.RMSprop)
    return lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, cycle_momentum=moves_momentum)


# From the optimizer, the largest rate and the updates of the whole training to a scheduler, or None.
SCHEDULES: dict[str, Callable[[optim.Optimizer, float, int], Any]] = {
    "constant": lambda optimizer, lr, steps: None,
    "cosine": lambda optimizer, lr, steps: lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps),
    "onecycle": _onecycle,
    "step": lambda optimizer, lr, steps: lr_scheduler.StepLR(optimizer, max(1, steps // 3), gamma=0.1),
}
