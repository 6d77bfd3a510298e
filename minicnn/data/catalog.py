"""The data sets known by name: their classes, their files, and where those are looked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.data.formats import read_cifar10, read_cifar100, read_digits, read_idx
from minicnn.data.formats.files import MAX_CLASS, PathLike
from minicnn.errors import FormatError

__all__ = ["CATALOG", "Known", "find_file", "image_pair", "read_known"]

_MNIST = (
    *("0 - zero", "1 - one", "2 - two", "3 - three", "4 - four"),
    *("5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine"),
)
_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_KMNIST = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel
can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree
pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank
telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


@dataclass(frozen=True)
class Known:
    """A data set known by name.

    Attributes
    ----------
    name : str
        As :func:`minicnn.data.sources.load` takes it.
    classes : tuple of str
        By index; torchvision's names.
    folders : tuple of str
        Where below the data folder its files are looked for, in this order.
    """

    name: str
    classes: tuple[str, ...]
    folders: tuple[str, ...] = ()


CATALOG = {
    known.name: known
    for known in (
        Known("digits", tuple("0123456789")),
        Known("mnist", _MNIST, ("MNIST/raw", "mnist", "MNIST", ".")),
        Known("fashion-mnist", _FASHION, ("FashionMNIST/raw", "fashion-mnist", "FashionMNIST", ".")),
        Known("kmnist", _KMNIST, ("KMNIST/raw", "kmnist", "KMNIST", ".")),
        Known("cifar10", _CIFAR10, ("cifar-10-batches-bin", "cifar10", ".")),
        Known("cifar100", tuple(_CIFAR100.split()), ("cifar-100-binary", "cifar100", ".")),
    )
}


def find_file(root: PathLike, folders: Sequence[str], name: str, hint: str | None = None) -> str:
    """The path of a file in the first folder that has it; an IDX file may be compressed by gzip.

    Raises
    ------
    FormatError
        If there is none; it says what was looked for, and where.

    Examples
    --------
    >>> find_file("nowhere", ["mnist", "."], "train.bin")
    Traceback (most recent call last):
    ...
    minicnn.errors.FormatError: train.bin: not in nowhere/mnist or nowhere
    """
    endings = ("", ".gz") if name.endswith("ubyte") else ("",)
    for folder in folders:
        for ending in endings:
            path = os.path.normpath(os.path.join(root, folder, name + ending))
            if os.path.isfile(path):
                return path
    places = [os.path.normpath(os.path.join(root, folder)) for folder in folders]
    listed = " or ".join(filter(None, (", ".join(places[:-1]), places[-1])))
    what = f"{name}(.gz)" if len(endings) > 1 else name
    raise FormatError(f"not in {listed}", path=what, hint=hint)


def read_known(
    known: Known, root: PathLike, train: bool, hint: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One half of a data set known by name.

    Parameters
    ----------
    known : Known
        Which data set.
    root : path-like
        The folder with its files, in a sub-folder or not.
    train : bool
        Training or test images.
    hint : str, optional
        What to advise if a file is missing.

    Returns
    -------
    images : (N, H, W) or (N, H, W, 3) array of uint8
    labels : (N,) array of int64

    Raises
    ------
    FormatError
        If a file is missing or damaged.

    Examples
    --------
    >>> images, labels = read_known(CATALOG["digits"], "", train=False)
    >>> images.shape, len(labels)
    ((359, 8, 8), 359)
    """
    if known.name == "digits":
        return _digits(train)

    def find(name: str) -> str:
        return find_file(root, known.folders, name, hint)

    if known.name == "cifar10":
        names = [f"data_batch_{i}.bin" for i in range(1, 6)] if train else ["test_batch.bin"]
        parts = [read_cifar10(find(name)) for name in names]
        return np.concatenate([images for images, _ in parts]), np.concatenate(
            [labels for _, labels in parts]
        )
    if known.name == "cifar100":
        return read_cifar100(find("train.bin" if train else "test.bin"))
    part = "train" if train else "t10k"
    images_path = find(f"{part}-images-idx3-ubyte")
    images, labels = image_pair(images_path, find(f"{part}-labels-idx1-ubyte"), len(known.classes))
    _refuse_mnist(known, images_path, labels)
    return images, labels


def image_pair(
    images_path: PathLike, labels_path: PathLike, classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels out of two IDX files that belong together.

    Parameters
    ----------
    images_path, labels_path : path-like
        The two files.
    classes : int, optional
        How many classes there are; by default the labels tell.

    Raises
    ------
    FormatError
        If they are not uint8 images (N, H, W) or (N, H, W, 3) and N labels in range, or N is 0.
    """
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)):
        raise FormatError(
            f"{images.dtype} of shape {images.shape} are no uint8 images (N, H, W) or (N, H, W, 3)",
            path=images_path,
        )
    if not images.size:
        raise FormatError(f"shape {images.shape} means no pixels: the data set is empty", path=images_path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise FormatError(f"{labels.dtype} of shape {labels.shape} are no labels (N,)", path=labels_path)
    if len(labels) != len(images):
        raise FormatError(f"{len(labels)} labels for {len(images)} images", path=labels_path)
    limit = classes or min(max(int(labels.max()), 0), MAX_CLASS) + 1
    wrong = np.flatnonzero((labels < 0) | (labels >= limit))
    if len(wrong):
        raise FormatError(
            f"label {labels[wrong[0]]} of image {wrong[0]} is not in 0..{limit - 1}",
            path=labels_path,
            offset=8 + int(wrong[0]) * labels.dtype.itemsize,
        )
    return images, labels.astype(np.int64)


def _digits(train: bool) -> tuple[np.ndarray, np.ndarray]:
    """A fifth of each class is the test set, chosen once and for all."""
    from minicnn.data.dataset import stratified_split

    images, labels = read_digits()
    kept, held_out = stratified_split(labels, 0.2, seed=0)
    chosen = np.sort(kept if train else held_out)
    return images[chosen], labels[chosen]


def _refuse_mnist(known: Known, path: str, labels: np.ndarray) -> None:
    """MNIST and its two followers have files of the same names; their first labels tell them apart."""
    of_mnist = (5, 0, 4, 1, 9, 2, 1, 3), (7, 2, 1, 0, 4, 1, 4, 9)
    if known.name != "mnist" and tuple(labels[:8].tolist()) in of_mnist:
        raise FormatError(f"these are MNIST's labels, not those of {known.name}", path=path)
