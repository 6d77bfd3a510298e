"""A multilayer perceptron: dense layers only."""

from __future__ import annotations

from minicnn import nn
from minicnn.nn.checks import whole

__all__ = ["mlp"]


def mlp(num_classes: int = 10, in_features: int = 784) -> nn.Sequential:
    """784-256-128-10 with ReLU between: 235,146 parameters with the defaults.

    Parameters
    ----------
    num_classes : int
        Number of logits.
    in_features : int
        Numbers in one sample; images are flattened.

    Examples
    --------
    >>> import minicnn
    >>> mlp()(minicnn.zeros(2, 1, 28, 28)).shape
    (2, 10)
    """
    whole("mlp", "in_features", in_features)
    whole("mlp", "num_classes", num_classes)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(in_features, 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, num_classes),
    )
