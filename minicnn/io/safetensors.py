"""Named arrays in one file: safetensors, a format that cannot express code.

The `safetensors` library packs and unpacks. Around it stands what it does not promise: arrays are
made contiguous first (version 0.8.0 writes a transposed array's memory under the wrong shape), the
file appears whole or not at all, and a header is checked for size, duplicates and rank.
"""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, FormatError, OptionError
from minicnn.io import atomic

__all__ = ["load_file", "pack", "save_file", "unpack"]

MAX_HEADER = 16 * 2**20  # bytes
MAX_TENSORS = 100_000
MAX_RANK = 8

_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_SAVED = {np.dtype(code) for name, code in _DTYPES.items() if name != "BF16"}


def save_file(
    path: str | os.PathLike[str], tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays to a safetensors file, atomically.

    Parameters
    ----------
    path : path-like
        The file; see :func:`minicnn.io.atomic.write`.
    tensors : mapping of str to Tensor or array_like
        Any memory layout and byte order; stored C-contiguous and little-endian.
    metadata : mapping of str to str, optional
        Text to keep in the header.

    Raises
    ------
    DTypeError
        If an element type has no place in the format (complex, text, objects).
    OptionError
        If a name or the metadata is not text.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file(f"{folder}/a.safetensors", {"x": np.arange(6).reshape(2, 3).T}, {"unit": "cm"})
    ...     arrays, metadata = load_file(f"{folder}/a.safetensors")
    >>> arrays["x"].tolist(), metadata
    ([[0, 3], [1, 4], [2, 5]], {'unit': 'cm'})
    """
    atomic.write(path, pack(tensors, metadata))


def pack(tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file; parameters and errors as in :func:`save_file`."""
    import safetensors.numpy

    for text in (*tensors, *(metadata or {}), *(metadata or {}).values()):
        if not isinstance(text, str) or text == "__metadata__":
            raise OptionError(expected="names and metadata as text", got=repr(text))
    arrays = {name: as_plain(value, name) for name, value in tensors.items()}
    return safetensors.numpy.save(arrays, dict(metadata) if metadata else None)


def as_plain(value: Any, name: str = "") -> np.ndarray:
    """The numbers as a C-contiguous NumPy array in little-endian byte order.

    Raises
    ------
    DTypeError
        If the format has no such element type.
    """
    array = value.cpu_array() if isinstance(value, Tensor) else np.asarray(value)
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _SAVED:
        raise DTypeError(expected=f"numbers or bool in {name!r}", got=str(array.dtype), op="save")
    return np.asarray(array, dtype=dtype, order="C")  # unlike ascontiguousarray it keeps 0 dimensions


def load_file(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file.

    Parameters
    ----------
    path : path-like
        Any safetensors file, whoever wrote it. bfloat16 becomes float32.

    Returns
    -------
    tensors : dict of str to numpy.ndarray
        In the order of their names.
    metadata : dict of str to str

    Raises
    ------
    FormatError
        If the file is not a whole and sound safetensors file, or its header is unreasonable:
        more than 16 MiB, 100,000 tensors or 8 dimensions.
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read(9)
        _check_start(content, path)
        content += file.read()
    return unpack(content, path)


def unpack(content: bytes, path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Like :func:`load_file`, on bytes; ``path`` is named in errors."""
    import safetensors

    size = _check_start(content[:9], path)
    try:
        found = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        reason = textwrap.shorten(str(error), 160)  # it may quote the file at any length
        raise FormatError(f"not a sound safetensors file: {reason}", path=path) from error
    header = _header(content[8 : 8 + size], path)
    metadata = header.pop("__metadata__", None) or {}
    tensors = {name: _array(name, entry, path) for name, entry in sorted(found, key=lambda item: item[0])}
    return tensors, metadata


def _check_start(start: bytes, path: str | os.PathLike[str]) -> int:
    """The header's size in bytes, from the first nine of the file; with a hint for files of other kinds."""
    if start[:2] in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05"):
        raise FormatError(
            "this looks like a pickle (a .pt or .pth file of PyTorch), which can run code, so it is not read",
            path=path,
            hint="in PyTorch, write it with safetensors.torch.save_file(model.state_dict(), ...)",
        )
    if len(start) < 8:
        raise FormatError(f"not a safetensors file: only {len(start)} bytes", path=path, offset=len(start))
    if start[8:] != b"{":  # the header is a JSON object
        raise FormatError("not a safetensors file", path=path)
    size = int.from_bytes(start[:8], "little")
    if size > MAX_HEADER:
        raise FormatError(
            f"not a safetensors file: a header of {size} bytes, at most {MAX_HEADER}", path=path, offset=0
        )
    return size


def _header(text: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header as a dict; the library has checked it, except for names that occur twice."""

    def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(pairs)
        if len(names) != len(pairs):
            raise FormatError("a name occurs twice in the header", path=path)
        return names

    header = json.loads(text, object_pairs_hook=without_duplicates)
    if len(header) > MAX_TENSORS:
        raise FormatError(f"{len(header)} tensors, at most {MAX_TENSORS} are read", path=path)
    return header


def _array(name: str, entry: dict[str, Any], path: str | os.PathLike[str]) -> np.ndarray:
    if entry["dtype"] not in _DTYPES:
        raise FormatError(
            f"tensor {name!r} has the element type {entry['dtype']}, which NumPy does not have", path=path
        )
    if len(entry["shape"]) > MAX_RANK:
        raise FormatError(
            f"tensor {name!r} has {len(entry['shape'])} dimensions, at most {MAX_RANK} are read", path=path
        )
    array = np.frombuffer(entry["data"], dtype=_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    if entry["dtype"] == "BF16":  # the upper half of a float32
        array = (array.astype("<u4") << 16).view("<f4")
    return array.astype(array.dtype.newbyteorder("="), copy=False)
