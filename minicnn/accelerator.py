"""PyTorch's ``torch.accelerator``: the GPU, whatever it is; here it can only be ``cuda``."""

from __future__ import annotations

from minicnn import cuda
from minicnn.core.device import device

__all__ = ["current_accelerator", "is_available"]


def is_available() -> bool:
    """Whether there is a GPU that can be used."""
    return cuda.is_available()


def current_accelerator() -> device | None:
    """The device to use, or None where there is no GPU."""
    return device("cuda") if is_available() else None
