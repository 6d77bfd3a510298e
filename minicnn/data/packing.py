"""From labelled images as they come to packed ones: checked, of one size, in a fixed order.

Two passes. The first looks at names and headers and settles what goes where; the second decodes. What cannot
be read ends it with an error that names the image, or is left out and listed.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.core.threads import processors
from minicnn.data.arrange import ImageSize, Plan, Seen, arrange
from minicnn.data.formats.files import PathLike
from minicnn.data.formats.images import decode_to, header
from minicnn.data.pack import HASH_BYTES, Writer, refuse_occupied, writing
from minicnn.data.records.base import Record, Records
from minicnn.data.threads import ordered_in_threads
from minicnn.errors import FormatError
from minicnn.io import atomic, folders, locking

__all__ = ["pack"]

_AHEAD = 32  # images that wait to be written
_EVERY = 1000  # images between two reports of progress

Progress = Callable[[str, int, int], object]


def pack(
    sources: Sequence[Records],
    out: PathLike,
    *,
    image_size: ImageSize = None,
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
    workers: int = 0,
    origin: Any = None,
    unless: Callable[[], bool] = lambda: False,
    progress: Progress = lambda what, done, total: None,
) -> None:
    """Write the images of all sources into the folder ``out``; see :mod:`minicnn.data.pack`.

    Images are ordered by part, class and name, so a folder and a tar file of it become the same. Of several
    processes that pack into one folder, one does at a time.

    Parameters
    ----------
    sources : sequence of Records
        Where the images come from.
    out : path-like
        A folder that is made, or replaced when all is done.
    image_size : int or (int, int, int), optional
        Height and width, or (C, H, W). By default those of the images if they are all equal and at most 224,
        and otherwise the median of their shorter sides, at most 224; colour if any image has it.
    classes : sequence of str, optional
        The names of the classes in the order of their indices; by default those that there are, sorted.
    skip_bad : bool
        Leave out what cannot be read, and list it.
    workers : int
        Threads that decode; 0: one for each processor.
    origin : optional
        Kept with the pack; JSON.
    unless : callable
        Asked when it is this process's turn: if it gives True, as where another one packed the same, nothing
        is done.
    progress : callable
        Called as ``progress(what, images so far, of how many)`` now and then; of 0 where nobody knows yet.

    Raises
    ------
    FormatError
        If an image cannot be read and ``skip_bad`` is False, or a class has no image left, or
        is not among ``classes``.
    OSError
        If it cannot be written.
    """
    with _turn(Path(os.path.abspath(out)), progress):
        if not unless():
            refuse_occupied(os.path.abspath(out))
            _pack(sources, out, image_size, classes, skip_bad, workers, origin, unless, progress)


@contextmanager
def _turn(out: Path, progress: Progress) -> Iterator[None]:
    """Wait for other processes that pack into the folder, and clear away what killed ones left."""

    def wait(seconds: float) -> None:
        progress("waiting for another process that packs these images, seconds", round(seconds), 0)

    atomic.make_directory(out.parent)
    with locking.file(out.with_name(f".{out.name}.lock"), wait) as held:
        if held:
            folders.recover(out)
        yield


def _pack(
    sources: Sequence[Records],
    out: PathLike,
    image_size: ImageSize,
    classes: Sequence[str] | None,
    skip_bad: bool,
    workers: int,
    origin: Any,
    unless: Callable[[], bool],
    progress: Progress,
) -> None:
    seen, skipped = _look(sources, skip_bad, progress)
    while True:
        plan = arrange(sources, seen, skipped, image_size, classes)
        _require_space(out, plan)
        with writing(out, plan.image_shape) as writer:
            for part, names in plan.names.items():
                writer.begin(part, names, plan.labels[part])
            found = _decode(sources, plan, seen, writer, skip_bad, workers, progress)
            if not found:
                if not unless():  # where there are no locks, another process may have been faster
                    writer.finish(_facts(sources, plan, seen, skipped, origin))
                return
        skipped |= found  # whole headers, damaged pixels: once more without these


def _look(
    sources: Sequence[Records], skip_bad: bool, progress: Progress
) -> tuple[list[Seen], dict[int, str]]:
    """What the headers say; and why the images without one that can be read are skipped, by their numbers."""
    seen: list[Seen] = []
    skipped: dict[int, str] = {}
    for number, source in enumerate(sources):
        for record in source:
            found = Seen(number, record.name, record.label)
            try:
                with record.open() as file:
                    facts = header(file, source.where(record.name))
                found = found._replace(size=(facts["height"], facts["width"]), grey=facts["grey"])
            except FormatError as error:
                if not skip_bad:
                    raise _with_hint(error) from error.__cause__
                skipped[len(seen)] = error.message
            seen.append(found)
            if len(seen) % _EVERY == 0:
                progress("looking at images", len(seen), 0)
    return seen, skipped


def _with_hint(error: FormatError) -> FormatError:
    return FormatError(
        error.message,
        path=error.path,
        offset=error.offset,
        hint="--skip-bad (skip_bad) leaves out and lists such images; `minicnn data check` lists all now",
    )


def _require_space(out: PathLike, plan: Plan) -> None:
    """Refuse to begin what the disk has no room for."""
    count = len(plan.places)
    need = count * (int(np.prod(plan.image_shape)) + HASH_BYTES + 8)
    place = os.path.abspath(out)
    while not os.path.exists(place):
        place = os.path.dirname(place)
    free = shutil.disk_usage(place).free
    if need > free:
        text = f"{count:,} packed images take {need >> 20:,} MiB, free are {free >> 20:,}; {_ROOM}"
        raise OSError(errno.ENOSPC, text, os.fspath(out))


_ROOM = "MINICNN_CACHE names another place, --image-size makes them smaller"


def _decode(
    sources: Sequence[Records],
    plan: Plan,
    seen: Sequence[Seen],
    writer: Writer,
    skip_bad: bool,
    workers: int,
    progress: Progress,
) -> dict[int, str]:
    """Decode and write all images that have a place; why some could not be, by their numbers."""

    def store(task: tuple[int, Record, str]) -> tuple[int, str]:
        number, record, name = task
        try:
            with record.open() as file:
                pixels = decode_to(file, name, plan.image_shape)
            writer.put(*plan.places[number], pixels)
        except FormatError as error:
            if not skip_bad:
                raise _with_hint(error) from error.__cause__
            return number, error.message
        return number, ""

    tasks = _placed(sources, plan, seen)
    workers = workers or processors()
    options: dict[str, Any] = {"workers": workers, "ahead": _AHEAD, "timeout": None, "init": None}
    bad = {}
    for done, (number, reason) in enumerate(ordered_in_threads(store, tasks, **options), 1):
        if reason:
            bad[number] = reason
        if done % _EVERY == 0:
            progress("packing images", done, len(plan.places))
    return bad


_CHANGED = "changed while its images were read: start again when nothing writes to it"


def _placed(
    sources: Sequence[Records], plan: Plan, seen: Sequence[Seen]
) -> Iterator[tuple[int, Record, str]]:
    """The records that have a place, with their numbers and what errors call them."""
    number = 0
    for source in sources:
        for record in source:
            if number >= len(seen) or record.name != seen[number].name:
                raise FormatError(_CHANGED, path=source.path)
            if number in plan.places:
                yield number, record, source.where(record.name)
            number += 1
    if number < len(seen):
        raise FormatError(_CHANGED, path=sources[-1].path)


def _facts(
    sources: Sequence[Records], plan: Plan, seen: Sequence[Seen], skipped: dict[int, str], origin: Any
) -> dict[str, Any]:
    """What ``pack.json`` says besides sizes."""
    _, height, width = plan.image_shape
    notes = [f"the middle of each image is scaled to {height} x {width} pixels"] if plan.scaled else []
    notes += [note for note in (source.note() for source in sources) if note]
    return {
        "classes": plan.classes,
        "note": "; ".join(notes),
        "skipped": [[seen[number].name, reason] for number, reason in sorted(skipped.items())],
        "origin": origin,
    }
