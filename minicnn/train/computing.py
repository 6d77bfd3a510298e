"""With what a configuration computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from minicnn import backends
from minicnn.core.threads import use_threads
from minicnn.train.config import Config

__all__ = ["computing"]


@contextmanager
def computing(config: Config) -> Iterator[None]:
    """Compute with the threads and the backend of a resolved configuration, for a block.

    NumPy does not warn meanwhile: the watch on the numbers takes the place of that.

    Raises
    ------
    BackendError
        If there is no such backend here.
    """
    with use_threads(config.threads), backends.use_backend(config.backend), np.errstate(all="ignore"):
        yield
