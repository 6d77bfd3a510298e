"""Parquet files, and data sets of the Hugging Face library, as labelled images.

Both need their library: ``pip install "minicnn[arrow]"`` and ``pip install "minicnn[hf]"``.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from minicnn.data.formats.files import PathLike, damage, opened, shown
from minicnn.data.records.base import (
    FileRecords,
    Opener,
    Record,
    Records,
    checked_label,
    in_memory,
    unreadable,
)
from minicnn.data.records.parts import part_of
from minicnn.errors import FormatError, OptionError

__all__ = ["HuggingFaceRecords", "ParquetRecords", "huggingface", "is_saved_dataset"]

_IMAGE_COLUMNS = ("image", "img", "jpg", "png", "jpeg", "picture")
_LABEL_COLUMNS = ("label", "labels", "class", "cls", "target", "fine_label")
_ROWS = 64  # read together


def _record(name: str, content: Opener, label: Any, classes: Sequence[str] | None, where: str) -> Record:
    """One row; ``classes`` are those that its label counts through, if it is a number."""
    try:
        label = checked_label(label, where)
        if classes is not None and isinstance(label, int):
            if label >= len(classes):
                raise FormatError(f"label {label} is not in 0..{len(classes) - 1}", path=where)
            label = classes[label]
    except FormatError as error:
        return Record(name, unreadable(error))
    return Record(name, content, label)


def _content(image: Any, where: str) -> Opener:
    """An image is its encoded bytes, or a mapping that has them under ``bytes``."""
    encoded = image.get("bytes") if isinstance(image, dict) else image
    if isinstance(encoded, bytes):
        return in_memory(encoded)
    return unreadable(FormatError("holds no bytes of an image file", path=where))


def _row(number: int, image: Any) -> str:
    """What a row is called: by the file that its image was, too."""
    path = image.get("path") if isinstance(image, dict) else None
    return f"row {number} ({shown(os.path.basename(path))})" if path else f"row {number}"


def _column(names: Sequence[str], known: Sequence[str], path: str) -> str:
    """The column that holds the images or the labels."""
    found = next((name for name in known if name in names), None)
    if found is None:
        raise FormatError(f"no column {', '.join(known)}; there are {', '.join(names)}", path=path)
    return found


# -- Parquet -----------------------------------------------------------------------------------


class ParquetRecords(FileRecords):
    """The rows of Parquet files, a few at a time.

    Parameters
    ----------
    path : path-like
        A file, or the folder of all.
    part : str
        See :class:`Records`.
    files : sequence of str, optional
        The files, if not the path itself.
    """

    def __init__(self, path: PathLike, part: str = "train", files: Sequence[str] | None = None) -> None:
        super().__init__(path, [os.fspath(path)] if files is None else files, part)

    def __iter__(self) -> Iterator[Record]:
        arrow = _library("pyarrow", "arrow")
        said: set[tuple[str, ...]] = set()
        for path in self.files:
            with opened(path) as stream, damage(path):
                file = arrow.parquet.ParquetFile(stream)
                yield from self._rows(file, path, said)
        self.classes = said.pop() if len(said) == 1 else None

    def _rows(self, file: Any, path: str, said: set[tuple[str, ...]]) -> Iterator[Record]:
        """The records of a file; ``said`` gets what it calls its classes."""
        columns = [
            _column(file.schema_arrow.names, known, path) for known in (_IMAGE_COLUMNS, _LABEL_COLUMNS)
        ]
        classes = _class_names(file.schema_arrow.metadata, columns[1])
        said.add(tuple(classes or ()))
        batches = (batch.to_pylist() for batch in file.iter_batches(_ROWS, columns=columns))
        for number, row in enumerate(itertools.chain.from_iterable(batches)):
            image, label = (row[column] for column in columns)
            name = self.name(path, _row(number, image))
            where = self.where(name)
            yield _record(name, _content(image, where), label, classes, where)


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> list[str] | None:
    """What the Hugging Face library wrote into the schema about the labels."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    except (KeyError, ValueError, TypeError):
        return None


# -- Hugging Face --------------------------------------------------------------------------------


class HuggingFaceRecords(Records):
    """The rows of a data set of the ``datasets`` library.

    Parameters
    ----------
    dataset : datasets.Dataset
        One split, with an image and a label in each row.
    path : str
        What errors call it.
    part : str
        See :class:`Records`.
    split : str
        What the rows are called by, where there are several splits.

    Attributes
    ----------
    left_out : str
        A note on splits that are no part.
    """

    left_out = ""

    def __init__(self, dataset: Any, path: str, part: str = "train", split: str = "") -> None:
        self.path, self.part = path, part
        self._split = f"{split}: " if split else ""
        columns = dataset.column_names
        self._image = _column(columns, _IMAGE_COLUMNS, path)
        self._label = _column(columns, _LABEL_COLUMNS, path)
        self.classes = getattr(dataset.features[self._label], "names", None)
        encoded = _library("datasets", "hf").Image(decode=False)
        self._dataset = dataset.cast_column(self._image, encoded)

    def key(self) -> Any:
        return [self._dataset._fingerprint]

    def note(self) -> str:
        return self.left_out

    def __iter__(self) -> Iterator[Record]:
        for number, row in enumerate(self._dataset):
            image = row[self._image]
            name = self._split + _row(number, image)
            where = self.where(name)
            content = _content(image, where)
            if image and image["bytes"] is None and image["path"]:
                content = functools.partial(opened, image["path"])
            yield _record(name, content, row[self._label], self.classes, where)


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
    if isinstance(getattr(found, "column_names", None), list):
        return [HuggingFaceRecords(found, name)]
    parts = {split: part_of(split) for split in found}
    if "train" not in parts.values():
        raise FormatError(f"no split is called train; there are {', '.join(parts) or 'none'}", path=name)
    others = ", ".join(split for split, part in parts.items() if part is None)
    note = f"left out, neither train, validation nor test: {others}" if others else ""
    sources = [HuggingFaceRecords(found[split], name, part, split) for split, part in parts.items() if part]
    sources[0].left_out = note
    return list(sources)


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
