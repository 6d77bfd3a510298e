"""Tar files of class folders, and tar shards in the WebDataset convention, read as streams.

https://github.com/webdataset/webdataset#the-webdataset-format : the files of a sample have one name up to the
first dot; ``.cls`` holds the class as a whole number or a name, and ``.json`` may do so under ``label``.
"""

from __future__ import annotations

import glob
import itertools
import json
import lzma
import os
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from minicnn.data.formats.files import PathLike, opened
from minicnn.data.records.base import Record, Records, in_memory
from minicnn.data.records.folder import left_out_note
from minicnn.data.vision import IMAGE_EXTENSIONS
from minicnn.errors import FormatError, OptionError

__all__ = ["TAR_ENDINGS", "TarRecords", "is_tar", "shards_of"]

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
_MAX_BYTES = 256 << 20  # of one image file
_LABELS = (".cls", ".json")


def is_tar(path: str) -> bool:
    """Whether a path names a tar file, or shards by braces as in ``train-{0000..0009}.tar``."""
    return path.lower().endswith(TAR_ENDINGS)


def shards_of(path: PathLike) -> list[str]:
    """The tar files of a path: itself, those its braces name, or those in the folder it is.

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
    if os.path.isdir(path):
        return sorted(name for name in glob.glob(os.path.join(glob.escape(path), "*")) if is_tar(name))
    braces = re.search(r"\{(\d+)\.\.(\d+)\}", path)
    if braces is None:
        return [path]
    first, last = braces.groups()
    numbers = [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    if not numbers:
        raise OptionError(expected="braces {first..last} in order", got=path, op="data")
    before, after = path[: braces.start()], path[braces.end() :]
    return [name for number in numbers for name in shards_of(before + number + after)]


class TarRecords(Records):
    """The images in tar files, in their order.

    Parameters
    ----------
    path : path-like
        A tar file, plain or compressed by gzip, bzip2 or xz; shards as :func:`shards_of` takes them.
    part : str, optional
        See :class:`Records`.
    """

    def __init__(self, path: PathLike, part: str | None = None) -> None:
        self.path = os.fspath(path)
        self.part = part
        self._others: Counter[str] = Counter()

    def key(self) -> Any:
        found = [(name, os.stat(name)) for name in shards_of(self.path) if os.path.exists(name)]
        return [(os.path.basename(name), state.st_size, state.st_mtime_ns) for name, state in found]

    def __iter__(self) -> Iterator[Record]:
        self._others.clear()
        for shard in shards_of(self.path):
            yield from self._samples(shard)

    def _samples(self, shard: str) -> Iterator[Record]:
        """The records of a file; what stands beside an image under its name may be its label."""
        for _, members in itertools.groupby(self._members(shard), key=lambda member: _split(member[0])[0]):
            beside = {_split(name)[1]: (name, content) for name, content in members}
            label = _label(beside, shard)
            for ending, (name, content) in beside.items():
                if ending.lower().endswith(IMAGE_EXTENSIONS):
                    yield Record(name, in_memory(content), label)

    def _members(self, shard: str) -> Iterator[tuple[str, bytes]]:
        """Names and contents of the regular files that matter, as the stream brings them."""
        with opened(shard) as file:
            try:
                with tarfile.open(fileobj=file, mode="r|*", tarinfo=_Strict) as tar:
                    for member in tar:
                        name = member.name
                        if not member.isfile() or os.path.basename(name).startswith("."):
                            continue
                        ending = _split(name)[1].lower()
                        if not ending.endswith(IMAGE_EXTENSIONS) and ending not in _LABELS:
                            self._others[os.path.splitext(name)[1].lower() or "without an ending"] += 1
                            continue
                        if member.size > _MAX_BYTES:
                            raise FormatError(
                                f"{member.size} bytes, more than an image has", path=f"{shard}: {name}"
                            )
                        content = tar.extractfile(member)
                        assert content is not None  # it is a regular file
                        yield name, content.read()
            except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
                raise FormatError(f"damaged or cut off: {error}", path=shard) from error

    def note(self) -> str:
        return left_out_note(self._others)


class _Strict(tarfile.TarInfo):
    """A header that is not whole is an error: for ``tarfile`` it would be the end of a file that goes on."""

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


def _label(beside: dict[str, tuple[str, bytes]], shard: str) -> str | int | None:
    """The class that the files of a sample say; None if none does."""
    if ".cls" in beside:
        name, content = beside[".cls"]
        text = content.decode("utf-8", "replace").strip()
        if not text:
            raise FormatError("holds no class", path=f"{shard}: {name}")
        return int(text) if re.fullmatch(r"-?\d+", text) else text
    if ".json" in beside:
        name, content = beside[".json"]
        try:
            facts = json.loads(content)
        except ValueError as error:
            raise FormatError(f"not JSON: {error}", path=f"{shard}: {name}") from error
        label = facts.get("label") if isinstance(facts, dict) else None
        return label if isinstance(label, (int, str)) else None
    return None
