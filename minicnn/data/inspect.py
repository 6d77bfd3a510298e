"""What is in a file of images, labels or tensors: what ``minicnn load`` prints."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from minicnn.data.formats import open_image, read_cifar10, read_cifar100, read_idx
from minicnn.data.formats.files import PathLike, opened
from minicnn.data.formats.images import image_header
from minicnn.errors import FormatError, OptionError

__all__ = ["KINDS", "guess", "inspect", "to_text"]

_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM")  # how they begin
KINDS = ("idx", "cifar", "image", "safetensors", "onnx")


def inspect(kind: str, path: PathLike) -> dict[str, Any]:
    """Read a file whole, check it, and say what it holds.

    Parameters
    ----------
    kind : {"idx", "cifar", "image", "safetensors"}
        What the file should be.
    path : path-like
        The file.

    Returns
    -------
    dict
        ``kind``, ``path``, ``bytes`` (size of the file) and what there is to say of the kind; all of it
        numbers, strings, lists and dicts.

    Raises
    ------
    FormatError
        If the file is not what it should be.
    OptionError
        If there is no such kind, or it is not supported yet (``"onnx"``).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3]) + bytes([5, 0, 5]))
    ...     found = inspect("idx", path)
    >>> found["shape"], found["dtype"], found["counts"]
    ([3], 'uint8', {'0': 1, '5': 2})
    """
    if kind == "onnx":
        raise OptionError("reading ONNX files is not supported yet", op="load")
    if kind not in _READERS:
        raise OptionError(expected=f"a kind out of {', '.join(KINDS)}", got=repr(kind), op="load")
    about = _READERS[kind](path)
    return {"kind": kind, "path": os.fspath(path), "bytes": os.path.getsize(path), **about}


def guess(path: PathLike) -> str:
    """What a file seems to be, from its first bytes, its size and its name: one of :data:`KINDS`.

    Raises
    ------
    FormatError
        If it looks like nothing of it, or there is no such file.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(9)
    if start.startswith(_IMAGES) or re.match(rb"P[1-6]\s", start):
        return "image"
    if start.startswith(b"\x1f\x8b") or re.match(rb"\0\0[\x08\x09\x0b-\x0e][\x01-\x08]", start):
        return "idx"  # the only kind that is read out of gzip
    if start[8:] == b"{":
        return "safetensors"
    if os.fspath(path).endswith(".onnx"):
        return "onnx"
    if size and (size % 3073 == 0 or size % 3074 == 0):
        return "cifar"
    raise FormatError("cannot tell what it is", path=path, hint="--kind says it")


def to_text(found: dict[str, Any]) -> str:
    """What :func:`inspect` returned, as lines to read.

    Examples
    --------
    >>> print(to_text({"kind": "idx", "counts": {"0": 1, "5": 2}}))
    kind    idx
    counts  0: 1, 5: 2
    """
    width = max(len(key) for key in found)
    return "\n".join(f"{key:{width}}  {_line(value)}" for key, value in found.items())


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_line(part)}" for key, part in value.items())
    return str(value)


def _counts(labels: np.ndarray) -> dict[str, int]:
    values, counts = np.unique(labels, return_counts=True)
    return {str(value): int(count) for value, count in zip(values.tolist(), counts, strict=True)}


def _idx(path: PathLike) -> dict[str, Any]:
    array = read_idx(path)
    about: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if array.size:
        about |= {"minimum": array.min().item(), "maximum": array.max().item()}
    if array.ndim == 1 and array.dtype.kind in "iu":
        about["counts"] = _counts(array)
    return about


def _cifar(path: PathLike) -> dict[str, Any]:
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
    # 3073 x 3074 bytes would be both; nobody has such a file.
    name = "CIFAR-100" if size % 3074 == 0 and size % 3073 else "CIFAR-10"
    images, labels = read_cifar100(path) if name == "CIFAR-100" else read_cifar10(path)
    return {"format": name, "images": len(images), "shape": [3, 32, 32], "counts": _counts(labels)}


def _image(path: PathLike) -> dict[str, Any]:
    open_image(path)
    return image_header(path)


def _safetensors(path: PathLike) -> dict[str, Any]:
    from minicnn.io.serialization import read

    with opened(path):
        tensors, metadata, _ = read(path)
    listed = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    numbers = sum(int(np.prod(shape)) for _, shape in listed.values())
    return {"tensors": listed, "numbers": numbers, "metadata": metadata}


_READERS = {"idx": _idx, "cifar": _cifar, "image": _image, "safetensors": _safetensors}
