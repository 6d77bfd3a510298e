"""PyTorch's place for :mod:`minicnn.data`."""

from minicnn.data import *  # noqa: F403
