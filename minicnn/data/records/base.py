"""What a source of labelled images gives, and how classes are read from paths."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, NamedTuple

from minicnn.errors import FormatError

__all__ = ["PARTS", "Record", "Records", "in_memory", "labels_of_paths"]

# Folders that are parts of a data set rather than classes.
PARTS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


class Record(NamedTuple):
    """One image.

    Attributes
    ----------
    name : str
        Its path below the source, or what else says which one it is.
    open : callable
        Gives the file, for a ``with`` block.
    label : str, int or None
        A class name, a class index, or None where the name tells.
    """

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
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

    def note(self) -> str:
        """What a person should know, once all were read; mostly empty."""
        return ""


def in_memory(content: bytes) -> Callable[[], AbstractContextManager[BinaryIO]]:
    """An ``open`` for bytes that are there already."""
    return functools.partial(io.BytesIO, content)


def labels_of_paths(
    names: Sequence[str], where: Callable[[str], str], below: int | None = None
) -> list[tuple[str, str]]:
    """(part, class) of each path, part/class/.../file or class/.../file, below so many folders.

    By default, below those that all have in common. Parts are ``train``, ``validation`` (or ``val``,
    ``valid``) and ``test``.

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
    parted = any(path[below] == "train" and len(path) > below + 2 for path in paths)
    labels = []
    for name, path in zip(names, paths, strict=True):
        part, *inside = path[below:] if parted else ["train", *path[below:]]
        if part not in PARTS:
            raise FormatError(f"{part!r} beside 'train' is neither val nor test", path=where(name))
        if len(inside) < 2:
            raise FormatError("lies in no class folder", path=where(name))
        labels.append((PARTS[part], inside[0]))
    return labels


def _common(paths: list[list[str]]) -> int:
    """How many leading folders all paths have in common, but for parts and a class folder."""
    count = 0
    while paths and all(len(path) > count + 2 for path in paths):
        firsts = {path[count] for path in paths}
        if len(firsts) > 1 or firsts <= PARTS.keys():
            break
        count += 1
    return count
