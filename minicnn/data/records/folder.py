"""A folder of class folders, or one of those in ``train`` and ``test``."""

from __future__ import annotations

import functools
import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from minicnn.data.formats.files import PathLike, files_below, list_folder, opened, shown
from minicnn.data.records.base import Record, Records, changes, is_parted, labels_of_paths, part_of
from minicnn.data.vision import IMAGE_EXTENSIONS
from minicnn.errors import FormatError

__all__ = ["FolderRecords", "left_out_note"]


class FolderRecords(Records):
    """The images below a folder, sorted by path; see :func:`~minicnn.data.formats.files.files_below`.

    Parameters
    ----------
    path : path-like
        The folder.
    part : str, optional
        See :class:`Records`.

    Raises
    ------
    FormatError
        If a folder cannot be read, or is a class or a part and holds no image.
    """

    def __init__(self, path: PathLike, part: str | None = None) -> None:
        self.path = os.fspath(path)
        self.part = part
        self._others: Counter[str] = Counter()
        self._names = sorted(self._images())
        self._refuse_empty()

    def _images(self) -> Iterator[str]:
        for name in files_below(self.path):
            ending = os.path.splitext(name)[1].lower()
            if ending in IMAGE_EXTENSIONS:
                yield name
            else:
                self._others[shown(ending) or "without an ending"] += 1

    def _refuse_empty(self) -> None:
        """A class folder without an image is a mistake rather than a class."""
        filled = {folder for name in self._names for folder in _above(name)}
        inside = functools.partial(os.path.join, self.path)
        candidates, _ = list_folder(self.path)
        if is_parted([name.split("/") for name in self._names]):
            parts = filter(part_of, candidates)
            candidates = [
                folder
                for part in parts
                for folder in (*(posixpath.join(part, name) for name in list_folder(inside(part))[0]), part)
            ]
        for folder in candidates:
            if folder not in filled:
                raise FormatError(
                    f"no image ({', '.join(IMAGE_EXTENSIONS)}) in this folder", path=inside(folder)
                )

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Record]:
        for name in self._names:
            yield Record(shown(name), functools.partial(opened, os.path.join(self.path, name)))

    def key(self) -> Any:
        def state(name: str) -> tuple[str, int, int, int]:
            try:
                return name, *changes(os.stat(os.path.join(self.path, name)))
            except OSError:  # a link to nowhere, or to itself: reading it says so
                return name, 0, 0, 0

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


def left_out_note(endings: Counter[str]) -> str:
    """What was no image by its name, in a line."""
    if not endings:
        return ""
    listed = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(4))
    return f"left out, not {' '.join(e[1:] for e in IMAGE_EXTENSIONS)}: {listed} file(s)"
