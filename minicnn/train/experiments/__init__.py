"""The article's experiments: what helps against overfitting, and which loss goes with which optimiser."""

from minicnn.train.experiments.common import Size
from minicnn.train.experiments.losses import compare_losses
from minicnn.train.experiments.overfitting import compare_regularisers

__all__ = ["Size", "compare_losses", "compare_regularisers"]
