"""Where images come from: one function for every kind of data set that minicnn can train on."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.data.catalog import CATALOG, image_pair, read_known
from minicnn.data.formats.files import PathLike
from minicnn.data.formats.images import image_header, open_image
from minicnn.data.vision import IMAGE_EXTENSIONS, ImageArrays, ImageFolder, LabelledImages
from minicnn.errors import FormatError, OptionError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Source", "load", "statistics"]

_PROBES = 64  # image files whose headers tell the size and the channels of a folder
_MAX_SIDE = 224  # pixels: the size that images of many sizes are brought to
_CACHE_BYTES = 512 << 20  # decoded images of a folder that are kept in memory
_STATISTICS_IMAGES = 5000  # image files that are decoded to know mean and standard deviation
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".zip")


@dataclass(frozen=True)
class Source:
    """A data set to train on.

    Attributes
    ----------
    name : str
        The name or path it was loaded by.
    train : ImageArrays or ImageFolder
        Samples are (PIL image of ``image_shape``, class index) until given a transform with
        ``train.with_transform(transform)``; ``train.targets`` has all class indices.
    test : ImageArrays, ImageFolder or None
        None where the data have no test set of their own.
    classes : list of str
        The names of the classes.
    image_shape : (C, H, W)
        The same for all images: those of a folder are resized where they differ.
    note : str
        What a person should know about how the images are treated, in a line; mostly empty.

    Examples
    --------
    >>> source = load("digits")
    >>> image, label = source.train[0]
    >>> image.size, source.classes[label], len(source.fingerprint)
    ((8, 8), '0', 64)
    """

    name: str
    train: LabelledImages
    test: LabelledImages | None
    classes: list[str]
    image_shape: tuple[int, int, int]
    note: str = ""

    @functools.cached_property
    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return statistics(self.train)

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel over the training images, from 0 to 1. See :func:`statistics`."""
        return self._statistics[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel over the training images, from 0 to 1."""
        return self._statistics[1]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the images (for a folder, over its files) and their labels, in hexadecimal."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update(b"|")  # so that images cannot move from one part to the other unnoticed
            for piece in _pieces(part):
                digest.update(piece)
        return digest.hexdigest()


def load(name_or_path: PathLike, data_dir: PathLike | None = None, image_size: int | None = None) -> Source:
    """Load a data set by name, or from files of your own.

    Parameters
    ----------
    name_or_path : str or path-like
        One of

        - ``digits`` (bundled; a fixed, stratified fifth is its test set), ``mnist``, ``fashion-mnist``,
          ``kmnist``, ``cifar10``, ``cifar100``
        - a folder of class folders, or one with such folders in ``train`` and ``test``
        - a folder with the files of MNIST or CIFAR-10
        - the images file of an IDX pair; the labels file is found by its name (``labels`` for ``images``,
          ``idx1`` for ``idx3``), and so is a test pair (``t10k`` or ``test`` for ``train``)
    data_dir : path-like, optional
        Where the files of a data set known by name are; the folder ``data`` by default.
    image_size : int, optional
        Height and width for the images of a folder. By default that of the images if they are all equal, and
        otherwise the median of their shorter sides, at most 224.

    Returns
    -------
    Source

    Raises
    ------
    FormatError
        If it is no data set, or files of it are missing or damaged; it says which, and where it looked.
    OptionError
        If there is neither such a name nor such a path.

    Examples
    --------
    >>> digits = load("digits")
    >>> len(digits.train), len(digits.test), digits.image_shape
    (1438, 359, (1, 8, 8))
    """
    name = os.fspath(name_or_path)
    if image_size is not None and image_size < 1:
        raise OptionError(expected="image_size >= 1", got=str(image_size), op="data")
    known = CATALOG.get(name.lower().replace("_", "-"))
    if known is not None:
        return _load_known(known.name, "data" if data_dir is None else data_dir)
    if os.path.isdir(name):
        return _load_folder(name, image_size)
    if not os.path.exists(name):
        raise _unknown(name)
    if name.lower().endswith(_ARCHIVES):
        raise FormatError("archives are not supported yet: unpack it and give the folder", path=name)
    if name.lower().endswith(IMAGE_EXTENSIONS):
        raise FormatError("a single image; give the folder of class folders", path=name)
    return _load_pair(name)


def statistics(
    dataset: LabelledImages, indices: Iterable[int] | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, for ``Normalize``.

    Fit them on the images that you train on: pass the indices of the training part where a
    validation set is split off.

    Parameters
    ----------
    dataset : ImageArrays or ImageFolder
        Its transform is left out.
    indices : iterable of int, optional
        The images to look at; all by default. Of a folder with more, 5,000 at equal distances.

    Returns
    -------
    mean, std : tuples of float, one number per channel, of pixels from 0 to 1
        A channel without any variation has ``std`` 1.

    Examples
    --------
    >>> mean, std = statistics(load("digits").train)
    >>> f"{mean[0]:.3f} {std[0]:.3f}"
    '0.305 0.376'
    """
    chosen = np.arange(len(dataset)) if indices is None else np.asarray(list(indices), np.int64)
    if not len(chosen):
        raise OptionError("statistics of no images", op="statistics")
    counts: Any = 0
    for images in _uint8_blocks(dataset, chosen):
        channels = images.reshape(-1, images.shape[3] if images.ndim == 4 else 1)
        counts = counts + np.stack([np.bincount(channel, minlength=256) for channel in channels.T])
    # Whole counts of each grey value: exact, whatever the order.
    levels = np.arange(256) / 255
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    variance = (counts * (levels - mean[:, None]) ** 2).sum(axis=1) / total
    std = np.where(variance > 0, np.sqrt(variance), 1.0)
    return tuple(mean.tolist()), tuple(std.tolist())


def _uint8_blocks(dataset: LabelledImages, chosen: np.ndarray) -> Iterable[np.ndarray]:
    """The chosen images in blocks (n, H, W[, C])."""
    if isinstance(dataset, ImageArrays):
        for start in range(0, len(chosen), 1024):
            yield dataset.pixels[chosen[start : start + 1024]]
        return
    plain = dataset.with_transform(None)
    step = -(-len(chosen) // _STATISTICS_IMAGES)
    for index in chosen[::step].tolist():
        yield np.asarray(plain[index][0])[None]


def _pieces(part: LabelledImages | None) -> Iterable[bytes | memoryview]:
    """Bytes that decide what a data set is."""
    if isinstance(part, ImageArrays):
        yield f"{part.pixels.shape}".encode()
        yield np.ascontiguousarray(part.pixels).data
        yield np.ascontiguousarray(part.labels).data
    elif isinstance(part, ImageFolder):
        for path, target in part.samples:
            with open(path, "rb") as file:
                content = file.read()
            yield f"{os.path.relpath(path, part.root)}\0{target}\0{len(content)}\0".encode()
            yield content


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


def _load_folder(path: str, image_size: int | None) -> Source:
    """A folder of the files of MNIST or CIFAR-10, or of class folders."""
    images = _beside(path, "train-images-idx3-ubyte")
    if images is not None:
        return replace(_load_pair(images), name=path)
    if os.path.isfile(os.path.join(path, "data_batch_1.bin")):
        return _load_known("cifar10", path)
    train_root, test_root = os.path.join(path, "train"), os.path.join(path, "test")
    parted = os.path.isdir(train_root) and _has_folders(train_root)
    root = train_root if parted else path
    (channels, height, width), scaled = _probe([file for file, _ in ImageFolder(root).samples], image_size)
    decoder = _Decoder(channels, height, width)
    train = _SizedFolder(root, loader=decoder)
    test = None
    if parted and os.path.isdir(test_root):
        test = _SizedFolder(test_root, loader=decoder, classes=train.classes)
    note = f"the middle of each image is scaled to {height} x {width} pixels" if scaled else ""
    return Source(path, train, test, train.classes, (channels, height, width), note)


def _has_folders(path: str) -> bool:
    with os.scandir(path) as entries:
        return any(entry.is_dir() for entry in entries)


def _probe(paths: Sequence[str], image_size: int | None) -> tuple[tuple[int, int, int], bool]:
    """(C, H, W) that suits the images, from the headers of some at equal distances; whether any is scaled."""
    headers = [image_header(path) for path in paths[:: -(-len(paths) // _PROBES)]]
    channels = 1 if all(header["grey"] for header in headers) else 3
    sizes = {(header["height"], header["width"]) for header in headers}
    height, width = min(sizes)
    if image_size is not None:
        height = width = image_size
    elif len(sizes) > 1 or max(height, width) > _MAX_SIDE:
        sides = sorted(min(header["height"], header["width"]) for header in headers)
        height = width = min(sides[len(sides) // 2], _MAX_SIDE)
    return (channels, height, width), sizes != {(height, width)}


class _SizedFolder(ImageFolder):
    """An image folder whose loader gives arrays of bytes of one size."""

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        path, target = self.samples[index]
        return self._from_array(self.loader(path), target)


class _Decoder:
    """From a path to the bytes of an image of one size; keeps them while they are few enough."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        self._mode = "L" if channels == 1 else "RGB"
        self._size = (width, height)
        self._left = _CACHE_BYTES // (channels * height * width)  # images that may still be kept
        self._kept: dict[str, np.ndarray] = {}

    def __call__(self, path: str) -> np.ndarray:
        array = self._kept.get(path)
        if array is None:
            array = np.asarray(_fit(open_image(path, self._mode), self._size))
            if self._left > 0:
                self._left -= 1
                self._kept[path] = array
        return array


def _fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of the image, scaled so that its shorter side fits."""
    if image.size == size:
        return image
    from PIL import Image as Pillow
    from PIL import ImageOps

    return ImageOps.fit(image, size, Pillow.Resampling.BILINEAR)
