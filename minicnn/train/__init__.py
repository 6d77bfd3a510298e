"""Training: the loop with all that a long run needs around it. It uses only the public API."""

from minicnn.train.callbacks import Callback
from minicnn.train.config import Config
from minicnn.train.losses import LOSSES
from minicnn.train.metrics import Metrics
from minicnn.train.trainer import Interrupted, Trainer

__all__ = ["LOSSES", "Callback", "Config", "Interrupted", "Metrics", "Trainer"]
