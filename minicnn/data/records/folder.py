"""A folder of class folders, or one of those in ``train`` and ``test``."""

from __future__ import annotations

import functools
import os
import posixpath
from collections import Counter
from collections.abc import Iterator
from typing import Any

from minicnn.data.formats.files import PathLike, files_below, list_folder, opened, shown
from minicnn.data.formats.images import EXTENSIONS
from minicnn.data.records.base import Record, Records, changes
from minicnn.data.records.parts import places
from minicnn.errors import FormatError

__all__ = ["FolderRecords", "left_out_note"]

_OTHER_IMAGES = (".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".psd")
_MOST_KINDS = 6  # of files in a note


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
            if ending in EXTENSIONS:
                yield name
            else:
                self._others[shown(ending) or "without an ending"] += 1

    def _refuse_empty(self) -> None:
        """A class folder without an image is a mistake rather than a class, and so is a part."""
        found = places(self._names, lambda name: self.where(shown(name)), self.part)
        filled = {above for folder in found for above in _and_above(folder)}
        siblings = {""}  # folders in which parts and class folders lie, or what is above all of them
        for folder, (_, inside) in found.items():
            siblings.update(list(_and_above(folder))[len(inside) :])
        for place in sorted(siblings):
            for name in list_folder(os.path.join(self.path, place))[0]:
                if posixpath.join(place, name) not in filled:
                    text = f"no image ({', '.join(EXTENSIONS)}) in this folder"
                    raise FormatError(text, path=os.path.join(self.path, place, name))

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

    def note(self) -> str:
        return left_out_note(self._others)


def _and_above(folder: str) -> Iterator[str]:
    """A folder and all that it lies in."""
    while folder:
        yield folder
        folder = posixpath.dirname(folder)
    yield ""


def left_out_note(endings: Counter[str]) -> str:
    """What was no image by its name, in a line."""
    if not endings:
        return ""
    # Those that are images for others come first: somebody misses them.
    kinds = sorted(endings.items(), key=lambda kind: (kind[0] not in _OTHER_IMAGES, -kind[1]))
    listed = ", ".join(f"{count} {ending}" for ending, count in kinds[:_MOST_KINDS])
    more = f" and {len(kinds) - _MOST_KINDS} more kinds of" if len(kinds) > _MOST_KINDS else ""
    return f"left out, not {' '.join(e[1:] for e in EXTENSIONS)}: {listed}{more} file(s)"
