"""What goes where in a pack: classes, places and the one size of the images, from their names and headers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from minicnn.data.records.base import Records
from minicnn.errors import FormatError

__all__ = ["MAX_SIDE", "ImageSize", "Plan", "Seen", "arrange"]

MAX_SIDE = 224  # pixels: the size that larger images, or those of many sizes, are brought to

# Height and width as one number, the whole shape (C, H, W), or None: as the images are.
ImageSize = int | tuple[int, int, int] | None


class Seen(NamedTuple):
    """What the first pass saw of an image.

    Attributes
    ----------
    source : int
        The number of its source.
    name : str
    label : str, int or None
    size : (H, W), or None if it cannot be read
    grey : bool
    """

    source: int
    name: str
    label: str | int | None
    size: tuple[int, int] | None = None
    grey: bool = True


class Plan(NamedTuple):
    """Attributes
    ----------
    classes : list of str
    image_shape : (C, H, W)
    scaled : bool
        Whether an image has another size.
    names, labels : dict
        Of each part, in the order of the pack.
    places : dict
        From the number of an image, as they came, to its part and its index there.
    """

    classes: list[str]
    image_shape: tuple[int, int, int]
    scaled: bool
    names: dict[str, list[str]]
    labels: dict[str, np.ndarray]
    places: dict[int, tuple[str, int]]


def arrange(
    sources: Sequence[Records],
    seen: Sequence[Seen],
    skipped: Collection[int],
    image_size: ImageSize,
    classes: Sequence[str] | None,
) -> Plan:
    """Where all images go but those skipped. ``image_size`` and ``classes`` are settled where they are None.

    Raises
    ------
    FormatError
        If there is no image, none to train on, none of a class, or one without a class.
    """
    where = " and ".join(source.path for source in sources)
    replaced = _replaced(seen)
    gone = {*skipped, *replaced}
    good = [number for number in range(len(seen)) if number not in gone]
    if not good:
        notes = "; ".join(filter(None, (source.note() for source in sources)))
        text = "none of the images can be read" if seen else "no image in here"
        raise FormatError(text, path=where, hint=notes or None)
    parts, labels = _parts_and_labels(sources, seen, gone)
    if classes is None:
        classes = _declared(sources)
    labels = [_named(label, classes) for label in labels]
    known = {
        str(label) for number, label in enumerate(labels) if label is not None and number not in replaced
    }
    lost = sorted(known - {str(labels[number]) for number in good})
    if lost:
        raise FormatError(f"no image of class {lost[0]!r} can be read", path=where)
    learned = [label for number in good if parts[number] == "train" and (label := labels[number]) is not None]
    if not learned:
        there = " and ".join(sorted({parts[number] for number in good}))
        raise FormatError(f"no images to train on: by their names all are for {there}", path=where)
    classes = _classes(learned, where) if classes is None else list(classes)
    index_of = {name: index for index, name in enumerate(classes)}
    for number in good:
        if str(labels[number]) not in index_of:
            name = sources[seen[number].source].where(seen[number].name)
            raise FormatError(f"{labels[number]!r} is not one of the {len(classes)} classes", path=name)
    targets = [index_of.get(str(label), -1) for label in labels]
    names: dict[str, list[str]] = {}
    chosen: dict[str, list[int]] = {}
    places = {}
    for number in sorted(good, key=lambda number: (targets[number], seen[number].name)):
        part = parts[number]
        places[number] = part, len(names.setdefault(part, []))
        names[part].append(seen[number].name)
        chosen.setdefault(part, []).append(targets[number])
    shape, scaled = _image_shape([seen[number] for number in good], image_size)
    arrays = {part: np.array(values, np.int64) for part, values in chosen.items()}
    return Plan(classes, shape, scaled, names, arrays, places)


def _replaced(seen: Sequence[Seen]) -> set[int]:
    """The images that come once more under their name, as what ``tar -r`` updated: the last one counts."""
    last = {(one.source, one.name): number for number, one in enumerate(seen)}
    return set(range(len(seen))).difference(last.values())


def _parts_and_labels(
    sources: Sequence[Records], seen: Sequence[Seen], skipped: Collection[int]
) -> tuple[list[str], list[str | int | None]]:
    """Part and class of each image, by its name where no class stands beside it; or None."""
    parts: list[str] = []
    labels: list[str | int | None] = []
    for number, source in enumerate(sources):
        group = {place: one for place, one in enumerate(seen) if one.source == number}
        without = [one for place, one in group.items() if one.label is None and place not in skipped]
        if any(one.label is not None for one in group.values()):
            if without:
                raise FormatError(
                    "has no class beside it, as others have", path=source.where(without[0].name)
                )
            inside = source.parts_of([one.name for one in group.values()])
            found = [(part, one.label) for part, one in zip(inside, group.values(), strict=True)]
        elif without:
            found = list(source.labels_of([one.name for one in group.values()]))
        else:
            found = [("train", None)] * len(group)
        parts += [part for part, _ in found]
        labels += [label for _, label in found]
    return parts, labels


def _declared(sources: Sequence[Records]) -> list[str] | None:
    """The classes in the order that the sources say, if all say the same."""
    said = {tuple(source.classes or ()) for source in sources}
    names = list(said.pop())
    if said or not names:
        return None
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FormatError(f"two classes are called {twice!r}", path=sources[0].path)
    return names


def _named(label: str | int | None, classes: Sequence[str] | None) -> str | int | None:
    """A label that is an index, by the name that these classes give it."""
    if classes is None or not isinstance(label, int) or str(label) in classes or label >= len(classes):
        return label
    return classes[label]


def _classes(labels: Sequence[str | int], where: str) -> list[str]:
    """The names, sorted; of indices, all numbers up to the largest."""
    names = {label for label in labels if isinstance(label, str)}
    indices = {label for label in labels if not isinstance(label, str)}
    if names and indices:
        raise FormatError("some classes are names and others are numbers", path=where)
    return sorted(names) or [str(index) for index in range(max(indices) + 1)]


def _image_shape(images: Sequence[Seen], asked: ImageSize) -> tuple[tuple[int, int, int], bool]:
    """(C, H, W) that suits the images; whether any of them has to be scaled for it."""
    channels = 1 if all(image.grey for image in images) else 3
    sizes = {image.size for image in images if image.size is not None}
    height, width = min(sizes)
    if isinstance(asked, tuple):
        channels, height, width = asked
    elif asked is not None:
        height = width = asked
    elif len(sizes) > 1 or max(height, width) > MAX_SIDE:
        sides = sorted(min(image.size) for image in images if image.size is not None)
        height = width = min(sides[len(sides) // 2], MAX_SIDE)
    return (channels, height, width), sizes != {(height, width)}
