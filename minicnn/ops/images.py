"""What a data set's bytes become before a model sees them: a kernel without a derivative."""

from __future__ import annotations

from minicnn.core.dispatch import kernel
from minicnn.typing import Array, ArrayModule

__all__ = ["standardize_bytes"]


@kernel
def standardize_bytes(xp: ArrayModule, planes: Array, mean: Array | None, std: Array | None) -> Array:
    """Bytes as numbers from 0 to 1, less the mean and over the standard deviation of each channel.

        y = (x / 255 - mean) / std

    Parameters
    ----------
    planes : (N, C, H, W) array of uint8
        In any layout; pictures have their channels last in memory.
    mean, std : (C, 1, 1) or (1, 1, 1) array of float32, or None
        Without them y = x / 255.

    Returns
    -------
    (N, C, H, W) array of float32
        In one run of memory.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3)
    >>> half = np.full((1, 1, 1), 0.5, np.float32)
    >>> [round(v, 6) for v in standardize_bytes(x, half, half).ravel().tolist()]
    [-1.0, -0.6, 1.0]
    """
    y = xp.divide(planes, xp.float32(255), order="C")
    if mean is not None:
        y -= mean
    if std is not None:
        y /= std
    return y
