"""Tar files of class folders, and tar shards in the WebDataset convention, read as streams.

https://github.com/webdataset/webdataset#the-webdataset-format : the files of a sample have one name up to the
first dot; ``.cls`` holds the class as a whole number or a name, and ``.json`` may do so under ``label``.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, BinaryIO

from minicnn.data.formats.files import PathLike, damage, is_hidden, opened, shown
from minicnn.data.formats.images import EXTENSIONS
from minicnn.data.records.base import (
    FileRecords,
    Opener,
    Record,
    checked_label,
    in_memory,
    unreadable,
)
from minicnn.data.records.folder import left_out_note
from minicnn.data.records.parts import labels_of_paths, parts_of_paths
from minicnn.errors import FormatError, OptionError

__all__ = ["TAR_ENDINGS", "TarRecords", "is_tar", "shards_of"]

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
_MAX_BYTES = 256 << 20  # of one image file
_LABELS = (".cls", ".json")  # the first that is there counts
_TOGETHER = (
    16  # images of one sample; more of one name are no sample of WebDataset: cat.0.jpg, cat.1.jpg, ...
)
_ABOUT_OTHERS = (  # kinds of headers
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
_MAX_NAME = 1 << 20  # bytes
_BLOCK = 1 << 20

_Member = tuple[str, Opener]


def is_tar(path: str) -> bool:
    """Whether a path names a tar file, or shards by braces as in ``train-{0000..0009}.tar``."""
    return path.lower().endswith(TAR_ENDINGS)


def shards_of(path: PathLike) -> list[str]:
    """The tar files of a path: itself, or those that its braces name.

    Raises
    ------
    OptionError
        If the braces name none.

    Examples
    --------
    >>> shards_of("set-{08..10}.tar")
    ['set-08.tar', 'set-09.tar', 'set-10.tar']
    """
    path = os.fspath(path)
    braces = re.search(r"\{(\d+)\.\.(\d+)\}", path)
    if braces is None:
        return [path]
    first, last = braces.groups()
    numbers = [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    if not numbers:
        raise OptionError(expected="braces {first..last} in order", got=path, op="data")
    before, after = path[: braces.start()], path[braces.end() :]
    return [name for number in numbers for name in shards_of(before + number + after)]


class TarRecords(FileRecords):
    """The images in tar files, in their order.

    What is hidden is left out; links are counted in the note, as a stream cannot go back to what they name.

    Parameters
    ----------
    path : path-like
        A tar file, plain or compressed by gzip, bzip2 or xz; shards as :func:`shards_of` takes them.
    part : str, optional
        See :class:`Records`.
    files : sequence of str, optional
        The tar files, if not all of the path.
    """

    def __init__(self, path: PathLike, part: str | None = None, files: Sequence[str] | None = None) -> None:
        super().__init__(path, shards_of(path) if files is None else files, part)
        self._others: Counter[str] = Counter()
        self._links = 0

    def __iter__(self) -> Iterator[Record]:
        self._others.clear()
        self._links = 0
        for shard in self.files:
            yield from self._samples(shard)

    def _samples(self, shard: str) -> Iterator[Record]:
        """The records of a file; what stands beside an image under its name may be its label."""
        for _, members in itertools.groupby(self._members(shard), key=lambda member: _split(member[0])[0]):
            yield from self._sample(shard, members)

    def _sample(self, shard: str, members: Iterator[_Member]) -> Iterator[Record]:
        """The records under one name, held until all files of that name are there, or too many."""
        images: list[_Member] = []
        labels: dict[str, _Member] = {}
        many = False
        for name, content in members:
            ending = _split(name)[1].lower()
            if _is_image(ending):
                images.append((name, content))
            elif many:
                text = f"stands behind more than {_TOGETHER} images of its name"
                raise FormatError(text, path=self.where(self.name(shard, name)))
            else:
                labels[ending] = name, content
            many = many or len(images) > _TOGETHER
            if many:
                yield from self._labelled(shard, images, labels)
                images.clear()
        yield from self._labelled(shard, images, labels)
        if not (images or many):
            self._others.update(labels.keys())

    def _labelled(self, shard: str, images: list[_Member], labels: dict[str, _Member]) -> Iterator[Record]:
        """Images with the class that the files beside them say."""
        try:
            label, refusal = _label(labels, lambda name: self.where(self.name(shard, name))), None
        except FormatError as error:
            label, refusal = None, unreadable(error)
        for name, content in images:
            yield Record(self.name(shard, name), refusal or content, label)

    def _members(self, shard: str) -> Iterator[_Member]:
        """Names and contents of the regular files that matter, as the stream brings them."""
        with (
            opened(shard) as file,
            damage(shard),
            _decompressed(file) as plain,
            tarfile.open(fileobj=plain, mode="r|", tarinfo=_Strict) as tar,
        ):
            for member in tar:
                if self._matters(member):
                    name = shown(member.name)
                    yield name, self._content(tar, member, self.where(self.name(shard, name)))
            while plain is not file and plain.read(_BLOCK):
                pass  # the checksum of what is compressed comes last

    def _matters(self, member: tarfile.TarInfo) -> bool:
        """Whether it is an image or a label; what else is there is counted."""
        folders = member.name.split("/")
        if any(is_hidden(name) for name in folders if name not in (".", "..")):
            return False
        if member.islnk() or member.issym():
            self._links += 1
        if not member.isfile():
            return False
        ending = _split(member.name)[1].lower()
        if _is_image(ending) or ending in _LABELS:
            return True
        self._others[shown(os.path.splitext(member.name)[1].lower()) or "without an ending"] += 1
        return False

    @staticmethod
    def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, where: str) -> Opener:
        if member.size > _MAX_BYTES:
            return unreadable(FormatError(f"{member.size} bytes, more than an image has", path=where))
        content = tar.extractfile(member)
        assert content is not None  # it is a regular file
        return in_memory(content.read())

    def labels_of(self, names: Sequence[str]) -> list[tuple[str, str]]:
        return labels_of_paths(*self._paths(names), self.part)

    def parts_of(self, names: Sequence[str]) -> list[str]:
        return parts_of_paths(*self._paths(names), self.part)

    def _paths(self, names: Sequence[str]) -> tuple[list[str], Callable[[str], str]]:
        """The names in their files, and what errors call those."""
        inside = {self.inside(name): name for name in names}
        return [self.inside(name) for name in names], lambda name: self.where(inside[name])

    def note(self) -> str:
        links = f"left out: {self._links} link{'s' if self._links > 1 else ''}" if self._links else ""
        return "; ".join(filter(None, (super().note(), left_out_note(self._others), links)))


def _decompressed(file: BinaryIO) -> AbstractContextManager[BinaryIO]:
    """The contents of a file compressed by gzip, bzip2 or xz, whose first bytes say so, or the file itself.

    Unlike the mode ``r|*`` of ``tarfile`` these readers compare checksums, and take files of several streams,
    as parallel compressors write them.
    """
    import bz2
    import gzip
    import lzma

    first = file.read(6)
    file.seek(0)
    openers: dict[bytes, Callable[..., Any]] = {
        b"\x1f\x8b": gzip.open,
        b"BZh": bz2.open,
        b"\xfd7zXZ": lzma.open,
    }
    for magic, opener in openers.items():
        if first.startswith(magic):
            return opener(file)
    return nullcontext(file)


class _Strict(tarfile.TarInfo):
    """A header that is not whole is an error: for ``tarfile`` it would be the end of a file that goes on."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: Any, errors: Any) -> Any:
        found = super().frombuf(buf, encoding, errors)
        # What it announces is a name and the like, which ``tarfile`` reads into memory.
        if found.type in _ABOUT_OTHERS and found.size > _MAX_NAME:
            raise tarfile.ReadError(f"{found.size} bytes to describe a file, more than any has")
        return found

    @classmethod
    def fromtarfile(cls, tar: Any) -> Any:
        tar.members.clear()  # it would keep all of a stream that may be longer than memory
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise  # the mark at the end
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error or 'no mark at the end'}, at byte {tar.offset}") from error


def _split(name: str) -> tuple[str, str]:
    """The name up to the first dot of its last part, and the rest, as WebDataset cuts it."""
    folder, file = os.path.split(name)
    base, dot, ending = file.partition(".")
    return os.path.join(folder, base), dot + ending


def _is_image(ending: str) -> bool:
    return ending.lower().endswith(EXTENSIONS)


def _label(beside: dict[str, _Member], where: Callable[[str], str]) -> str | int | None:
    """The class that the files of a sample say; None if none does.

    Raises
    ------
    FormatError
        If what they say is no class.
    """
    ending = next((ending for ending in _LABELS if ending in beside), None)
    if ending is None:
        return None
    name, content = beside[ending]
    with content() as file:
        read = file.read()
    if ending == ".cls":
        text = read.decode("utf-8", "replace").strip()
        if not text:
            raise FormatError("holds no class", path=where(name))
        return checked_label(int(text[:99]) if re.fullmatch(r"-?\d+", text) else text, where(name))
    try:
        facts = json.loads(read)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}", path=where(name)) from error
    label = facts.get("label") if isinstance(facts, dict) else None
    return None if label is None else checked_label(label, where(name))
