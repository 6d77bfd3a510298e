"""Opening a file so that what is wrong with its path is a :class:`FormatError` too."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np

from minicnn.errors import FormatError

__all__ = ["PathLike", "empty_array", "opened"]

PathLike = str | os.PathLike[str]


@contextmanager
def opened(path: PathLike) -> Iterator[BinaryIO]:
    """The file, opened to read bytes.

    Raises
    ------
    FormatError
        If there is no such file, or it may not be read. What the operating system reports besides stays an
        ``OSError``.
    """
    if not os.path.isfile(path):  # a pipe or a device could keep us waiting for ever
        raise FormatError("not a regular file" if os.path.exists(path) else "no such file", path=path)
    if not os.access(path, os.R_OK):
        raise FormatError(f"cannot be read: {os.strerror(errno.EACCES)}", path=path)
    with open(path, "rb") as file:
        yield file


def empty_array(shape: tuple[int, ...], dtype: np.dtype, path: PathLike) -> np.ndarray:
    """An array to read a file's contents into.

    Raises
    ------
    FormatError
        If it does not fit in memory.
    """
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:  # ValueError: larger than any array can be
        raise FormatError(
            f"the contents, {dtype} of shape {shape}, do not fit in memory", path=path
        ) from error
