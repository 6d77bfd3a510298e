"""Checkpoints: all that a stopped training needs to go on as if it had not stopped.

A checkpoint is one safetensors file, ``step-<number>.safetensors``, holding the ``STATE`` fields
below. It is written atomically, carries a SHA-256 of its content, and the one before it is kept.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.errors import CheckpointError, FormatError, MiniCNNError, OptionError
from minicnn.io import atomic, serialization

__all__ = [
    "STATE",
    "check_identity",
    "digest",
    "drop_newer",
    "find",
    "latest",
    "leaves",
    "load",
    "refuse_others",
    "save",
    "verify",
]

FORMAT = 3

# The fields of a checkpoint, and what they hold.
STATE: dict[str, str] = {
    "step": "updates done",
    "epoch": "epochs completed",
    "position": "batches of the current epoch done",
    "seed": "the run's seed",
    "random_state": "state of the random generator, as JSON text",
    "model": "state_dict: parameters and buffers",
    "optimizer": "state_dict",
    "scheduler": "state_dict, or None",
    "metrics": "what the current epoch has summed up so far",
    "callbacks": "state_dicts by name: best values, averaged weights",
    "log_bytes": "length of metrics.jsonl",
    "config": "the options that decide the numbers, by name",
    "data_fingerprint": "SHA-256 of the data set",
}


def save(directory: str | os.PathLike[str], state: dict[str, Any], *, keep: int = 2) -> Path:
    """Write a checkpoint into a directory and delete the oldest ones.

    Parameters
    ----------
    directory : path-like
        Made if missing.
    state : dict
        The fields named in :data:`STATE`.
    keep : int
        How many checkpoints to keep, the new one included.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CheckpointError
        If a field is missing or unknown.
    OSError
        If it cannot be written; older checkpoints are intact then.
    """
    _check_fields(state, "save")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"step-{state['step']:08d}.safetensors"
    serialization.save({"checkpoint": FORMAT, **state}, path)
    others = [old for old in _files(directory) if old != path]
    for old in others[keep - 1 :]:
        old.unlink(missing_ok=True)
    return path


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read one checkpoint and verify its SHA-256.

    Raises
    ------
    CheckpointError
        If it is damaged, of another format version, or not a checkpoint. The text names the path.
    OSError
        If it cannot be read.
    """
    try:
        state = serialization.load(path)
    except FormatError as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(state, dict) or "checkpoint" not in state:
        raise CheckpointError(
            f"{os.fspath(path)}: not a checkpoint", hint="it holds tensors without training state"
        )
    version = state.pop("checkpoint")
    if version != FORMAT:
        raise CheckpointError(f"{os.fspath(path)}: checkpoint format {version}, this minicnn reads {FORMAT}")
    _check_fields(state, os.fspath(path))
    return state


def latest(directory: str | os.PathLike[str]) -> tuple[Path, dict[str, Any]] | None:
    """The newest good checkpoint in a directory, passing over damaged ones with a warning.

    Temporary files of stopped processes are deleted on the way.

    Returns
    -------
    (Path, dict) or None
        None if there is no checkpoint at all.

    Raises
    ------
    CheckpointError
        If there are checkpoints and none is good.
    """
    directory = Path(directory)
    if not directory.is_dir():
        return None
    atomic.remove_stale(directory)
    return _newest_good(directory)


def drop_newer(path: str | os.PathLike[str]) -> None:
    """Delete the checkpoints of later steps beside this one: who goes on from here makes new ones."""
    path = Path(path)
    files = _files(path.parent)
    for newer in files[: files.index(path)]:
        newer.unlink(missing_ok=True)


def refuse_others(directory: Path) -> None:
    """Refuse to begin beside the checkpoints of another training: what is newest would be left to chance.

    Raises
    ------
    OptionError
        If there are any.
    """
    if _files(directory):
        raise OptionError(
            f"{directory.parent} holds checkpoints of an earlier training",
            hint="go on with it by resume(), or choose another run_dir",
        )


def check_identity(state: dict[str, Any], config: Mapping[str, Any], fingerprint: str) -> None:
    """Refuse a state of another configuration or data set; what only one side names is not compared.

    Raises
    ------
    OptionError
        Naming the first option that differs, and both values.
    """
    if fingerprint and state["data_fingerprint"]:
        config = {**config, "data_fingerprint": fingerprint}
    before = {**state["config"], "data_fingerprint": state["data_fingerprint"]}
    for name, value in config.items():
        if value != before.get(name, value):
            raise OptionError(
                f"cannot resume: {name} was {before[name]!r} in the checkpoint, now it is {value!r}"
            )


def verify(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Check a checkpoint, or any file of :func:`minicnn.save`, and say what it holds.

    Returns
    -------
    dict
        ``path``, ``kind`` (``"checkpoint"`` or ``"tensors"``), ``tensors`` (how many), ``numbers``
        (elements in all), ``finite``, ``digest``, and for a checkpoint ``step`` and ``epoch``.

    Raises
    ------
    CheckpointError
        If it is damaged.
    OSError
        If it cannot be read.
    """
    state, is_checkpoint = _load_any(path)
    arrays = [array for _, array in leaves(state) if isinstance(array, np.ndarray)]
    facts = {
        "path": os.fspath(path),
        "kind": "checkpoint" if is_checkpoint else "tensors",
        "tensors": len(arrays),
        "numbers": sum(array.size for array in arrays),
        "finite": all(bool(np.isfinite(array).all()) for array in arrays),
        "digest": digest(state),
    }
    return facts | ({"step": state["step"], "epoch": state["epoch"]} if is_checkpoint else {})


def digest(source: Any) -> str:
    """The fingerprint of a training state: equal if and only if all its numbers are equal.

    SHA-256 over (name, dtype, shape, bytes), in the order of the names, of the parameters, the
    buffers, the optimiser's state, the random state and the step. Of a file or structure that is no
    checkpoint: over all its tensors and numbers.

    Parameters
    ----------
    source : path-like, or object
        A file, or what :func:`load` or ``minicnn.load`` returned.

    Raises
    ------
    CheckpointError
        If the file is damaged.

    Examples
    --------
    >>> import numpy as np
    >>> digest({"w": np.zeros(2)}) == digest({"w": np.zeros(2) + 1})
    False
    """
    state = _load_any(source)[0] if isinstance(source, (str, os.PathLike)) else source
    if isinstance(state, dict) and state.keys() >= STATE.keys():
        state = {field: state[field] for field in ("model", "optimizer", "random_state", "step")}
    return serialization.hash_arrays((name, _as_array(value)) for name, value in leaves(state))


def leaves(state: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of nested dicts and lists with its dotted name; tensors come as NumPy arrays."""
    children: Iterable[tuple[Any, Any]]
    if isinstance(state, dict):
        children = state.items()
    elif isinstance(state, (list, tuple)):
        children = enumerate(state)
    else:
        yield name, state.cpu_array() if isinstance(state, Tensor) else state
        return
    for key, value in children:
        yield from leaves(value, f"{name}.{key}" if name else str(key))


def _as_array(value: Any) -> np.ndarray:
    """Any leaf as an array of numbers; text and None as the bytes of their text."""
    if value is None or isinstance(value, str):
        return np.frombuffer(str(value).encode(), np.uint8)
    return np.asarray(value)


def _files(directory: Path) -> list[Path]:
    """The checkpoints of a directory, newest first."""
    return sorted(directory.glob("step-*.safetensors"), reverse=True)


def _newest_good(directory: Path) -> tuple[Path, dict[str, Any]] | None:
    first: CheckpointError | None = None
    for path in _files(directory):
        try:
            found = path, load(path)
        except CheckpointError as error:
            first = first or error
            continue
        if first:
            warnings.warn(f"{first}; {path.name} is used instead", stacklevel=3)
        return found
    if first:
        raise first
    return None


def _load_any(path: Any) -> tuple[Any, bool]:
    try:
        state = serialization.load(path)
    except MiniCNNError as error:
        raise CheckpointError(str(error)) from error
    is_checkpoint = isinstance(state, dict) and "checkpoint" in state
    return (load(path) if is_checkpoint else state), is_checkpoint


def _check_fields(state: dict[str, Any], where: str) -> None:
    wrong = sorted(state.keys() ^ STATE.keys())
    if wrong:
        problem = "missing" if wrong[0] in STATE else "unknown"
        raise CheckpointError(f"{where}: the checkpoint field {wrong[0]!r} is {problem}")


def find(path: str | os.PathLike[str]) -> Path:
    """The file that is meant: the file itself, or the newest good checkpoint of a run directory.

    Warns of a newer one that is damaged.

    Raises
    ------
    CheckpointError
        If it is a directory without good checkpoints.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    directory = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    found = _newest_good(directory)
    if found is None:
        raise CheckpointError(f"{path}: no checkpoint in this directory")
    return found[0]
