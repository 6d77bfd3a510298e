"""What a source of labelled images gives."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, NamedTuple

from minicnn.data.formats.files import MAX_CLASS, PathLike, shown
from minicnn.data.records.parts import labels_of_paths
from minicnn.errors import FormatError

__all__ = [
    "FileRecords",
    "Opener",
    "Record",
    "Records",
    "changes",
    "checked_label",
    "in_memory",
    "unreadable",
]

Opener = Callable[[], AbstractContextManager[BinaryIO]]


class Record(NamedTuple):
    """One image.

    Attributes
    ----------
    name : str
        Its path below the source, or what else says which one it is.
    open : callable
        Gives the file, for a ``with`` block; raises a FormatError where there is none, or no label.
    label : str, int or None
        A class name, a class index, or None where the name tells.
    """

    name: str
    open: Opener
    label: str | int | None = None


class Records:
    """Images in an order that is always the same.

    Attributes
    ----------
    path : str
        Where they come from.
    part : str or None
        ``train``, ``validation`` or ``test`` where all of them belong to one; None where their names tell.
    classes : sequence of str or None
        The names of the classes in the order of their indices, where the source says so; known once all
        images were looked at.
    """

    path: str
    part: str | None = None
    classes: Sequence[str] | None = None

    def __iter__(self) -> Iterator[Record]:
        raise NotImplementedError

    def key(self) -> Any:
        """What changes when the images may have changed; can be written as JSON."""
        raise NotImplementedError

    def where(self, name: str) -> str:
        """What errors call the image of that name."""
        return f"{self.path}: {name}"

    def labels_of(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Part and class of each image, from its name."""
        return labels_of_paths(names, self.where, self.part)

    def parts_of(self, names: Sequence[str]) -> list[str]:
        """The part of each image, where classes do not come from names."""
        return [self.part or "train"] * len(names)

    def note(self) -> str:
        """What a person should know, once all were read; mostly empty."""
        return ""


class FileRecords(Records):
    """Images in files that hold many each.

    Parameters
    ----------
    path : path-like
        The one file, or what names them all: a folder, or a path with braces.
    files : sequence of str
        The files.
    part : str, optional
        See :class:`Records`.
    """

    def __init__(self, path: PathLike, files: Sequence[str], part: str | None = None) -> None:
        self.path, self.files, self.part = os.fspath(path), list(files), part
        folders = [os.path.dirname(file) for file in self.files]
        self._folder = self.path if os.path.isdir(self.path) else os.path.commonpath(folders)

    def key(self) -> Any:
        found = [(name, os.stat(name)) for name in self.files if os.path.exists(name)]
        return [(self.name(name, ""), *changes(state)) for name, state in found]

    def name(self, file: str, inside: str) -> str:
        """What an image is called: by its file too, where there are several."""
        if self.files == [self.path]:
            return inside
        file = shown(os.path.relpath(file, self._folder))
        return f"{file.replace(': ', ':')}: {inside}"

    def inside(self, name: str) -> str:
        """The name of an image in its file."""
        return name if self.files == [self.path] else name.partition(": ")[2]

    def where(self, name: str) -> str:
        if self.files == [self.path]:
            return super().where(name)
        return os.path.join(self._folder, name)

    def note(self) -> str:
        """How many files are for the part, where their names say so."""
        count = len(self.files)
        named = self.part and self.files != [self.path]
        return f"{self.part}: {count} file{'s' if count > 1 else ''}" if named else ""


def changes(state: os.stat_result) -> tuple[int, int, int]:
    """What changes with a file; ``cp -p``, ``rsync`` and ``tar`` set its time, but not that of the change."""
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns


def in_memory(content: bytes) -> Opener:
    """An ``open`` for bytes that are there already."""
    return functools.partial(io.BytesIO, content)


def unreadable(error: FormatError) -> Opener:
    """An ``open`` for what cannot be opened."""

    def refuse() -> AbstractContextManager[BinaryIO]:
        raise error

    return refuse


def checked_label(label: Any, path: str) -> str | int:
    """A label if it is a class name or an index.

    Raises
    ------
    FormatError
        If it is neither, or an index that no class has.
    """
    if isinstance(label, bool) or not isinstance(label, (int, str)):
        raise FormatError(f"its label is {label!r}, expected a name or a whole number", path=path)
    if isinstance(label, int) and not 0 <= label <= MAX_CLASS:
        raise FormatError(f"its label is {label}, expected 0 to {MAX_CLASS}", path=path)
    return shown(label) if isinstance(label, str) else label
