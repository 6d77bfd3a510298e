"""Parquet files, and data sets of the Hugging Face library, as labelled images.

Both need their library: ``pip install "minicnn[arrow]"`` and ``pip install "minicnn[hf]"``.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from minicnn.data.formats.files import PathLike, opened
from minicnn.data.records.base import PARTS, Record, Records, in_memory
from minicnn.errors import FormatError, OptionError

__all__ = ["HuggingFaceRecords", "ParquetRecords", "huggingface", "is_saved_dataset", "parquet"]

_IMAGE_COLUMNS = ("image", "img", "jpg", "png", "jpeg", "picture")
_LABEL_COLUMNS = ("label", "labels", "class", "cls", "target", "fine_label")
_ROWS = 64  # read together


class _Rows(Records):
    """Images in rows with two columns that matter."""

    names: Sequence[str] | None = None  # of the classes, where labels are indices

    def _record(self, number: int, image: Any, label: Any) -> Record:
        """One row; an image is its encoded bytes, or a mapping that has them under ``bytes``."""
        name = f"row {number}"
        if isinstance(image, dict):
            if image.get("path"):
                name = f"row {number} ({os.path.basename(image['path'])})"
            image = image.get("bytes")
        if not isinstance(image, bytes):
            raise FormatError("holds no bytes of an image file", path=self.where(name))
        if isinstance(label, bool) or not isinstance(label, (int, str)):
            raise FormatError(f"its label is {label!r}", path=self.where(name))
        if self.names is not None and isinstance(label, int):
            if not 0 <= label < len(self.names):
                raise FormatError(f"label {label} is not in 0..{len(self.names) - 1}", path=self.where(name))
            label = self.names[label]
        return Record(name, in_memory(image), label)


def _column(names: Sequence[str], known: Sequence[str], path: str) -> str:
    """The column that holds the images or the labels."""
    found = next((name for name in known if name in names), None)
    if found is None:
        raise FormatError(f"no column {', '.join(known)}; there are {', '.join(names)}", path=path)
    return found


# -- Parquet -----------------------------------------------------------------------------------


class ParquetRecords(_Rows):
    """The rows of Parquet files, a few at a time.

    Parameters
    ----------
    paths : sequence of path-like
        The files.
    part : str
        See :class:`Records`.
    """

    def __init__(self, paths: Sequence[PathLike], part: str = "train") -> None:
        self.paths = [os.fspath(path) for path in paths]
        self.path, self.part = self.paths[0], part

    def key(self) -> Any:
        found = [(path, os.stat(path)) for path in self.paths]
        return [(os.path.basename(path), state.st_size, state.st_mtime_ns) for path, state in found]

    def __iter__(self) -> Iterator[Record]:
        arrow = _library("pyarrow", "arrow")
        number = 0
        for path in self.paths:
            try:
                with opened(path) as stream:
                    file = arrow.parquet.ParquetFile(stream)
                    columns = file.schema_arrow.names
                    image, label = (
                        _column(columns, known, path) for known in (_IMAGE_COLUMNS, _LABEL_COLUMNS)
                    )
                    self.names = _class_names(file.schema_arrow.metadata, label)
                    for batch in file.iter_batches(_ROWS, columns=[image, label]):
                        for row in batch.to_pylist():
                            yield self._record(number, row[image], row[label])
                            number += 1
            except (arrow.ArrowException, OSError) as error:
                raise FormatError(f"damaged or cut off: {error}", path=path) from error


def parquet(path: str) -> list[Records]:
    """The records of a Parquet file, or of all in a folder, by their part: ``train-00000.parquet``."""
    if not os.path.isdir(path):
        return [ParquetRecords([path])]
    found: dict[str, list[str]] = {}
    pattern = os.path.join(glob.escape(path), "**", "*.parquet")
    for file in sorted(glob.glob(pattern, recursive=True)):
        word = os.path.basename(file).removesuffix(".parquet").partition("-")[0].lower()
        found.setdefault(PARTS.get(word, "train"), []).append(file)
    return [ParquetRecords(files, part) for part, files in sorted(found.items(), reverse=True)]


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> list[str] | None:
    """What the Hugging Face library wrote into the schema about the labels."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    except (KeyError, ValueError, TypeError):
        return None


# -- Hugging Face --------------------------------------------------------------------------------


class HuggingFaceRecords(_Rows):
    """The rows of a data set of the ``datasets`` library.

    Parameters
    ----------
    dataset : datasets.Dataset
        One split, with an image and a label in each row.
    path : str
        What errors call it.
    part : str
        See :class:`Records`.
    """

    def __init__(self, dataset: Any, path: str, part: str = "train") -> None:
        self.path, self.part = path, part
        columns = dataset.column_names
        self._image = _column(columns, _IMAGE_COLUMNS, path)
        self._label = _column(columns, _LABEL_COLUMNS, path)
        self.names = getattr(dataset.features[self._label], "names", None)
        encoded = _library("datasets", "hf").Image(decode=False)
        self._dataset = dataset.cast_column(self._image, encoded)

    def key(self) -> Any:
        return [self._dataset._fingerprint]

    def __iter__(self) -> Iterator[Record]:
        for number, row in enumerate(self._dataset):
            image = row[self._image]
            if image.get("bytes") is None and image.get("path"):
                with opened(image["path"]) as file:
                    image = {**image, "bytes": file.read()}
            yield self._record(number, image, row[self._label])


def is_saved_dataset(path: str) -> bool:
    """Whether a folder is what ``save_to_disk`` of the Hugging Face library wrote."""
    return any(os.path.isfile(os.path.join(path, name)) for name in ("state.json", "dataset_dict.json"))


def huggingface(name: str) -> list[Records]:
    """The records of a saved data set, or of one on the hub: ``hf:owner/name``."""
    library = _library("datasets", "hf")
    try:
        if name.startswith("hf:"):
            found = library.load_dataset(name.removeprefix("hf:"))
        else:
            found = library.load_from_disk(name)
    except Exception as error:  # the library's own, or those of its many parts
        raise FormatError(f"the datasets library cannot load it: {error}", path=name) from error
    splits = (
        {"train": found} if hasattr(found, "column_names") and isinstance(found.column_names, list) else found
    )
    parts = {PARTS[split]: data for split, data in splits.items() if split in PARTS}
    return [HuggingFaceRecords(data, name, part) for part, data in parts.items()]


def _library(name: str, extra: str) -> Any:
    """An optional library.

    Raises
    ------
    OptionError
        If it is not installed.
    """
    import importlib

    try:
        library = importlib.import_module(name)
        if name == "pyarrow":
            importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise OptionError(
            f"{name} is not installed", hint=f'pip install "minicnn[{extra}]"', op="data"
        ) from error
    return library
