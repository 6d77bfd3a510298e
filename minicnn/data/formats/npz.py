"""NumPy archives of images and labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data.formats.files import MAX_CLASS, PathLike, damage, opened
from minicnn.errors import FormatError

__all__ = ["read_npz"]

# The names of images and labels for each part, the first that are there.
_NAMES = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y")),
    "validation": (("x_val", "y_val"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
# Images shrink by less than 20; an array that grows by more than this is made to fill the memory.
_MAX_RATIO = 200
_ALWAYS_FINE = 64 << 20  # bytes: below that, any ratio is taken


def read_npz(path: PathLike, part: str = "train") -> tuple[np.ndarray, np.ndarray] | None:
    """Images and labels out of an ``.npz`` file.

    Parameters
    ----------
    path : path-like
        The file.
    part : {"train", "validation", "test"}
        ``x_train`` and ``y_train`` (Keras's names), ``train_images`` and ``train_labels`` (MedMNIST's), or
        ``images`` and ``labels``; ``val`` and ``test`` likewise.

    Returns
    -------
    images : (N, H, W) or (N, H, W, 3) array of uint8
        Images (N, 1, H, W), (N, 3, H, W) and (N, H, W, 1) are turned round; floating-point ones from 0 to 1
        become bytes.
    labels : (N,) array of int64
    or None, where the file has no such arrays

    Raises
    ------
    FormatError
        If the file is damaged, holds objects, or the arrays are not images and labels that belong together;
        if a pixel is not finite or outside 0 to 1.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "set.npz")
    ...     np.savez(path, images=np.ones((2, 4, 4)), labels=[0, 1])
    ...     images, labels = read_npz(path)
    >>> images.dtype, images.shape, int(images.max()), labels.tolist()
    (dtype('uint8'), (2, 4, 4), 255, [0, 1])
    """
    with opened(path) as file, damage(path, "damaged, or no arrays of numbers"):
        archive = np.load(file)  # it refuses pickles
        if isinstance(archive, np.ndarray):
            raise FormatError("one array, not an archive of images and labels", path=path)
        names = next((pair for pair in _NAMES[part] if set(pair) <= set(archive.files)), None)
        if names is None:
            return None
        images, labels = (_array(archive, name, path) for name in names)
    return _images(images, names[0], path), _labels(labels, len(images), names[1], path)


def _array(archive: Any, name: str, path: PathLike) -> np.ndarray:
    """An array of the archive, if it is not made to fill the memory."""
    entry = archive.zip.getinfo(f"{name}.npy" if f"{name}.npy" in archive.zip.namelist() else name)
    if entry.file_size > max(_ALWAYS_FINE, _MAX_RATIO * entry.compress_size):
        sizes = f"{entry.file_size} bytes, over {_MAX_RATIO} times the compressed {entry.compress_size}"
        raise FormatError(f"{name} has {sizes}", path=path)
    try:
        return np.asarray(archive[name])
    except MemoryError as error:  # also where its header asks for more than the file has
        raise FormatError(f"{name} does not fit in memory", path=path) from error


def _images(images: np.ndarray, name: str, path: PathLike) -> np.ndarray:
    if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if not images.size or not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)):
        raise FormatError(f"{name} has shape {images.shape}, not that of grey or RGB images", path=path)
    if images.dtype.kind == "f":
        wrong = ~(np.isfinite(images) & (images >= 0) & (images <= 1))
        if wrong.any():
            at = np.unravel_index(int(wrong.argmax()), wrong.shape)
            place = ", ".join(map(str, map(int, at)))
            raise FormatError(f"{name}[{place}] is {images[at]}, not a number from 0 to 1", path=path)
        return np.rint(images * 255).astype(np.uint8)
    if images.dtype != np.uint8:
        raise FormatError(f"{name} is {images.dtype}, expected uint8 or floating point", path=path)
    return np.ascontiguousarray(images)


def _labels(labels: np.ndarray, count: int, name: str, path: PathLike) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise FormatError(
            f"{name} is {labels.dtype} {labels.shape}, expected {count} class indices", path=path
        )
    wrong = np.flatnonzero((labels < 0) | (labels > MAX_CLASS))
    if len(wrong):
        raise FormatError(f"{name}[{wrong[0]}] is {labels[wrong[0]]}, expected 0 to {MAX_CLASS}", path=path)
    return labels.astype(np.int64)
