"""The bundled data set: 1,797 handwritten digits of 8x8 pixels."""

from __future__ import annotations

import os

import numpy as np

from minicnn.data.formats.idx import read_idx

__all__ = ["read_digits"]


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """The UCI optical recognition of handwritten digits, test part, bundled with minicnn.

    Returns
    -------
    images : (1797, 8, 8) array of uint8
        Grey values 0 to 255, white on black: the original's 0 to 16 times 255 / 16, rounded.
    labels : (1797,) array of int64

    References
    ----------
    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    1998, https://doi.org/10.24432/C50P49, CC BY 4.0.

    Examples
    --------
    >>> images, labels = read_digits()
    >>> images.shape, labels[:4].tolist()
    ((1797, 8, 8), [0, 1, 2, 3])
    """
    folder = os.path.join(os.path.dirname(os.path.dirname(__file__)), "files")
    levels = read_idx(os.path.join(folder, "digits-images-idx3-ubyte.gz")).astype(np.uint16)
    labels = read_idx(os.path.join(folder, "digits-labels-idx1-ubyte.gz")).astype(np.int64)
    return ((levels * 255 + 8) // 16).astype(np.uint8), labels
