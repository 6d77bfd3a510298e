"""The network, for either framework: ``torch`` is the module ``minicnn`` or the module ``torch``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def build(
    torch: Any, filters: np.ndarray, widths: Sequence[int], activation: str = "GELU", depth: int = 2
) -> Any:
    """A whitening layer and three blocks that halve the image; after K. Jordan's airbench94.

    Parameters
    ----------
    torch : module
        ``minicnn`` or ``torch``.
    filters : (F, 3, 2, 2) array
        The weights of the first layer, which are not trained.
    widths : three int
        Channels of the blocks.
    activation : str
        A layer of ``torch.nn``.
    depth : int
        Convolutions in a block.
    """
    nn = torch.nn
    whiten = nn.Conv2d(3, len(filters), 2)
    whiten.weight.data = torch.tensor(filters)
    whiten.weight.requires_grad_(False)
    nn.init.zeros_(whiten.bias)
    activate = getattr(nn, activation)
    layers = [whiten, activate()]
    c_in = len(filters)
    for width in widths:
        for i in range(depth):
            conv = nn.Conv2d(c_in, width, 3, padding=1, bias=False)
            with torch.no_grad():
                nn.init.dirac_(conv.weight[:c_in])  # begin as the identity
            layers += [conv, nn.MaxPool2d(2)] if i == 0 else [conv]
            layers += [normalisation(torch, width), activate()]
            c_in = width
    layers += [nn.MaxPool2d(3), nn.Flatten(), nn.Linear(c_in, 10, bias=False), scale(torch, 1 / 9)]
    return nn.Sequential(*layers)


def normalisation(torch: Any, channels: int) -> Any:
    """Batch normalisation without a trained scale, as airbench has it."""
    layer = torch.nn.BatchNorm2d(channels, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


def scale(torch: Any, factor: float) -> Any:
    """A layer that multiplies by a number."""

    class Scale(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x * factor

    return Scale()
