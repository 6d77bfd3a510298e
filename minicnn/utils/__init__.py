"""PyTorch's ``torch.utils``: only ``data``, which is :mod:`minicnn.data`."""

from minicnn.utils import data

__all__ = ["data"]
