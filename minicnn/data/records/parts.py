"""Parts and classes of images, from the names of folders, files and splits: one rule for all of them.

A name says a part if one of its words does: ``train``, ``Test_Set``, ``pets-val-0.tar``, ``CIFARTest``.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Sequence

from minicnn.data.formats.files import shown
from minicnn.errors import FormatError

__all__ = ["by_part", "labels_of_paths", "part_of", "parts_of_paths", "places"]

# The words that the Hugging Face library knows, in any case, and two more.
# https://huggingface.co/docs/datasets/repository_structure
_WORDS = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "tst", "eval", "evaluation"),
}
_PART_OF = {word: part for part, words in _WORDS.items() for word in words}
_STEMS = ("train", "val", "test", "eval")
_HINT = "these words are understood: " + "; ".join(", ".join(words) for words in _WORDS.values())

_Where = Callable[[str], str]
_Paths = dict[str, list[str]]  # folders with images, and the names on the way to them


def part_of(name: str) -> str | None:
    """The part that a name says: ``train``, ``validation`` or ``test``; None if it says none or several.

    Examples
    --------
    >>> part_of("Training"), part_of("dev-0.tar"), part_of("CIFARTest"), part_of("cat"), part_of("train_test")
    ('train', 'validation', 'test', None, None)
    """
    said = {_PART_OF[word] for word in _words(name) if word in _PART_OF}
    return said.pop() if len(said) == 1 else None


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _looks(name: str) -> frozenset[str]:
    """The parts that a name might be meant to say: ``testset`` is no word, but looks like one."""
    part = part_of(name)
    if part:
        return frozenset([part])
    words = set(_words(name))
    words |= {stem for stem in _STEMS for word in words if word.startswith(stem) or word.endswith(stem)}
    return frozenset(_PART_OF[word] for word in words if word in _PART_OF)


def by_part(folder: str, files: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Files by the part that their names say, or those of the folders that they lie in; else ``train``.

    Raises
    ------
    FormatError
        If the names of those to train on are not alike: all of them say so, or none.

    Examples
    --------
    >>> by_part("d", ["d/train-0.tar", "d/train-1.tar", "d/pets-val-0.tar"])
    [('validation', ['d/pets-val-0.tar']), ('train', ['d/train-0.tar', 'd/train-1.tar'])]
    """
    found: dict[str, list[str]] = {}
    learned: dict[frozenset[str], str] = {}  # what names look like, and the first that does so
    for file in files:
        names = os.path.relpath(file, folder).split(os.sep)[::-1]
        part = next(filter(None, map(part_of, names)), "train")
        if part == "train":
            look = next(filter(None, map(_looks, names)), frozenset[str]())
            learned.setdefault(look, file)
        found.setdefault(part, []).append(file)
    if len(learned) > 1:
        odd = max(learned, key=lambda look: (bool(look - {"train"}), not look))
        other = next(os.path.relpath(file, folder) for look, file in learned.items() if look != odd)
        raise FormatError(
            f"to train on, as {other}, or not? Its name does not say it", path=learned[odd], hint=_HINT
        )
    return sorted(found.items(), reverse=True)


def labels_of_paths(names: Sequence[str], where: _Where, part: str | None = None) -> list[tuple[str, str]]:
    """(part, class) of each image by its path, part/class/.../file or class/.../file.

    Folders that all have in common do not count. Folders are parts if one of them, with class folders in it,
    says ``train``, or if all say a part.

    Parameters
    ----------
    names : sequence of str
        The paths.
    where : callable
        What errors call a path.
    part : str, optional
        What the file that holds them all is called. Folders count only where it is for training, and if not
        all say the same.

    Raises
    ------
    FormatError
        If an image lies in no class folder, a folder beside ``train`` is no part, or classes look like parts.

    Examples
    --------
    >>> labels_of_paths(["d/train/cat/1.png", "d/train/dog/big/1.png", "d/val/cat/2.png"], str)
    [('train', 'cat'), ('train', 'dog'), ('validation', 'cat')]
    >>> labels_of_paths(["cat/1.png", "dog/1.png"], str)
    [('train', 'cat'), ('train', 'dog')]
    """
    found = places(names, where, part)
    return [(said, folders[0]) for said, folders in (found[posixpath.dirname(name)] for name in names)]


def parts_of_paths(names: Sequence[str], where: _Where, part: str | None = None) -> list[str]:
    """The part of each image, as in :func:`labels_of_paths`, where no class folders are needed."""
    found = places(names, where, part, classes=False)
    return [found[posixpath.dirname(name)][0] for name in names]


def places(
    names: Sequence[str], where: _Where, part: str | None = None, classes: bool = True
) -> dict[str, tuple[str, list[str]]]:
    """For each folder with images its part, and the names of its class folder and of those in it.

    See :func:`labels_of_paths`.
    """
    depth = int(classes)
    images = {posixpath.dirname(name): name for name in reversed(names)}
    paths = {folder: [word for word in folder.split("/") if word not in ("", ".")] for folder in images}
    paths = _below_common(paths, depth, lambda name: part_of(name) is None)
    parts = dict.fromkeys(paths, part or "train")
    if train := _parted(paths, depth):
        said = _said(paths, train, lambda folder: where(images[folder]))
        paths = _below_parts(paths, said, depth)
        if part is None or (part == "train" and len(set(said.values())) > 1):
            parts = said
    elif classes:
        _refuse_parts(paths, lambda folder: where(images[folder]))
    for folder, path in paths.items():
        if len(path) < depth:
            base = shown(posixpath.basename(images[folder]))
            wanted = f"{shown(folder) + '/' if train else ''}CLASS/{base}"
            raise FormatError(
                "lies in no class folder", path=where(images[folder]), hint=f"expected {wanted}"
            )
    return {folder: (parts[folder], path) for folder, path in paths.items()}


def _below_common(paths: _Paths, depth: int, counts: Callable[[str], bool]) -> _Paths:
    """Paths below the folders that all of them have in common and that count as such; ``depth`` are kept."""
    above = 0
    while paths and all(len(path) > above + depth for path in paths.values()):
        firsts = {path[above] for path in paths.values()}
        if len(firsts) > 1 or not counts(firsts.pop()):
            break
        above += 1
    return {folder: path[above:] for folder, path in paths.items()}


def _parted(paths: _Paths, depth: int) -> str | None:
    """A first folder if they are parts rather than classes: one to train on, where there is one."""
    nested = [path[0] for path in paths.values() if len(path) > depth]
    said = {part_of(name): name for name in nested}
    whole = None not in said and len(nested) == len(paths)
    return said.get("train") or (next(iter(said.values()), None) if whole else None)


def _said(paths: _Paths, known: str, where: _Where) -> dict[str, str]:
    """The part that the first folder of each path is."""
    said = {}
    for folder, path in paths.items():
        part = part_of(path[0]) if path else None
        if part is None:
            what = f"{path[0]!r}" if path else "lies in no folder: what is"
            text = f"{what} beside {known!r} is neither to validate nor to test"
            raise FormatError(text, path=where(folder), hint=_HINT)
        said[folder] = part
    return said


def _below_parts(paths: _Paths, said: dict[str, str], depth: int) -> _Paths:
    """Paths below the folders that are parts, and below what stands between those and the classes."""
    below: _Paths = {}
    for part in sorted(set(said.values())):
        inside = {folder: path[1:] for folder, path in paths.items() if said[folder] == part}
        # Some archives have them twice: training_set/training_set/cat
        below |= _below_common(inside, depth, lambda name, part=part: part_of(name) == part)  # type: ignore[misc]
    return _below_common(below, depth, lambda name: True)


def _refuse_parts(paths: _Paths, where: _Where) -> None:
    """Refuse classes of which one is called as what to train on, and another as what to test with."""
    classes = {path[0]: folder for folder, path in paths.items() if path}
    looks = {name: _looks(name) for name in classes}
    if not all(looks.values()):  # among other classes only whole words count: a carnival, a bullet train
        looks = {name: look for name, look in looks.items() if part_of(name)}
    seen = frozenset[str]().union(*looks.values())
    if "train" in seen and len(seen) > 1:
        names = sorted(looks)
        raise FormatError(
            f"{' and '.join(map(repr, names[:2]))} look like parts of a data set, not like classes",
            path=where(classes[names[0]]),
            hint=f"expected class folders in parts, train/CLASS/FILE and test/CLASS/FILE; {_HINT}",
        )
