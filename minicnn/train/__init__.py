"""Training: the loop with all that a long run needs around it. It uses only the public API."""

from minicnn.train.averaging import MovingAverage
from minicnn.train.callbacks import Callback, progress
from minicnn.train.config import Config
from minicnn.train.losses import LOSSES
from minicnn.train.metrics import Metrics
from minicnn.train.stopping import BestModel, EarlyStopping
from minicnn.train.trainer import Interrupted, Trainer

__all__ = [
    "LOSSES",
    "BestModel",
    "Callback",
    "Config",
    "EarlyStopping",
    "Interrupted",
    "Metrics",
    "MovingAverage",
    "Trainer",
    "progress",
]
