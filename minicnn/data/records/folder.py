"""A folder of class folders, or one of those in ``train`` and ``test``."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from minicnn.data.formats.files import PathLike, opened
from minicnn.data.records.base import PARTS, Record, Records, labels_of_paths
from minicnn.data.vision import IMAGE_EXTENSIONS
from minicnn.errors import FormatError

__all__ = ["FolderRecords", "left_out_note"]


class FolderRecords(Records):
    """The images below a folder, sorted by path. What begins with a dot is left out, links to folders too.

    Parameters
    ----------
    path : path-like
        The folder.
    part : str, optional
        See :class:`Records`.

    Raises
    ------
    FormatError
        If a folder cannot be read, or one at the height of the class folders holds no image.
    """

    def __init__(self, path: PathLike, part: str | None = None) -> None:
        self.path = os.fspath(path)
        self.part = part
        self._others: Counter[str] = Counter()
        self._names = sorted(self._walk())
        self._refuse_empty()

    def _walk(self) -> Iterator[str]:
        def refuse(error: OSError) -> None:
            raise FormatError(f"cannot be read: {error.strerror}", path=error.filename) from error

        for place, folders, files in os.walk(self.path, onerror=refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                ending = os.path.splitext(name)[1].lower()
                if name.startswith("."):
                    continue
                if ending in IMAGE_EXTENSIONS:
                    yield os.path.relpath(os.path.join(place, name), self.path).replace(os.sep, "/")
                else:
                    self._others[ending or "without an ending"] += 1

    def _refuse_empty(self) -> None:
        """A class folder without an image is a mistake rather than a class."""
        filled = {folder for name in self._names for folder in _above(name)}
        parted = any(name.startswith("train/") and name.count("/") > 1 for name in self._names)
        roots = [part for part in PARTS if part in filled] if parted else [""]
        for root in roots:
            for folder in _folders(os.path.join(self.path, root)):
                if os.path.relpath(folder, self.path).replace(os.sep, "/") not in filled:
                    endings = ", ".join(IMAGE_EXTENSIONS)
                    raise FormatError(f"no image ({endings}) in this class folder", path=folder)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Record]:
        for name in self._names:
            yield Record(name, functools.partial(opened, os.path.join(self.path, name)))

    def key(self) -> Any:
        def state(name: str) -> tuple[str, int, int]:
            try:
                found = os.stat(os.path.join(self.path, name))
            except OSError:  # a link to nowhere, or to itself: reading it says so
                return name, 0, 0
            return name, found.st_size, found.st_mtime_ns

        return [state(name) for name in self._names]

    def where(self, name: str) -> str:
        return os.path.join(self.path, *name.split("/"))

    def labels_of(self, names: Sequence[str]) -> list[tuple[str, str]]:
        return labels_of_paths(names, self.where, below=0)

    def note(self) -> str:
        return left_out_note(self._others)


def _above(name: str) -> Iterator[str]:
    """All folders that a path lies in."""
    folder, slash, _ = name.rpartition("/")
    while slash:
        yield folder
        folder, slash, _ = folder.rpartition("/")


def _folders(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(e.path for e in entries if e.is_dir() and not e.name.startswith("."))


def left_out_note(endings: Counter[str]) -> str:
    """What was no image by its name, in a line."""
    if not endings:
        return ""
    listed = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(4))
    return f"left out, not {' '.join(e[1:] for e in IMAGE_EXTENSIONS)}: {listed} file(s)"
