"""Files and folders, so that what is wrong with a path is a :class:`FormatError` too."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np

from minicnn.errors import FormatError

__all__ = [
    "MAX_CLASS",
    "PathLike",
    "damage",
    "empty_array",
    "files_below",
    "files_named",
    "is_hidden",
    "list_folder",
    "opened",
    "shown",
]

PathLike = str | os.PathLike[str]

MAX_CLASS = 65_535  # a class index beyond is a mistake


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
    try:
        file = open(path, "rb")  # noqa: SIM115 - an error in the block is not one of opening
    except PermissionError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    with file:
        yield file


@contextmanager
def damage(path: PathLike, text: str = "damaged or cut off") -> Iterator[None]:
    """For a ``with`` block that reads a file's contents: what goes wrong over them is a FormatError.

    Parameters
    ----------
    path : path-like
        What the error calls the file.
    text : str
        What the error says first.

    Raises
    ------
    FormatError
        If the contents are damaged.
    OSError, MemoryError
        As it came: a disk that fails, or too little memory, is no damaged file.
    """
    try:
        yield
    except (FormatError, MemoryError):
        raise
    except Exception as error:  # what reads may fail in any way
        # EINVAL: a damaged file sent us to a place before its beginning
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            error.filename = error.filename or os.fspath(path)
            raise
        raise FormatError(f"{text}: {error}", path=path) from error


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


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is none of the data: ``.git``, or what macOS adds to archives."""
    return name.startswith(".") or name == "__MACOSX"


def list_folder(path: PathLike) -> tuple[list[str], list[str]]:
    """The names of the folders and of the files in a folder, sorted; what is hidden is left out.

    Links count as what they lead to; one to a folder that it lies in leads round in a circle and is left out.

    Raises
    ------
    FormatError
        If the folder cannot be read.
    """
    try:
        with os.scandir(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    folders, files = [], []
    for entry in found:
        if is_hidden(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        elif not (entry.is_symlink() and os.path.isdir(entry.path)):
            files.append(entry.name)
        elif not _lies_in(path, entry.path):
            folders.append(entry.name)
    return folders, files


def _lies_in(path: PathLike, folder: PathLike) -> bool:
    """Whether a path is that folder or below it."""
    above = os.path.join(os.path.realpath(folder), "")
    return os.path.join(os.path.realpath(path), "").startswith(above)


def files_below(root: PathLike) -> Iterator[str]:
    """The paths of all files below a folder, from there and with ``/``: those in it, then folder by folder.

    See :func:`list_folder` for what is left out.

    Raises
    ------
    FormatError
        If a folder cannot be read, or links lead to the same one twice.
    """
    root = os.fspath(root)
    waiting = [""]
    read: dict[str, str] = {}
    while waiting:
        below = waiting.pop()
        place = os.path.join(root, below) if below else root
        real = os.path.realpath(place)
        if real in read:
            raise FormatError(f"the same folder as {read[real]}: its files would count twice", path=place)
        read[real] = place
        folders, files = list_folder(place)
        yield from (posixpath.join(below, name) for name in files)
        waiting += [posixpath.join(below, name) for name in reversed(folders)]


def files_named(paths: Iterable[PathLike], endings: tuple[str, ...]) -> tuple[list[str], int]:
    """The files, and for each folder those below it whose names end so, sorted; how many others lie there.

    Raises
    ------
    FormatError
        If there is no such file, or a folder holds none or cannot be read.
    """
    found: list[str] = []
    others = 0
    for path in [os.fspath(path) for path in paths]:
        if os.path.isdir(path):
            names = sorted(files_below(path))
            chosen = [os.path.join(path, name) for name in names if name.lower().endswith(endings)]
            if not chosen:
                raise FormatError(f"no file in it whose name ends in {', '.join(endings)}", path=path)
            found += chosen
            others += len(names) - len(chosen)
        elif os.path.exists(path):
            found.append(path)
        else:
            raise FormatError("no such file", path=path)
    return found, others


def shown(name: str) -> str:
    """A name that can be written as UTF-8: bytes of a file's name that are not so become escapes.

    Examples
    --------
    >>> print(shown("caf\\udce9.png"))
    caf\\udce9.png
    """
    return name.encode("utf-8", "backslashreplace").decode()
