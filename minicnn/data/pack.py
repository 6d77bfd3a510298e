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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from minicnn.data.formats.files import PathLike, damage
from minicnn.data.pixel_file import BINARY, REPLACED, PixelFile, identity, write_at
from minicnn.data.vision import ImageArrays
from minicnn.errors import FormatError, LabelError, OptionError, ShapeError
from minicnn.io import folders

__all__ = [
    "PackedImages",
    "Writer",
    "fingerprint",
    "is_pack",
    "open_pack",
    "pixel_hash",
    "pixel_hashes",
    "refuse_occupied",
    "writing",
]

VERSION = 1
HASH_BYTES = 16
PARTS = ("train", "validation", "test")
_OF_A_PART = ("images.npy", "labels.npy", "hashes.npy", "names.json")
_FILES = {"pack.json"} | {f"{part}-{what}" for part in PARTS for what in _OF_A_PART}
_FACTS = ("version", "classes", "image_shape", "counts", "note", "skipped", "origin")


class PackedImages(ImageArrays):
    """The images of one part of a pack; see :class:`~minicnn.data.vision.ImageArrays`.

    Attributes
    ----------
    names : list of str
        What the images were called where they came from.
    """

    def __init__(self, folder: PathLike, part: str, classes: Sequence[str]) -> None:
        self._stem = os.path.join(os.fspath(folder), part)
        pixels: Any = PixelFile(f"{self._stem}-images.npy")
        labels = f"{self._stem}-labels.npy"
        try:
            super().__init__(pixels, _load(labels, np.int64), classes)
        except (LabelError, ShapeError) as error:
            raise FormatError(f"damaged: {error}", path=labels) from error
        self._hashes = _load(f"{self._stem}-hashes.npy", np.uint8)
        if self._hashes.shape != (len(self.labels), HASH_BYTES):
            raise FormatError(f"{self._hashes.shape} for {len(self)} images", path=f"{self._stem}-hashes.npy")

    @property
    def hashes(self) -> np.ndarray:
        """(N, 16) bytes, equal for equal pixels: of the pack, or of images that have replaced its own."""
        return self._hashes if isinstance(self.pixels, PixelFile) else pixel_hashes(self.pixels)

    @functools.cached_property
    def names(self) -> list[str]:
        """What the images of the pack are called; no attribute of images that have replaced them."""
        if not isinstance(self.pixels, PixelFile):
            raise AttributeError("these images are not those of the pack, and have no names")
        path = f"{self._stem}-names.json"
        with _opened(path) as file:
            names = _json(file)
        self.pixels.refuse_replaced()
        if not isinstance(names, list) or len(names) != len(self):
            raise FormatError(f"not the names of {len(self)} images", path=path)
        return names


def _load(path: str, dtype: Any) -> np.ndarray:
    try:
        with damage(path, "damaged"):
            # Mapped first, so that a header cannot ask for more memory than the file has; it refuses pickles.
            array = np.array(np.load(path, mmap_mode="r"))
    except FileNotFoundError as error:
        raise FormatError("no such file", path=path) from error
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
        if not os.path.exists(name) or identity(os.stat(name)) != identity(os.fstat(file.fileno())):
            raise FormatError(REPLACED, path=path)
    return facts, parts


def _parts(facts: Any, path: str, name: str) -> dict[str, PackedImages]:
    if not _is_description(facts):
        raise FormatError("not the description of packed images", path=name)
    if facts["version"] != VERSION:
        raise FormatError(f"version {facts['version']}, this minicnn reads version {VERSION}", path=name)
    parts = {part: PackedImages(path, part, facts["classes"]) for part in PARTS if part in facts["counts"]}
    if "train" not in parts:
        raise FormatError("no training images", path=path)
    return parts


def _is_description(facts: Any) -> bool:
    """Whether it has what a pack's does, of the types that it has there."""
    return (
        isinstance(facts, dict)
        and all(key in facts for key in _FACTS)
        and isinstance(facts["counts"], dict)
        and isinstance(facts["note"], str)
        and all(isinstance(facts[name], list) for name in ("classes", "image_shape", "skipped"))
        and all(isinstance(name, str) for name in facts["classes"])
        and len(facts["image_shape"]) == 3
        and all(isinstance(one, list) and len(one) == 2 for one in facts["skipped"])
    )


def pixel_hash(pixels: Any) -> bytes:
    """What an image is known by: the BLAKE2b of its bytes, given as an array or as bytes."""
    return hashlib.blake2b(pixels, digest_size=HASH_BYTES).digest()


def pixel_hashes(images: Any, indices: np.ndarray | None = None) -> np.ndarray:
    """(N, 16) bytes: :func:`pixel_hash` of each image of an array, or of those at the indices."""
    chosen = range(len(images)) if indices is None else indices.tolist()
    digests = (pixel_hash(np.ascontiguousarray(images[index])) for index in chosen)
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, HASH_BYTES)


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
        self._files[part] = os.open(path, os.O_RDWR | BINARY), start

    def put(self, part: str, index: int, pixels: np.ndarray) -> None:
        """One image (H, W) or (H, W, C)."""
        content = np.ascontiguousarray(pixels).reshape(self._pixels)
        descriptor, start = self._files[part]
        data = content.reshape(-1).data
        write_at(descriptor, data, start + index * len(data))
        self._hashes[part][index] = np.frombuffer(pixel_hash(data), np.uint8)

    def finish(self, facts: dict[str, Any]) -> None:
        """All images are there: write down what they are, and bring everything to the disk."""
        for part in self._files:
            np.save(self.folder / f"{part}-hashes.npy", self._hashes[part])
        counts = {part: len(hashes) for part, hashes in self._hashes.items()}
        facts = {"version": VERSION, "image_shape": list(self.image_shape), "counts": counts} | facts
        (self.folder / "pack.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        folders.sync(self.folder)
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
        if error.filename is not None and not os.fspath(error.filename).startswith(os.fspath(temporary)):
            raise  # of a file that images come from
        raise OSError(error.errno, error.strerror or str(error), str(final)) from error
    finally:
        if writer is not None:
            writer.close()
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_occupied(folder: PathLike) -> None:
    """Refuse a place where something stands that is neither a pack nor an empty folder: it would be lost."""
    final = Path(folder)
    there = {path.name for path in final.iterdir() if path.name[0] != "."} if final.is_dir() else {""}
    if os.path.lexists(final) and (there == {"pack.json"} or not there <= _FILES):
        raise OptionError(
            expected="a place for the pack where nothing is, or a pack to replace",
            got=str(final),
            op="data pack",
        )
