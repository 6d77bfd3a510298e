"""Where images come from: one function for every kind of data set that minicnn can train on."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minicnn.data.arrange import ImageSize
from minicnn.data.cache import packed
from minicnn.data.catalog import CATALOG, image_pair, read_known
from minicnn.data.discipline import Fitted, statistics
from minicnn.data.formats.files import PathLike, files_below, shown
from minicnn.data.formats.images import EXTENSIONS
from minicnn.data.formats.npz import read_npz
from minicnn.data.pack import PackedImages, fingerprint, is_pack, open_pack
from minicnn.data.packing import Progress
from minicnn.data.records import FolderRecords, Records, TarRecords
from minicnn.data.records.parts import by_part
from minicnn.data.records.table import ParquetRecords, huggingface, is_saved_dataset
from minicnn.data.records.tar import is_tar, shards_of
from minicnn.data.vision import ImageArrays
from minicnn.errors import FormatError, OptionError

__all__ = ["Source", "load", "records", "statistics"]


@dataclass(frozen=True)
class Source:
    """A data set to train on.

    Attributes
    ----------
    name : str
        The name or path it was loaded by.
    train : ImageArrays
        Samples are (PIL image of ``image_shape``, class index) until given a transform with
        ``train.with_transform(transform)``; ``train.targets`` has all class indices.
    test : ImageArrays or None
        None where the data have no test set of their own.
    classes : list of str
        The names of the classes.
    image_shape : (C, H, W)
        The same for all images: those from files are resized where they differ.
    note : str
        What a person should know about how the images are treated, in a line; mostly empty.
    validation : ImageArrays or None
        None where the data have no validation set of their own.
    skipped : list of (str, str)
        Images that could not be read, and why.

    Raises
    ------
    FormatError
        If the images of one part have another shape.

    Examples
    --------
    >>> source = load("digits")
    >>> image, label = source.train[0]
    >>> image.size, source.classes[label], len(source.fingerprint)
    ((8, 8), '0', 64)
    """

    name: str
    train: ImageArrays
    test: ImageArrays | None
    classes: list[str]
    image_shape: tuple[int, int, int]
    note: str = ""
    validation: ImageArrays | None = None
    skipped: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        for part in (self.train, self.validation, self.test):
            if part is not None and _shape(part) != self.image_shape:
                raise FormatError(
                    f"images of shapes {_shape(self.train)} to train on and {_shape(part)} in another part",
                    path=self.name,
                )

    @functools.cached_property
    def _statistics(self) -> tuple[Fitted, Fitted]:
        return statistics(self.train)

    @property
    def mean(self) -> Fitted:
        """Mean of each channel over all images of ``train``, from 0 to 1.

        If part of them is for validation, take :func:`statistics` of the rest instead.
        """
        return self._statistics[0]

    @property
    def std(self) -> Fitted:
        """Standard deviation of each channel over all images of ``train``, from 0 to 1."""
        return self._statistics[1]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all images and their labels, in hexadecimal."""
        digest = hashlib.sha256()
        for part in (self.train, self.test, *([self.validation] if self.validation else [])):
            digest.update(b"|")  # so that images cannot move from one part to the other unnoticed
            if isinstance(part, PackedImages):
                digest.update(fingerprint(part))
            elif part is not None:
                digest.update(f"{part.pixels.shape}".encode())
                digest.update(np.ascontiguousarray(part.pixels).data)
                digest.update(np.ascontiguousarray(part.labels).data)
        return digest.hexdigest()


def load(
    name_or_path: PathLike,
    data_dir: PathLike | None = None,
    image_size: ImageSize = None,
    *,
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Source:
    """Load a data set by name, or from files of your own.

    Images in files are checked, decoded and packed once (:mod:`minicnn.data.packing`), and found again in the
    cache (:func:`minicnn.data.cache.cache_dir`) as long as the files do not change.

    Parameters
    ----------
    name_or_path : str or path-like
        One of

        - ``digits`` (bundled; a fixed, stratified fifth is its test set), ``mnist``, ``fashion-mnist``,
          ``kmnist``, ``cifar10``, ``cifar100``
        - a folder of class folders, or one with such folders in ``train``, ``test`` and ``val``, or called so
          by a word, as ``Training_Set`` is (``docs/data.md`` has the rule)
        - a tar file of the same, plain or compressed by gzip, bzip2 or xz
        - tar shards in the WebDataset convention: ``train-{0000..0009}.tar``, or the folder they are in
        - a Parquet file or a folder of them; the names of files and folders say the part, as for shards
        - a data set that the Hugging Face library saved, or one on its hub: ``hf:owner/name``
        - a folder that ``minicnn data pack`` wrote
        - an ``.npz`` file with ``x_train``, ``y_train``, ``x_test``, ``y_test``, or ``images`` and ``labels``
        - a folder with the files of MNIST, CIFAR-10 or CIFAR-100
        - the images file of an IDX pair; the labels file is found by its name (``labels`` for ``images``,
          ``idx1`` for ``idx3``), and so is a test pair (``t10k`` or ``test`` for ``train``)
    data_dir : path-like, optional
        Where the files of a data set known by name are; the folder ``data`` by default.
    image_size : int or (int, int, int), optional
        Height and width for images from files, or (C, H, W). By default that of the images if they are all
        equal and at most 224, and otherwise the median of their shorter sides, at most 224. Arrays and packs
        stay as they are.
    classes : sequence of str, optional
        The names of the classes of images from files, in the order of their indices; by default those that
        there are, sorted.
    skip_bad : bool
        Leave out images that cannot be read, and list them in ``Source.skipped``.
    progress : callable
        See :func:`minicnn.data.packing.pack`.

    Returns
    -------
    Source

    Raises
    ------
    FormatError
        If it is no data set, or files of it are missing or damaged; it says which, and where it looked.
    OptionError
        If there is neither such a name nor such a path, or both a data set of the name and a folder here; if
        an ``image_size`` is asked of images that stay as they are.

    Examples
    --------
    >>> digits = load("digits")
    >>> len(digits.train), len(digits.test), digits.image_shape
    (1438, 359, (1, 8, 8))
    """
    name = os.fspath(name_or_path)
    if isinstance(image_size, int) and image_size < 1:
        raise OptionError(expected="image_size >= 1", got=str(image_size), op="data")
    if _known(name) and data_dir is None and os.path.isdir(name):
        raise OptionError(
            f"{name!r} is a data set known by name and a folder that is here",
            hint=f"{os.path.join(os.curdir, name)} is the folder; --data-dir (data_dir) means the data set",
            op="data",
        )
    files = None if _known(name) else records(name)
    if files is not None:
        facts, parts = packed(
            files, image_size=image_size, classes=classes, skip_bad=skip_bad, progress=progress
        )
        return _packed_source(name, facts, parts)
    source = _load_as_it_is(name, "data" if data_dir is None else data_dir)
    _, height, width = source.image_shape
    if isinstance(image_size, int) and (height, width) != (image_size, image_size):
        raise OptionError(
            f"{name}: its images are {height} x {width} pixels and stay so, got image_size {image_size}",
            hint="only images in files, tar files and tables are",
            op="data",
        )
    return source


def _known(name: str) -> Any:
    """The catalogue's entry for a name; None if there is none."""
    return CATALOG.get(name.lower().replace("_", "-"))


def _load_as_it_is(name: str, data_dir: PathLike) -> Source:
    """A data set whose images have one size and are not decoded: known by name, packed, or arrays."""
    if known := _known(name):
        return _load_known(known.name, data_dir)
    if is_pack(name):
        return _packed_source(name, *open_pack(name))
    if os.path.isdir(name):
        return _load_folder(name)
    if not os.path.exists(name):
        raise _unknown(name)
    if name.lower().endswith(".npz"):
        return _load_npz(name)
    if name.lower().endswith(".zip"):
        raise FormatError("not read: give the images as a folder or a tar file", path=name)
    if name.lower().endswith(EXTENSIONS):
        raise FormatError("a single image; give the folder of class folders", path=name)
    return _load_pair(name)


def _load_known(name: str, root: PathLike) -> Source:
    classes = CATALOG[name].classes
    hint = "--data-dir (data_dir) names another place"
    train, test = (
        ImageArrays(*read_known(CATALOG[name], root, part, hint), classes) for part in (True, False)
    )
    return Source(name, train, test, list(classes), _shape(train))


def _shape(images: ImageArrays) -> tuple[int, int, int]:
    _, height, width, *channels = images.pixels.shape
    return (channels[0] if channels else 1, height, width)


def _unknown(name: str) -> OptionError:
    from difflib import get_close_matches

    if os.sep in name or "/" in name or "." in name:
        return OptionError(f"{name}: no such file or folder", op="data")
    close = get_close_matches(name.lower(), CATALOG, 1, 0.4)
    return OptionError(
        expected=f"a data set out of {', '.join(CATALOG)}, or a path",
        got=repr(name),
        hint=f"did you mean {close[0]!r}?" if close else None,
        op="data",
    )


def _load_pair(path: str) -> Source:
    """An IDX pair by its images file, and the test pair beside it if there is one."""
    folder, base = os.path.split(path)
    if "images" not in base:
        raise FormatError(
            'not a data set: it is no folder, and the images file of an IDX pair has "images" in its name',
            path=path,
        )
    images, labels = image_pair(path, _labels_beside(path))
    classes = [str(i) for i in range(int(labels.max()) + 1)]
    train = ImageArrays(images, labels, classes)
    test = None
    names = [base.replace("train", word) for word in ("t10k", "test")] if "train" in base else []
    for other in filter(None, (_beside(folder, name) for name in names)):
        test = ImageArrays(*image_pair(other, _labels_beside(other), len(classes)), classes)
        break
    return Source(path, train, test, classes, _shape(train))


def _load_npz(path: str) -> Source:
    """Arrays under the names that Keras uses, or that explain themselves."""
    parts = {part: read_npz(path, part) for part in ("train", "validation", "test")}
    if parts["train"] is None:
        raise FormatError("no arrays x_train and y_train, or images and labels", path=path)
    count = int(parts["train"][1].max()) + 1
    classes = [str(index) for index in range(count)]
    made: dict[str, Any] = {}
    for part, arrays in parts.items():
        if arrays is not None and arrays[1].max() >= count:
            raise FormatError(f"{part} label {arrays[1].max()} is not in 0..{count - 1}", path=path)
        made[part] = None if arrays is None else ImageArrays(*arrays, classes)
    shape = _shape(made["train"])
    return Source(path, made["train"], made["test"], classes, shape, validation=made["validation"])


def _labels_beside(images_path: str) -> str:
    """The labels file that belongs to an images file."""
    folder, base = os.path.split(images_path)
    name = base.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    found = _beside(folder, name)
    if found is None:
        raise FormatError(f"its labels, {name.removesuffix('.gz')}(.gz), are not beside it", path=images_path)
    return found


def _beside(folder: str, name: str) -> str | None:
    """The path of a file of that name, with or without .gz."""
    plain = os.path.join(folder, name.removesuffix(".gz"))
    return next((path for path in (plain, plain + ".gz") if os.path.isfile(path)), None)


def _load_folder(path: str) -> Source:
    """A folder of the files of MNIST or CIFAR."""
    images, cifar = _idx_in(path), _cifar_in(path)
    assert images or cifar  # or `records` would have taken it
    return replace(_load_pair(images) if images else _load_known(str(cifar), path), name=path)


def _idx_in(path: str) -> str | None:
    return _beside(path, "train-images-idx3-ubyte")


def _cifar_in(path: str) -> str | None:
    """Which CIFAR has its files in a folder."""
    for name, files in (("cifar10", ["data_batch_1.bin"]), ("cifar100", ["train.bin", "test.bin"])):
        if all(os.path.isfile(os.path.join(path, file)) for file in files):
            return name
    return None


def records(path: str) -> list[Records] | None:
    """The images in a folder, tar files or a table; None if the path is something else.

    Raises
    ------
    FormatError
        If a folder holds several of these.
    """
    if path.startswith("hf:") or is_saved_dataset(path):
        return huggingface(path)
    if os.path.isdir(path):
        return None if is_pack(path) or _idx_in(path) or _cifar_in(path) else _in_folder(path)
    if os.path.exists(path):
        if is_tar(path):
            return [TarRecords(path)]
        return [ParquetRecords(path)] if path.lower().endswith(".parquet") else None
    shards = shards_of(path) if is_tar(path) else [path]
    if shards == [path]:
        return None
    return [TarRecords(path, part, files) for part, files in by_part(os.path.dirname(path), shards)]


def _in_folder(path: str) -> list[Records]:
    """Tar or Parquet files by the parts of their names, or images in class folders."""
    tars, tables = [], []
    images: dict[str, str] = {}  # the first of each folder
    for name in files_below(path):
        if is_tar(name):
            tars.append(os.path.join(path, name))
        elif name.lower().endswith(".parquet"):
            tables.append(os.path.join(path, name))
        elif "/" in name and name.lower().endswith(EXTENSIONS):
            images.setdefault(os.path.dirname(name), os.path.join(path, name))
    # A single folder of images is no data set: it may hold a logo, or what a run drew.
    kinds = [tars, tables, list(images.values()) if len(images) > 1 else []]
    firsts = [shown(os.path.relpath(files[0], path)) for files in kinds if files]
    if len(firsts) > 1:
        raise FormatError(
            f"holds {firsts[0]} and {firsts[1]}: which of them are the images?",
            path=path,
            hint="move one of them to another folder",
        )
    found: list[Records] = [TarRecords(path, part, files) for part, files in by_part(path, tars)]
    found += [ParquetRecords(path, part, files) for part, files in by_part(path, tables)]
    return found or [FolderRecords(path)]


def _packed_source(name: str, facts: dict[str, Any], parts: dict[str, PackedImages]) -> Source:
    channels, height, width = facts["image_shape"]
    return Source(
        name,
        parts["train"],
        parts.get("test"),
        facts["classes"],
        (channels, height, width),
        facts["note"],
        parts.get("validation"),
        [(image, reason) for image, reason in facts["skipped"]],
    )
