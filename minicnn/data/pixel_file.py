"""A file of images that is read where it lies, and what reads and writes at a place in a file."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from typing import Any

import numpy as np

from minicnn.data.formats.files import PathLike, damage
from minicnn.errors import FormatError
from minicnn.io import locking

__all__ = ["BINARY", "REPLACED", "PixelFile", "identity", "write_at"]

BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends


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
        if read_at(self._descriptor, image.reshape(-1).data, offset) != self._bytes:
            raise FormatError("cut off while it was read", path=self.path, offset=offset)

    @functools.cached_property
    def _descriptor(self) -> int:
        """The open file, the same in every process: as long as one has it open, no other gets its number."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | BINARY)
        except FileNotFoundError as error:
            raise FormatError("no such file", path=self.path) from error
        weakref.finalize(self, os.close, descriptor)
        locking.share(descriptor)
        found = identity(os.fstat(descriptor))
        if self._identity not in (None, found):
            raise FormatError(REPLACED, path=self.path)
        self._identity = found
        return descriptor

    def refuse_replaced(self) -> None:
        """Refuse if another file has taken its place since it was opened: what lies beside is the other's."""
        if not os.path.exists(self.path) or identity(os.stat(self.path)) != self._identity:
            raise FormatError(REPLACED, path=self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_descriptor"}


REPLACED = "the pack has changed since it was opened"


def identity(state: os.stat_result) -> tuple[int, int]:
    """What tells a file from another that takes its name."""
    return state.st_dev, state.st_ino


_seeking = threading.Lock()  # where the system cannot read and write at a place, as Windows cannot


def read_at(descriptor: int, target: memoryview, offset: int) -> int:
    """Fill memory from a place in a file; how many bytes there were."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [target], offset)
    with _seeking:
        os.lseek(descriptor, offset, os.SEEK_SET)
        found = os.read(descriptor, len(target))
    target[: len(found)] = found
    return len(found)


def write_at(descriptor: int, data: memoryview, offset: int) -> None:
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
    with damage(path, "not an .npy file"), open(descriptor, "rb", closefd=False) as file:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read[version](file)
        start = file.tell()
    if dtype != np.uint8 or fortran or len(shape) not in (3, 4):
        raise FormatError(f"{dtype} {shape}, not images of bytes", path=path)
    return shape, start
