"""Layers as functions, with PyTorch's names, signatures and defaults; the module known as ``F``."""

from __future__ import annotations

from minicnn.nn.functional.activation import *  # noqa: F403
from minicnn.nn.functional.conv import *  # noqa: F403
from minicnn.nn.functional.dropout import *  # noqa: F403
from minicnn.nn.functional.linear import *  # noqa: F403
from minicnn.nn.functional.loss import *  # noqa: F403
from minicnn.nn.functional.normalization import *  # noqa: F403
from minicnn.nn.functional.pooling import *  # noqa: F403
