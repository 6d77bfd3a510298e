"""``minicnn.save`` and ``minicnn.load``: state_dicts and what scripts put around them, as safetensors.

Tensors become the named arrays of a safetensors file; the dicts, lists, numbers and strings
around them become JSON text in its header, with a SHA-256 over all of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minicnn.core.device import move
from minicnn.core.tensor import Tensor
from minicnn.errors import FormatError, OptionError
from minicnn.io import safetensors

__all__ = ["hash_arrays", "load", "read", "save"]

_KEY = "minicnn"  # the one entry of the header's metadata; a second would come in random order
_VERSION = 1
_MAX_DEPTH = 32


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Write a state_dict, or a structure of them, to a file.

    Parameters
    ----------
    obj : dict, list, tuple, Tensor, array, number, str, bool or None
        As scripts save: ``model.state_dict()``, or ``{"model": model.state_dict(), "epoch": 3}``.
        Keys are strings or integers. A flat state_dict keeps its names in the file, so other
        programs can read it.
    path : path-like
        The file; always in the safetensors format, whatever its ending. It is replaced atomically.

    Raises
    ------
    OptionError
        If ``obj`` holds anything else, such as a whole model.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import minicnn, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     minicnn.save({"model": {"w": minicnn.ones(2)}, "epoch": 3}, f"{folder}/a.safetensors")
    ...     minicnn.load(f"{folder}/a.safetensors")
    {'model': {'w': tensor([1., 1.])}, 'epoch': 3}
    """
    tensors: dict[str, np.ndarray] = {}
    structure = _encode(obj, (), tensors)
    header = {"version": _VERSION, "structure": structure, "sha256": _checksum(tensors, structure)}
    safetensors.save_file(path, tensors, {_KEY: json.dumps(header)})


def load(path: str | os.PathLike[str], map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read what :func:`save` wrote, or any safetensors file as a flat dict of tensors.

    Parameters
    ----------
    path : path-like
        The file.
    map_location : device or str, optional
        Where the tensors shall live; default ``"cpu"``.
    weights_only : bool
        Accepted for PyTorch's sake. A file cannot hold anything that runs, so it changes nothing.

    Returns
    -------
    object
        The structure that was saved, with tensors as leaves.

    Raises
    ------
    FormatError
        If the file is damaged or of another kind. Pickle files are refused.
    OSError
        If the file cannot be read.
    """
    arrays, metadata, structure = read(path)
    tensors = {name: Tensor.wrap(move(array, map_location or "cpu")) for name, array in arrays.items()}
    if _KEY not in metadata:
        return tensors
    try:
        return _decode(structure, tensors)
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError("the header's structure text is malformed", path=path) from error


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str], Any]:
    """The arrays of a safetensors file, its metadata, and the structure that :func:`save` wrote, or None.

    Where the file has a SHA-256, the content is checked against it.

    Raises
    ------
    FormatError, OSError
        As :func:`load`.
    """
    arrays, metadata = safetensors.load_file(path)
    if _KEY not in metadata:
        return arrays, metadata, None
    try:
        header = json.loads(metadata[_KEY])
        version, structure, checksum = header["version"], header["structure"], header["sha256"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FormatError("the header's structure text is damaged", path=path) from error
    if version != _VERSION:
        raise FormatError(f"format version {version}, this minicnn reads {_VERSION}", path=path)
    if checksum != _checksum(arrays, structure):
        raise FormatError("the content does not match its SHA-256: the file was damaged", path=path)
    return arrays, metadata, structure


def hash_arrays(arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    """SHA-256, in hexadecimal, over (name, dtype, shape, bytes) of arrays in the order of their names.

    Examples
    --------
    >>> import numpy as np
    >>> hash_arrays([("w", np.zeros(2))]) == hash_arrays([("w", np.zeros((2, 1)))])
    False
    """
    total = hashlib.sha256()
    for name, value in sorted(arrays, key=lambda item: item[0]):
        array = safetensors.as_plain(value, name)
        total.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        total.update(array.tobytes() if array.ndim == 0 or not array.size else array.data)
    return total.hexdigest()


def _checksum(tensors: Mapping[str, np.ndarray], structure: Any) -> str:
    return hash_arrays([*tensors.items(), ("", np.frombuffer(json.dumps(structure).encode(), np.uint8))])


def _encode(obj: Any, place: tuple[str, ...], tensors: dict[str, np.ndarray]) -> Any:
    """JSON for ``obj``, its tensors moved into ``tensors``: containers and tensors become dicts."""
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return obj
    if isinstance(obj, np.generic):
        return _encode(obj.item(), place, tensors)
    if isinstance(obj, (Tensor, np.ndarray)):
        name = ".".join(place) or "tensor"
        while name in tensors:
            name += "'"
        tensors[name] = safetensors.as_plain(obj, name)
        return {"tensor": name}
    if len(place) < _MAX_DEPTH:
        if isinstance(obj, Mapping) and all(isinstance(key, (str, int)) for key in obj):
            items = [[key, _encode(value, (*place, str(key)), tensors)] for key, value in obj.items()]
            return {"dict": items}
        if isinstance(obj, (list, tuple)):
            values = [_encode(value, (*place, str(i)), tensors) for i, value in enumerate(obj)]
            return {"tuple" if isinstance(obj, tuple) else "list": values}
    raise OptionError(
        expected="a state_dict, or dicts, lists, tensors, numbers and strings",
        got=f"{type(obj).__name__} at {'.'.join(place)!r}" if place else type(obj).__name__,
        hint="save model.state_dict(), not the model" if hasattr(obj, "state_dict") else None,
        op="save",
    )


def _decode(structure: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The object that :func:`_encode` made ``structure`` of."""
    if not isinstance(structure, dict):
        return structure
    ((kind, content),) = structure.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _decode(value, tensors) for key, value in content}
    values = [_decode(value, tensors) for value in content]
    return tuple(values) if kind == "tuple" else values
