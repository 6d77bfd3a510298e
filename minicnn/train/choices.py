"""What ``--optimizer``, ``--schedule``, ``--mix`` and ``--balance`` choose between, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import optim, transforms
from minicnn.core.random import generator
from minicnn.core.tensor import Tensor
from minicnn.optim import lr_scheduler

__all__ = ["BALANCES", "MIXES", "OPTIMIZERS", "SCHEDULES", "class_weights", "mixing"]

# The class, and the largest learning rate where none is given.
OPTIMIZERS: dict[str, tuple[Callable[..., optim.Optimizer], float]] = {
    "adam": (optim.Adam, 2e-3),
    "adamw": (optim.AdamW, 2e-3),
    "sgd": (optim.SGD, 0.1),
    "rmsprop": (optim.RMSprop, 1e-3),
}


def _onecycle(optimizer: optim.Optimizer, lr: float, steps: int) -> Any:
    """The momentum moves around the one that was asked for: 0.9 goes from 0.95 to 0.85 and back.

    A single update is both ends of the cycle, where nothing would be learned: it has the rate itself.
    """
    if steps == 1:
        return None
    momentum = optimizer.defaults.get("momentum", optimizer.defaults.get("betas", (0.0,))[0])
    options: dict[str, Any] = {"cycle_momentum": False}
    if momentum and not isinstance(optimizer, optim.RMSprop):
        reach = min((1 - momentum) / 2, momentum)
        options = {"base_momentum": momentum - reach, "max_momentum": momentum + reach}
    return lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, **options)


# From the optimizer, the largest rate and the updates of the whole training to a scheduler, or None.
SCHEDULES: dict[str, Callable[[optim.Optimizer, float, int], Any]] = {
    "constant": lambda optimizer, lr, steps: None,
    "cosine": lambda optimizer, lr, steps: lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps),
    "onecycle": _onecycle,
    "step": lambda optimizer, lr, steps: lr_scheduler.StepLR(optimizer, max(1, steps // 3), gamma=0.1),
}


BALANCES = ("none", "loss", "sample")
MIXES = ("none", "mixup", "cutmix", "both")
_ALPHAS = {"mixup": 0.2, "cutmix": 1.0}  # of the papers


def mixing(name: str, alpha: float, classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """What mixes the images of a batch; of ``both`` each batch gets one or the other by chance.

    Parameters
    ----------
    name : {"none", "mixup", "cutmix", "both"}
    alpha : float
        See :class:`~minicnn.transforms.MixUp`; 0: 0.2 for mixup and 1 for cutmix.
    classes : int
        The number of classes.
    """
    if name == "none":
        return None
    mixup = transforms.MixUp(alpha=alpha or _ALPHAS["mixup"], num_classes=classes)
    cutmix = transforms.CutMix(alpha=alpha or _ALPHAS["cutmix"], num_classes=classes)
    if name != "both":
        return mixup if name == "mixup" else cutmix
    return lambda images, labels: (mixup if generator().random() < 0.5 else cutmix)(images, labels)


def class_weights(labels: Any, classes: int) -> np.ndarray:
    """Weights that make all classes count alike, whatever the number of their images.

        w_c = N / (K n_c)

    with n_c of the N images in class c, so that the mean weight of an image is 1; 0 for a class without one.

    Examples
    --------
    >>> class_weights([0, 0, 0, 1], 2).tolist()
    [0.6666666666666666, 2.0]
    """
    counts = np.bincount(labels, minlength=classes)
    return np.divide(len(labels), classes * counts, out=np.zeros(classes), where=counts > 0)
