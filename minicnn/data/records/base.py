"""What a source of labelled images gives, and how classes are read from paths."""

from __future__ import annotations

import functools
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, NamedTuple

from minicnn.data.formats.files import MAX_CLASS, PathLike, shown
from minicnn.errors import FormatError

__all__ = [
    "FileRecords",
    "Opener",
    "Record",
    "Records",
    "by_part",
    "changes",
    "checked_label",
    "in_memory",
    "is_parted",
    "labels_of_paths",
    "part_of",
    "unreadable",
]

# The names of parts of a data set, in any case: those that the Hugging Face library knows.
# https://huggingface.co/docs/datasets/repository_structure
_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}

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
    """

    path: str
    part: str | None = None

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
        return labels_of_paths(names, self.where)

    def part_in(self, name: str) -> str:
        """The part of an image whose class does not come from its name."""
        return self.part or "train"

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


def part_of(word: str) -> str | None:
    """The part of a data set that a folder or a split of that name is: ``train``, ``validation`` or ``test``.

    Examples
    --------
    >>> part_of("Training"), part_of("dev"), part_of("cat")
    ('train', 'validation', None)
    """
    return _PARTS.get(word.lower())


def by_part(folder: str, files: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Files grouped by the part that a word in their names says, or in those of folders; mostly ``train``.

    Examples
    --------
    >>> by_part("d", ["d/train-0.tar", "d/train-1.tar", "d/pets-val-0.tar"])
    [('validation', ['d/pets-val-0.tar']), ('train', ['d/train-0.tar', 'd/train-1.tar'])]
    """
    found: dict[str, list[str]] = {}
    for file in files:
        names = os.path.relpath(file, folder).split(os.sep)
        words = [word for name in reversed(names) for word in re.findall("[a-z]+", name.lower())]
        part = next(filter(None, map(part_of, words)), "train")
        found.setdefault(part, []).append(file)
    return sorted(found.items(), reverse=True)


def labels_of_paths(
    names: Sequence[str], where: Callable[[str], str], below: int | None = None
) -> list[tuple[str, str]]:
    """(part, class) of each path, part/class/.../file or class/.../file, below so many folders.

    By default, below those that all have in common. Folders are parts by their names, as :func:`part_of`
    says, if class folders lie in them and one of them is ``train`` or there are no others.

    Raises
    ------
    FormatError
        If a file lies in no class folder, or a folder beside ``train`` is no part.

    Examples
    --------
    >>> labels_of_paths(["d/train/cat/1.png", "d/train/dog/big/1.png", "d/val/cat/2.png"], str)
    [('train', 'cat'), ('train', 'dog'), ('validation', 'cat')]
    >>> labels_of_paths(["cat/1.png", "dog/1.png"], str)
    [('train', 'cat'), ('train', 'dog')]
    """
    paths = [[part for part in name.split("/") if part not in ("", ".")] for name in names]
    below = _common(paths) if below is None else below
    parted = is_parted([path[below:] for path in paths])
    labels = []
    for name, path in zip(names, paths, strict=True):
        word, *inside = path[below:] if parted else ["train", *path[below:]]
        part = part_of(word)
        if part is None:
            raise FormatError(f"{word!r} beside 'train' is neither val nor test", path=where(name))
        if len(inside) < 2:
            raise FormatError("lies in no class folder", path=where(name))
        labels.append((part, inside[0]))
    return labels


def is_parted(paths: Sequence[Sequence[str]]) -> bool:
    """Whether the first folders of paths are parts of a data set, rather than classes."""
    nested = {path[0] for path in paths if len(path) > 2}
    parts = {part_of(word) for word in nested}
    return "train" in parts or (bool(parts) and None not in parts and all(len(path) > 2 for path in paths))


def _common(paths: list[list[str]]) -> int:
    """How many leading folders all paths have in common, but for parts and a class folder."""
    count = 0
    while paths and all(len(path) > count + 2 for path in paths):
        firsts = {path[count] for path in paths}
        if len(firsts) > 1 or all(map(part_of, firsts)):
            break
        count += 1
    return count
