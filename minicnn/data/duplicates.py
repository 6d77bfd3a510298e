"""Images that occur twice: those that a model learned from must not be those that it is measured on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minicnn.data.pack import HASH_BYTES, PackedImages, pixel_hashes
from minicnn.data.vision import ImageArrays

__all__ = ["Overlap", "equal_images", "image_hashes", "overlaps", "repeated"]


@dataclass(frozen=True)
class Overlap:
    """Images that two parts of a data set have in common.

    Attributes
    ----------
    parts : (str, str)
        The names of the two.
    images : (N,) array of int64
        Indices into the second, of images that also occur in the first.
    twins : (N,) array of int64
        Where these occur in the first.
    """

    parts: tuple[str, str]
    images: np.ndarray
    twins: np.ndarray

    def __str__(self) -> str:
        first, second = self.parts
        count = len(self.images)
        what = "image of it is" if count == 1 else f"{count:,} images of it are"
        return f"{second}: {what} among those of {first} too"


def image_hashes(images: ImageArrays, indices: np.ndarray | None = None) -> np.ndarray:
    """(N,) hashes of 16 bytes, equal for images of equal pixels; of all images, or of those at the indices.

    Examples
    --------
    >>> images = ImageArrays(np.array([[[1]], [[2]], [[1]]], np.uint8), np.zeros(3, int), ["a"])
    >>> hashes = image_hashes(images)
    >>> bool(hashes[0] == hashes[2]), bool(hashes[0] == hashes[1])
    (True, False)
    """
    if isinstance(images, PackedImages):
        table = images.hashes if indices is None else images.hashes[indices]
    else:
        table = pixel_hashes(images.pixels, indices)
    return np.ascontiguousarray(table).view(f"V{HASH_BYTES}").reshape(-1)


def overlaps(parts: Mapping[str, np.ndarray]) -> list[Overlap]:
    """Which images several parts have in common.

    Parameters
    ----------
    parts : mapping of str to array
        :func:`image_hashes` of each, the one to learn from first.

    Returns
    -------
    list of Overlap
        One for each two parts that share an image.

    Examples
    --------
    >>> train, test = (np.array([bytes([i]) for i in row], "V1") for row in ([1, 2, 3], [7, 3, 3]))
    >>> [found] = overlaps({"training": train, "test": test})
    >>> print(found)
    test: 2 images of it are among those of training too
    >>> found.images.tolist(), found.twins.tolist()
    ([1, 2], [2, 2])
    """
    found = []
    for (first, known), (second, others) in itertools.combinations(parts.items(), 2):
        order = np.argsort(known, kind="stable")  # of equal ones the first stays first
        place = np.searchsorted(known, others, sorter=order).clip(max=max(len(known) - 1, 0))
        twins = order[place] if len(known) else place
        images = np.flatnonzero(known[twins] == others) if len(known) else twins[:0]
        if len(images):
            found.append(Overlap((first, second), images, twins[images]))
    return found


def equal_images(parts: Mapping[str, np.ndarray]) -> list[list[tuple[str, int]]]:
    """All images that occur more than once, in one part or in several.

    Parameters
    ----------
    parts : mapping of str to array
        :func:`image_hashes` of each.

    Returns
    -------
    list of list of (str, int)
        For each such image, where it occurs: part and index, in the order of the parts.

    Examples
    --------
    >>> train, test = (np.array([bytes([i]) for i in row], "V1") for row in ([1, 2, 1], [7, 2]))
    >>> equal_images({"training": train, "test": test})
    [[('training', 0), ('training', 2)], [('training', 1), ('test', 1)]]
    """
    hashes = [part for part in parts.values() if len(part)]
    if not hashes:
        return []
    _, which, counts = np.unique(np.concatenate(hashes), return_inverse=True, return_counts=True)
    names = list(parts)
    starts = np.cumsum([0, *(len(part) for part in parts.values())])
    groups: dict[int, list[tuple[str, int]]] = {}
    for place in np.flatnonzero(counts[which] > 1):
        part = int(np.searchsorted(starts, place, side="right")) - 1
        groups.setdefault(int(which[place]), []).append((names[part], int(place - starts[part])))
    return list(groups.values())


def repeated(hashes: np.ndarray) -> int:
    """How many images of a part occurred in it before.

    Examples
    --------
    >>> repeated(np.array([b"a", b"b", b"a", b"a"], "V1"))
    2
    """
    return len(hashes) - len(np.unique(hashes))
