"""Packed images: a folder of plain arrays, for sets larger than memory.

    pack.json           version, classes, image shape, where it came from, what was left out
    train-images.npy    (N, H, W) or (N, H, W, 3) uint8
    train-labels.npy    (N,) int64
    train-hashes.npy    (N, 16) uint8, the BLAKE2b of each image's pixels
    train-names.json    the names of the images, for people
    test-...            the same, where there is a test set

Any program that reads ``.npy`` reads it. minicnn reads images where they lie, one system call each, instead
of mapping the file: so it works under a limit on address space (``ulimit -v``), too. What the system has
memory for, it keeps.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from minicnn.data.formats.files import PathLike
from minicnn.data.vision import ImageArrays
from minicnn.errors import FormatError, LabelError, OptionError, ShapeError
from minicnn.io import folders, locking

__all__ = ["PackedImages", "PixelFile", "Writer", "is_pack", "open_pack", "pixel_hash", "writing"]

VERSION = 1
HASH_BYTES = 16
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends
PARTS = ("train", "validation", "test")
_FACTS = ("version", "classes", "image_shape", "counts", "note", "skipped", "origin")


class PixelFile:
    """An ``.npy`` file of images, read on demand; indexed as an array is, by a number, numbers or a slice.

    Another process that gets it opens the file when it first reads, and refuses one that took its place.

    Parameters
    ----------
    path : path-like
        An ``.npy`` file of uint8 in C order.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype

    Raises
    ------
    FormatError
        If it is no such file, or cut off.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "images.npy")
    ...     np.save(path, np.arange(12, dtype=np.uint8).reshape(3, 2, 2))
    ...     pixels = PixelFile(path)
    ...     pixels.shape, pixels[2].tolist(), pixels[[1, 0]].shape
    ((3, 2, 2), [[8, 9], [10, 11]], (2, 2, 2))
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: PathLike) -> None:
        self.path = os.fspath(path)
        self._identity: tuple[int, int] | None = None
        self.shape, self._start = _npy_header(self._descriptor, self.path)
        self.ndim = len(self.shape)
        self._bytes = int(np.prod(self.shape[1:], dtype=object))
        held = os.fstat(self._descriptor).st_size - self._start
        if held != self._bytes * self.shape[0]:
            raise FormatError(
                f"cut off: {held} bytes of images, expected {self._bytes * self.shape[0]}", path=self.path
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, slice):
            index = range(*index.indices(len(self)))
        if isinstance(index, (int, np.integer)):
            image = np.empty(self.shape[1:], np.uint8)
            self._read(int(index), image)
            return image
        chosen = np.asarray(index)
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(self),):
                raise IndexError(f"a mask of shape {chosen.shape} for {len(self)} images")
            chosen = np.flatnonzero(chosen)
        images = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        for place, one in enumerate(chosen.tolist()):
            self._read(one, images[place])
        return images

    def _read(self, index: int, image: np.ndarray) -> None:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} images")
        offset = self._start + index % len(self) * self._bytes
        if _read_at(self._descriptor, image.reshape(-1).data, offset) != self._bytes:
            raise FormatError("cut off while it was read", path=self.path, offset=offset)

    @functools.cached_property
    def _descriptor(self) -> int:
        """The open file, the same in every process: as long as one has it open, no other gets its number."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | _BINARY)
        except FileNotFoundError as error:
            raise FormatError("no such file", path=self.path) from error
        weakref.finalize(self, os.close, descriptor)
        locking.share(descriptor)
        identity = _identity(os.fstat(descriptor))
        if self._identity not in (None, identity):
            raise FormatError(_REPLACED, path=self.path)
        self._identity = identity
        return descriptor

    def refuse_replaced(self) -> None:
        """Refuse if another file has taken its place since it was opened: what lies beside is the other's."""
        if not os.path.exists(self.path) or _identity(os.stat(self.path)) != self._identity:
            raise FormatError(_REPLACED, path=self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_descriptor"}


_REPLACED = "the pack has changed since it was opened"


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino


_seeking = threading.Lock()  # where the system cannot read and write at a place, as Windows cannot


def _read_at(descriptor: int, target: memoryview, offset: int) -> int:
    """Fill memory from a place in a file; how many bytes there were."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [target], offset)
    with _seeking:
        os.lseek(descriptor, offset, os.SEEK_SET)
        found = os.read(descriptor, len(target))
    target[: len(found)] = found
    return len(found)


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of it at a place in a file."""
    while data:
        if hasattr(os, "pwrite"):
            written = os.pwrite(descriptor, data, offset)
        else:
            with _seeking:
                os.lseek(descriptor, offset, os.SEEK_SET)
                written = os.write(descriptor, data)
        data, offset = data[written:], offset + written


def _npy_header(descriptor: int, path: str) -> tuple[tuple[int, ...], int]:
    """The shape of the array in a file of bytes, and where its data begin."""
    try:
        with open(descriptor, "rb", closefd=False) as file:
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, fortran, dtype = read[version](file)
            start = file.tell()
    except (ValueError, KeyError) as error:
        raise FormatError(f"not an .npy file: {error}", path=path) from error
    if dtype != np.uint8 or fortran or len(shape) not in (3, 4):
        raise FormatError(f"{dtype} {shape}, not images of bytes", path=path)
    return shape, start


class PackedImages(ImageArrays):
    """The images of one part of a pack; see :class:`~minicnn.data.vision.ImageArrays`.

    Attributes
    ----------
    names : list of str
        What the images were called where they came from.
    hashes : (N, 16) array of uint8
        Equal for equal pixels.
    """

    def __init__(self, folder: PathLike, part: str, classes: Sequence[str]) -> None:
        self._stem = os.path.join(os.fspath(folder), part)
        pixels: Any = PixelFile(f"{self._stem}-images.npy")
        labels = f"{self._stem}-labels.npy"
        try:
            super().__init__(pixels, _load(labels, np.int64), classes)
        except (LabelError, ShapeError) as error:
            raise FormatError(f"damaged: {error}", path=labels) from error
        self.hashes = _load(f"{self._stem}-hashes.npy", np.uint8)
        if self.hashes.shape != (len(self.labels), HASH_BYTES):
            raise FormatError(f"{self.hashes.shape} for {len(self)} images", path=f"{self._stem}-hashes.npy")

    @functools.cached_property
    def names(self) -> list[str]:
        path = f"{self._stem}-names.json"
        with _opened(path) as file:
            names = _json(file)
        pixels: Any = self.pixels
        pixels.refuse_replaced()
        if not isinstance(names, list) or len(names) != len(self):
            raise FormatError(f"not the names of {len(self)} images", path=path)
        return names


def _load(path: str, dtype: Any) -> np.ndarray:
    try:
        array = np.load(path)  # it refuses pickles
    except FileNotFoundError as error:
        raise FormatError("no such file", path=path) from error
    except (ValueError, EOFError) as error:
        raise FormatError(f"damaged: {error}", path=path) from error
    if array.dtype != dtype:
        raise FormatError(f"{array.dtype}, expected {np.dtype(dtype)}", path=path)
    return array


def _json(file: TextIO) -> Any:
    try:
        return json.load(file)
    except ValueError as error:
        raise FormatError(f"damaged: {error}", path=file.name) from error


def _opened(path: str) -> TextIO:
    try:
        return open(path, encoding="utf-8")
    except FileNotFoundError as error:
        raise FormatError("no such file", path=path) from error


def is_pack(path: PathLike) -> bool:
    """Whether a folder is one of packed images."""
    return os.path.isfile(os.path.join(os.fspath(path), "pack.json"))


def open_pack(path: PathLike) -> tuple[dict[str, Any], dict[str, PackedImages]]:
    """What ``pack.json`` says, and the images of each part.

    Raises
    ------
    FormatError
        If a file is missing, damaged or of a later version, or another pack takes the place meanwhile.
    """
    path = os.fspath(path)
    name = os.path.join(path, "pack.json")
    with _opened(name) as file:
        facts = _json(file)
        parts = _parts(facts, path, name)
        if not os.path.exists(name) or _identity(os.stat(name)) != _identity(os.fstat(file.fileno())):
            raise FormatError(_REPLACED, path=path)
    return facts, parts


def _parts(facts: Any, path: str, name: str) -> dict[str, PackedImages]:
    if not isinstance(facts, dict) or any(key not in facts for key in _FACTS):
        raise FormatError("not the description of packed images", path=name)
    if facts["version"] != VERSION:
        raise FormatError(f"version {facts['version']}, this minicnn reads version {VERSION}", path=name)
    parts = {part: PackedImages(path, part, facts["classes"]) for part in PARTS if part in facts["counts"]}
    if "train" not in parts:
        raise FormatError("no training images", path=path)
    return parts


def pixel_hash(pixels: Any) -> bytes:
    """What an image is known by: the BLAKE2b of its bytes, given as an array or as bytes."""
    return hashlib.blake2b(pixels, digest_size=HASH_BYTES).digest()


def fingerprint(part: PackedImages) -> bytes:
    """SHA-256 of one part: of its shape, pixels and labels."""
    digest = hashlib.sha256(f"{part.pixels.shape}".encode())
    digest.update(part.hashes.tobytes())
    digest.update(part.labels.tobytes())
    return digest.digest()


class Writer:
    """Writes the files of a pack into a folder; images in any order, from any thread."""

    def __init__(self, folder: Path, image_shape: tuple[int, int, int]) -> None:
        self.folder = folder
        channels, height, width = image_shape
        self.image_shape = image_shape
        self._pixels = (height, width) if channels == 1 else (height, width, channels)
        self._files: dict[str, tuple[int, int]] = {}  # descriptor, and where the pixels begin
        self._hashes: dict[str, np.ndarray] = {}
        self.finished = False

    def begin(self, part: str, names: Sequence[str], labels: np.ndarray) -> None:
        """A part of so many images."""
        count = len(names)
        np.save(self.folder / f"{part}-labels.npy", labels.astype(np.int64))
        (self.folder / f"{part}-names.json").write_text(json.dumps(list(names)), encoding="utf-8")
        self._hashes[part] = np.zeros((count, HASH_BYTES), np.uint8)
        path = self.folder / f"{part}-images.npy"
        with open(path, "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *self._pixels)}
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()
            file.truncate(start + count * int(np.prod(self._pixels)))
        self._files[part] = os.open(path, os.O_RDWR | _BINARY), start

    def put(self, part: str, index: int, pixels: np.ndarray) -> None:
        """One image (H, W) or (H, W, C)."""
        content = np.ascontiguousarray(pixels).reshape(self._pixels)
        descriptor, start = self._files[part]
        data = content.reshape(-1).data
        _write_at(descriptor, data, start + index * len(data))
        self._hashes[part][index] = np.frombuffer(pixel_hash(data), np.uint8)

    def finish(self, facts: dict[str, Any]) -> None:
        """All images are there: write down what they are."""
        for part, (descriptor, _) in self._files.items():
            np.save(self.folder / f"{part}-hashes.npy", self._hashes[part])
            os.fsync(descriptor)
        counts = {part: len(hashes) for part, hashes in self._hashes.items()}
        facts = {"version": VERSION, "image_shape": list(self.image_shape), "counts": counts} | facts
        (self.folder / "pack.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        self.finished = True

    def close(self) -> None:
        for descriptor, _ in self._files.values():
            os.close(descriptor)
        self._files.clear()


@contextmanager
def writing(folder: PathLike, image_shape: tuple[int, int, int]) -> Iterator[Writer]:
    """A writer of a new pack, which takes its name if it was finished in the block; else nothing is left.

    Raises
    ------
    OptionError
        If something stands there that is neither a pack nor an empty folder: it would be lost.
    OSError
        If it cannot be written, as on a full disk; it names the folder.
    """
    final = Path(os.path.abspath(folder))
    temporary = folders.temporary(final)
    writer = None
    try:
        temporary.mkdir(parents=True)
        writer = Writer(temporary, image_shape)
        yield writer
        writer.close()
        if writer.finished:
            refuse_occupied(final)
            folders.take_place(temporary, final)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(final)) from error
    finally:
        if writer is not None:
            writer.close()
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_occupied(folder: PathLike) -> None:
    """Refuse a place where something stands that is neither a pack nor an empty folder: it would be lost."""
    final = Path(folder)
    if os.path.lexists(final) and not is_pack(final) and not (final.is_dir() and not any(final.iterdir())):
        raise OptionError(
            expected="a place for the pack where nothing is, or a pack to replace",
            got=str(final),
            op="data pack",
        )
