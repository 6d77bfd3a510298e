"""IDX, the format of MNIST: a header with the type and the sizes, then the numbers, big-endian.

    byte 0, 1     0
    byte 2        element type: 08 uint8, 09 int8, 0B int16, 0C int32, 0D float32, 0E float64
    byte 3        number of dimensions D
    4 bytes each  D sizes, big-endian
    the rest      the elements in row-major order

A file may be compressed by gzip; that shows in its first two bytes, not in its name.
"""

from __future__ import annotations

import math
import os
import zlib
from typing import BinaryIO, Protocol

import numpy as np

from minicnn.data.formats.files import PathLike, empty_array, opened
from minicnn.errors import FormatError

__all__ = ["read_idx"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 8
_CHUNK = 1 << 20  # bytes
# Images shrink by less than 20; a file that grows by more than this is made to fill the memory.
_MAX_RATIO = 200
_ALWAYS_FINE = 64 << 20  # bytes: below that, any ratio is taken


class _Reader(Protocol):
    def read(self, count: int, /) -> bytes: ...


def read_idx(path: PathLike) -> np.ndarray:
    """Read an IDX file, plain or compressed by gzip.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    numpy.ndarray
        With the file's sizes and element type, in native byte order.

    Raises
    ------
    FormatError
        If the header is wrong, there are fewer or more bytes than the sizes imply, a floating point number
        is not finite, or a compressed file would grow more than 200-fold and beyond 64 MiB. Its ``offset``
        counts uncompressed bytes. No more than the implied bytes and one are read.

    References
    ----------
    Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3]) + bytes([5, 0, 4]))
    ...     read_idx(path)
    array([5, 0, 4], dtype=uint8)
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        reader: _Reader = _Gunzip(file, path) if zipped else file
        dtype, shape = _header(reader, path)
        start = 4 + 4 * len(shape)
        count = math.prod(shape) * dtype.itemsize
        if not zipped and start + count != size:
            raise FormatError(
                f"sizes {shape} of {dtype} imply {start + count} bytes, the file has {size}",
                path=path,
                offset=4,
            )
        if zipped and count > max(_ALWAYS_FINE, _MAX_RATIO * size):
            raise FormatError(
                f"sizes {shape} imply {count} bytes, over {_MAX_RATIO} times the compressed {size}",
                path=path,
                offset=4,
            )
        array = _body(reader, dtype, shape, path, start)
    if dtype.kind == "f" and not np.isfinite(array).all():
        where = int(np.argmin(np.isfinite(array).ravel()))
        raise FormatError(
            f"element {where} is not a finite number", path=path, offset=start + where * dtype.itemsize
        )
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(reader: _Reader, path: PathLike) -> tuple[np.dtype, tuple[int, ...]]:
    """Element type and sizes."""
    magic = reader.read(4)
    if len(magic) < 4:
        raise FormatError(f"{len(magic)} bytes are too few for an IDX header", path=path, offset=len(magic))
    if magic[:2] != b"\0\0":
        raise FormatError(
            f"not an IDX file: it begins with {magic.hex(' ')}, not with 00 00", path=path, offset=0
        )
    if magic[2] not in _TYPES:
        known = ", ".join(f"{code:02x}" for code in _TYPES)
        raise FormatError(f"unknown IDX element type {magic[2]:02x}, not one of {known}", path=path, offset=2)
    rank = magic[3]
    if not 1 <= rank <= _MAX_DIMENSIONS:
        raise FormatError(f"{rank} dimensions, not 1 to {_MAX_DIMENSIONS}", path=path, offset=3)
    sizes = reader.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise FormatError(f"the header ends within its {rank} sizes", path=path, offset=4 + len(sizes))
    return np.dtype(_TYPES[magic[2]]), tuple(np.frombuffer(sizes, ">u4").tolist())


def _body(reader: _Reader, dtype: np.dtype, shape: tuple[int, ...], path: PathLike, start: int) -> np.ndarray:
    """The elements; there must be exactly as many as the sizes imply."""
    array = empty_array(shape, dtype, path)
    flat = array.reshape(-1).view(np.uint8)
    have = 0
    while have < len(flat):
        piece = reader.read(min(_CHUNK, len(flat) - have))
        if not piece:
            raise FormatError(
                f"ends after {have} of the {len(flat)} bytes that sizes {shape} imply",
                path=path,
                offset=start + have,
            )
        flat[have : have + len(piece)] = np.frombuffer(piece, np.uint8)
        have += len(piece)
    if reader.read(1):
        raise FormatError(
            f"goes on after the {len(flat)} bytes that sizes {shape} imply", path=path, offset=start + have
        )
    return array


class _Gunzip:
    """Reads one gzip member, never more of it than asked for.

    Unlike ``gzip.GzipFile`` it refuses what follows the member, and a million empty members.
    """

    def __init__(self, file: BinaryIO, path: PathLike) -> None:
        self._file = file
        self._path = path
        self._inflate = zlib.decompressobj(31)  # 31: with a gzip header and checksum
        self._done = 0

    def read(self, count: int, /) -> bytes:
        """Up to ``count`` bytes; fewer at the end."""
        out = bytearray()
        while len(out) < count and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._file.read(65536)
            if not packed:
                raise self._error("the gzip data end too early", len(out))
            try:
                out += self._inflate.decompress(packed, count - len(out))
            except zlib.error as error:
                raise self._error(f"damaged gzip data: {error}", len(out)) from error
        if self._inflate.eof and (self._inflate.unused_data or self._file.read(1)):
            raise self._error("something follows the gzip data", len(out))
        self._done += len(out)
        return bytes(out)

    def _error(self, message: str, more: int) -> FormatError:
        return FormatError(message, path=self._path, offset=self._done + more)
