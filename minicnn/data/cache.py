"""Where packed images are kept, so that a data set is decoded once and not at every start."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from minicnn.data.arrange import ImageSize
from minicnn.data.pack import PackedImages, is_pack, open_pack
from minicnn.data.packing import Progress, pack
from minicnn.data.records.base import Records
from minicnn.errors import FormatError
from minicnn.io import folders, locking

__all__ = ["cache_dir", "packed"]

# Raise it when the same files shall become other images, classes, parts or names: all are packed anew then.
_RULES = 4

_Opened = tuple[dict[str, Any], dict[str, PackedImages]]


def cache_dir() -> Path:
    """The folder for what can be made again: ``MINICNN_CACHE``, or the user's own for such things."""
    chosen = os.environ.get("MINICNN_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "minicnn"


def packed(
    sources: Sequence[Records],
    *,
    image_size: ImageSize,
    classes: Sequence[str] | None,
    skip_bad: bool,
    progress: Progress,
) -> _Opened:
    """:func:`~minicnn.data.pack.open_pack` of the images of these sources, packed now if they have changed.

    Raises
    ------
    FormatError, OSError
        As :func:`~minicnn.data.packing.pack`; also if images were left out before and shall not be now.
    """
    names = [source.path for source in sources]  # one on the hub lies in no folder
    paths = [name if name.startswith("hf:") else os.path.abspath(name) for name in names]
    decides = [
        paths,
        [source.part for source in sources],
        image_size,
        None if classes is None else list(classes),
    ]
    key = _digest([_RULES, [source.key() for source in sources]])
    origin = {"paths": paths, "key": key}
    # What the files are is part of the name: a pack that somebody reads never becomes another.
    name = _name(paths[0], decides)
    folder = cache_dir() / "packs" / f"{name}-{key[:16]}"

    def there() -> _Opened | None:
        facts, parts = _opened(folder)
        fits = facts.get("origin") == origin and (skip_bad or not facts["skipped"])
        return (facts, parts) if fits else None

    if found := there():
        return found
    options: dict[str, Any] = {"image_size": image_size, "classes": classes, "skip_bad": skip_bad}
    pack(sources, folder, origin=origin, unless=lambda: bool(there()), progress=progress, **options)
    found = open_pack(folder)
    _clear(folder, name)
    return found


def _clear(newest: Path, name: str) -> None:
    """Remove what the same source was packed to before its files changed, also what killed processes left.

    What a process reads or writes stays.
    """
    of_this = re.compile(rf"\.?({re.escape(name)}-[0-9a-f]{{16}})(\..*)?")
    found = {match[1] for path in newest.parent.iterdir() if (match := of_this.fullmatch(path.name))}
    for folder in sorted(newest.with_name(one) for one in found - {newest.name}):
        with suppress(_BusyError), locking.file(folder.with_name(f".{folder.name}.lock"), _refuse) as held:
            if held:
                folders.recover(folder)
            if not any(map(locking.is_shared, folder.glob("*-images.npy"))):
                shutil.rmtree(folder, ignore_errors=True)


class _BusyError(Exception):
    """Another process holds a lock."""


def _refuse(seconds: float) -> None:
    raise _BusyError


def _name(path: str, decides: Any) -> str:
    """A name that people recognise, and nothing else has."""
    stem = re.sub(r"[^\w.-]+", "-", os.path.basename(os.path.abspath(path)))[:40]
    return f"{stem}-{_digest(decides)[:16]}"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _opened(folder: Path) -> _Opened:
    """A pack; nothing if there is none that can be read."""
    if not is_pack(folder):
        return {}, {}
    try:
        return open_pack(folder)
    except FormatError:
        return {}, {}  # it is made again
