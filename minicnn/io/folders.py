"""Writing a folder so that it is whole or absent, beside the place it takes; only one at a time may write it.

What is written is called ``.<name>.tmp.<machine><random>``, and what it replaces ``.<name>.old.<random>`` for
the moment between the two renames.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import time
from pathlib import Path

from minicnn.io import atomic

__all__ = ["recover", "sync", "take_place", "temporary"]

_HOUR = 3600.0  # seconds
# Locks of a shared disk may hold on one machine only: what another one began may still be written.
_MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def temporary(final: Path) -> Path:
    """A name beside it that nobody has, as the number of a process may be another's in another container."""
    return final.with_name(f".{final.name}.tmp.{_MACHINE}{os.urandom(8).hex()}")


def sync(folder: Path) -> None:
    """Bring a folder and the files in it to the disk."""
    for path in folder.iterdir():
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
    atomic.sync_directory(folder)


def take_place(new: Path, final: Path) -> None:
    """Give a folder its name; what stood there before goes.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     final = Path(place, "final")
    ...     for content in ("old", "new"):
    ...         folder = temporary(final)
    ...         folder.mkdir()
    ...         _ = (folder / content).write_text("")
    ...         take_place(folder, final)
    ...     os.listdir(place), os.listdir(final)
    (['final'], ['new'])
    """
    old = final.with_name(f".{final.name}.old.{os.urandom(8).hex()}")
    if final.exists():
        os.rename(final, old)
    os.rename(new, final)
    atomic.sync_directory(final.parent)  # before the old one is gone
    shutil.rmtree(old, ignore_errors=True)


def recover(final: Path) -> None:
    """Put right what killed processes left: a folder set aside comes back if nothing took its place.

    For who knows that no other process on this machine is writing it; what another machine has written to
    within the last hour is left alone.
    """
    name = re.compile(rf"\.{re.escape(final.name)}\.(?:old\.|tmp\.([0-9a-f]{{8}}))[0-9a-f]{{16}}")
    for path in sorted(final.parent.iterdir()):
        match = name.fullmatch(path.name)
        if match is None:
            continue
        if not match[1] and not final.exists():
            os.rename(path, final)
        elif match[1] in (None, _MACHINE) or _age(path) > _HOUR:
            shutil.rmtree(path, ignore_errors=True)


def _age(folder: Path) -> float:
    """Seconds since anything in it was written; 0 where it has just gone."""
    try:
        return time.time() - max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except FileNotFoundError:
        return 0.0
