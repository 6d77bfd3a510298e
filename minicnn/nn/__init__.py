"""Floor 4: layers, losses and initialisation, under PyTorch's names."""

from __future__ import annotations

from minicnn.nn import (
    activation,
    container,
    conv,
    dropout,
    functional,
    init,
    linear,
    loss,
    normalization,
    pooling,
    utils,
)
from minicnn.nn.activation import *  # noqa: F403
from minicnn.nn.container import *  # noqa: F403
from minicnn.nn.conv import *  # noqa: F403
from minicnn.nn.dropout import *  # noqa: F403
from minicnn.nn.linear import *  # noqa: F403
from minicnn.nn.loss import *  # noqa: F403
from minicnn.nn.module import Module
from minicnn.nn.normalization import *  # noqa: F403
from minicnn.nn.parameter import Parameter
from minicnn.nn.pooling import *  # noqa: F403
from minicnn.nn.summary import summarize

__all__ = ["Module", "Parameter", "functional", "init", "summarize", "utils"]
__all__ += activation.__all__
__all__ += container.__all__
__all__ += conv.__all__
__all__ += dropout.__all__
__all__ += linear.__all__
__all__ += loss.__all__
__all__ += normalization.__all__
__all__ += pooling.__all__
