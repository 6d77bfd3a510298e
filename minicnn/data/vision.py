"""Data sets of labelled images: in memory as one array, or in a folder of class folders."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from minicnn.core.promises import of_transform
from minicnn.core.tensor import Tensor
from minicnn.data.collate import Columns
from minicnn.data.dataset import Dataset
from minicnn.data.formats.files import files_below, list_folder
from minicnn.data.formats.images import EXTENSIONS, open_image
from minicnn.errors import FormatError, LabelError, ShapeError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ImageArrays", "ImageFolder", "LabelledImages"]

Transform = Callable[[Any], Any]


class LabelledImages(Dataset[tuple[Any, Any]]):
    """What the data sets of this file share: a sample is ``(image, class index)``.

    Attributes
    ----------
    classes : list of str
        The names of the classes, by index.
    transform, target_transform : callable or None
        Applied to the image and to the class index.
    """

    classes: list[str]
    targets: Any
    transform: Transform | None
    target_transform: Transform | None

    def with_transform(self, transform: Transform | None) -> Self:
        """The same images under another transform, without a copy of them."""
        other = copy.copy(self)
        other.transform = transform
        return other

    @property
    def class_to_idx(self) -> dict[str, int]:
        """From a class name to its index."""
        return {name: i for i, name in enumerate(self.classes)}

    def _from_array(self, pixels: np.ndarray, target: int) -> tuple[Any, Any]:
        """A sample from the bytes of its picture."""
        # A transform that says so makes the same of an array, and is spared the way through Pillow.
        as_it_is = of_transform(self.transform, "takes_arrays")
        return self._sample(pixels if as_it_is else _to_pil(pixels), target)

    def _sample(self, image: Any, target: int) -> tuple[Any, Any]:
        """A picture and its class under the two transforms."""
        if self.transform is not None:
            image = self.transform(image)
        return image, self._target(target)

    def _target(self, target: int) -> Any:
        return target if self.target_transform is None else self.target_transform(target)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}: {len(self)} images, {len(self.classes)} classes"]
        if self.transform is not None:
            lines.append(f"    transform={self.transform!r}")
        return "\n".join(lines)


class ImageArrays(LabelledImages):
    """Images that lie in memory as one array of bytes.

    Parameters
    ----------
    data : (N, H, W) or (N, H, W, 3) array of uint8
        Grey or colour.
    targets : (N,) array of int
        The class of each image.
    classes : sequence of str
        The names of the classes.
    transform, target_transform : callable, optional
        Applied to the image (a PIL image) and to the class index.

    Attributes
    ----------
    data, targets : array
        All images and their classes, to be read and replaced; ``pixels`` and ``labels`` are the arrays behind
        them.

    Raises
    ------
    ShapeError
        If the arrays have other shapes or different lengths.
    LabelError
        If a class is not in ``range(len(classes))``.

    Examples
    --------
    >>> images = ImageArrays(np.zeros((2, 4, 4), np.uint8), np.array([0, 1]), ["cat", "dog"])
    >>> image, label = images[1]
    >>> image.size, label
    ((4, 4), 1)
    """

    def __init__(
        self,
        data: np.ndarray,
        targets: np.ndarray,
        classes: Sequence[str],
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        grey_or_colour = data.ndim == 3 or (data.ndim == 4 and data.shape[3] == 3)
        if data.dtype != np.uint8 or not grey_or_colour or targets.shape != data.shape[:1]:
            raise ShapeError(
                expected="uint8 images (N, H, W) or (N, H, W, 3) and N targets",
                got=f"{data.dtype} {data.shape} and targets {targets.shape}",
                op=type(self).__name__,
            )
        wrong = np.flatnonzero((targets < 0) | (targets >= len(classes)))
        if len(wrong):
            raise LabelError(
                expected=f"labels in 0..{len(classes) - 1}",
                got=f"{targets[wrong[0]]} for image {wrong[0]}",
                op=type(self).__name__,
            )
        self.pixels = data
        self.labels = targets
        self.classes = list(classes)
        self.transform = transform
        self.target_transform = target_transform

    @property
    def data(self) -> Any:
        """All images."""
        return self._shown(self.pixels)

    @data.setter
    def data(self, images: Any) -> None:
        self.pixels = _array(images)

    @property
    def targets(self) -> Any:
        """The class of each image."""
        return self._shown(self.labels)

    @targets.setter
    def targets(self, labels: Any) -> None:
        self.labels = _array(labels)

    def _shown(self, array: np.ndarray) -> Any:
        """In what form ``data`` and ``targets`` are given out; always the same memory."""
        return array

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        pixels = self.pixels[index]
        pixels.flags.writeable = False  # a transform that changes it in place would change the data set
        return self._from_array(pixels, int(self.labels[index]))

    def __getitems__(self, indices: Sequence[int]) -> Sequence[tuple[Any, ...]] | None:
        """All these samples at once, where the transform can do that without a difference."""
        on_batch = of_transform(self.transform, "on_batch")
        if on_batch is None:
            return None
        chosen = list(indices)
        images, targets = on_batch(self.pixels[chosen]), self.labels[chosen].astype(np.int64)
        if self.target_transform is None:
            return Columns(images, targets)
        return Columns(images, [self._target(target) for target in targets.tolist()])


def _array(values: Any) -> np.ndarray:
    return values.cpu_array() if isinstance(values, Tensor) else np.asarray(values)


def _to_pil(image: np.ndarray) -> Image.Image:
    from PIL import Image

    return Image.fromarray(image)


class ImageFolder(LabelledImages):
    """Images in one folder per class: ``root/class/anything.png``, sub-folders included.

    Parameters
    ----------
    root : path-like
        The folder that holds the class folders. What is hidden is left out; links to folders are followed.
    transform, target_transform : callable, optional
        Applied to the image (a PIL image) and to the class index.
    loader : callable, optional
        From a path to an image; by default :func:`~minicnn.data.formats.open_image` in RGB.
    is_valid_file : callable, optional
        From a path to whether it is an image; by default its ending decides (png, jpg, jpeg, webp, gif, bmp,
        ppm, pgm, pbm).
    allow_empty : bool
        Take class folders without an image.
    classes : sequence of str, optional
        The classes, in the order of their indices; by default the names of the folders, sorted.

    Attributes
    ----------
    samples : list of (str, int)
        Path and class index of each image, by class and then by path. ``imgs`` is the same.
    targets : list of int

    Raises
    ------
    FormatError
        If there is no such folder, no class folder in it, one that cannot be read or has no image, or one
        that is not in ``classes``.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("dog", "cat"):
    ...         pathlib.Path(root, name).mkdir()
    ...         _ = pathlib.Path(root, name, "1.pgm").write_bytes(b"P5 1 1 255 " + bytes([9]))
    ...     images = ImageFolder(root)
    ...     images.classes, images[1][0].mode, images[1][1]
    (['cat', 'dog'], 'RGB', 1)
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        loader: Callable[[str], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
        *,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.root = os.fspath(root)
        self.transform = transform
        self.target_transform = target_transform
        self.loader: Callable[[str], Any] = loader or _open_rgb
        self.classes, self._indices = self.find_classes(self.root)
        folders = sorted(self._indices)
        if classes is not None:
            self.classes, self._indices = list(classes), {name: i for i, name in enumerate(classes)}
            unknown = [name for name in folders if name not in self._indices]
            if unknown:
                raise FormatError(
                    f"class folder {unknown[0]!r} is not one of the {len(classes)} classes", path=self.root
                )
        self.samples: list[tuple[str, int]] = []
        for name in folders:
            folder = os.path.join(self.root, name)
            files = [os.path.join(folder, file) for file in files_below(folder)]
            valid = list(filter(is_valid_file or _is_image, files))
            if not valid and not allow_empty:
                raise FormatError(f"no image ({', '.join(EXTENSIONS)}) in this class folder", path=folder)
            self.samples += [(path, self._indices[name]) for path in valid]
        self.imgs = self.samples
        self.targets = [target for _, target in self.samples]

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        """The names of the classes, and from a class folder to its index; a subclass may choose others."""
        if not os.path.isdir(directory):
            raise FormatError("no such folder", path=directory)
        names, _ = list_folder(directory)
        if not names:
            raise FormatError(
                "no class folders in here: an image folder is root/class/image.png", path=directory
            )
        return names, {name: i for i, name in enumerate(names)}

    @property
    def class_to_idx(self) -> dict[str, int]:
        """From a class folder to its index, as :meth:`find_classes` says."""
        return self._indices

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        path, target = self.samples[index]
        return self._sample(self.loader(path), target)


def _open_rgb(path: str) -> Image.Image:
    return open_image(path, "RGB")


def _is_image(path: str) -> bool:
    return path.lower().endswith(EXTENSIONS)
