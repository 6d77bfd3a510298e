"""The binary files of CIFAR-10 and CIFAR-100: records of label bytes and a 32x32 colour image.

CIFAR-10    1 label, then 1024 red, 1024 green and 1024 blue bytes, row by row: 3073 bytes
CIFAR-100   coarse label, fine label, then the same: 3074 bytes
"""

from __future__ import annotations

import os

import numpy as np

from minicnn.data.formats.files import PathLike, empty_array, opened
from minicnn.errors import FormatError

__all__ = ["read_cifar10", "read_cifar100"]

_PIXELS = 3 * 32 * 32


def read_cifar10(path: PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read one binary file of CIFAR-10.

    Parameters
    ----------
    path : path-like
        Such as ``data_batch_1.bin``.

    Returns
    -------
    images : (N, 32, 32, 3) array of uint8
    labels : (N,) array of int64, from 0 to 9

    Raises
    ------
    FormatError
        If the file is empty, its size is no multiple of 3073, or a label is out of range.

    References
    ----------
    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "batch.bin")
    ...     _ = path.write_bytes(bytes([7]) + bytes(3072))
    ...     images, labels = read_cifar10(path)
    >>> images.shape, labels.tolist()
    ((1, 32, 32, 3), [7])
    """
    images, labels = _records(path, (10,))
    return images, labels[:, 0]


def read_cifar100(path: PathLike, coarse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Read one binary file of CIFAR-100.

    Parameters
    ----------
    path : path-like
        ``train.bin`` or ``test.bin``.
    coarse : bool
        Return the 20 superclasses instead of the 100 classes.

    Returns
    -------
    images : (N, 32, 32, 3) array of uint8
    labels : (N,) array of int64, from 0 to 99 (or 19)

    Raises
    ------
    FormatError
        If the file is empty, its size is no multiple of 3074, or a label is out of range.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "test.bin")
    ...     _ = path.write_bytes(bytes([7, 99]) + bytes(3072))
    ...     read_cifar100(path)[1].tolist(), read_cifar100(path, coarse=True)[1].tolist()
    ([99], [7])
    """
    images, labels = _records(path, (20, 100))
    return images, labels[:, 0 if coarse else 1]


def _records(path: PathLike, classes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Images and, one column for each label byte, labels; ``classes`` bounds the columns."""
    length = len(classes) + _PIXELS
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if not size or size % length:
            raise FormatError(
                f"{size} bytes are no multiple of {length}, the size of a CIFAR-{classes[-1]} record",
                path=path,
                offset=size - size % length,
            )
        records = empty_array((size // length, length), np.dtype(np.uint8), path)
        got = file.readinto(records)  # type: ignore[attr-defined]
    if got != size:
        raise FormatError(f"ends after {got} of {size} bytes", path=path, offset=got)
    labels = records[:, : len(classes)].astype(np.int64)
    wrong = np.argwhere(labels >= np.array(classes))
    if len(wrong):
        record, column = wrong[0].tolist()
        raise FormatError(
            f"label {labels[record, column]} of image {record} is not in 0..{classes[column] - 1}",
            path=path,
            offset=record * length + column,
        )
    planes = records[:, len(classes) :].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels
