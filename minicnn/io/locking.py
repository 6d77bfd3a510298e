"""Locks between processes, which the system drops with the process, however that ends.

Where there are no such locks, as on Windows and some network file systems, nothing is held. A child that the
holder forks (minicnn spawns its own) has the lock, too, until it ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

try:
    import fcntl
except ImportError:
    fcntl: Any = None  # type: ignore[no-redef]

__all__ = ["directory", "file", "is_shared", "share"]

_AGAIN = 0.1  # seconds between two tries

Busy = Callable[[float], object]


@contextmanager
def directory(path: str | os.PathLike[str], busy: Busy) -> Iterator[bool]:
    """Hold a directory that is there, for a block; gives whether it is held.

    Parameters
    ----------
    path : path-like
    busy : callable
        Called again and again with the seconds so far while another process holds it; an error ends that.
    """
    if fcntl is None:
        yield False
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        yield _held(handle, busy)
    finally:
        os.close(handle)


@contextmanager
def file(path: str | os.PathLike[str], busy: Busy) -> Iterator[bool]:
    """The same with a file that is made for it and removed behind it."""
    if fcntl is None:
        yield False
        return
    handle, held = _file(path, busy)
    try:
        yield held
    finally:
        with suppress(FileNotFoundError):  # where nothing is held another one may have removed it
            os.unlink(path)
        os.close(handle)


def share(handle: int) -> None:
    """Let others see by :func:`is_shared` that an open file is in use, as long as it is open."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)


def is_shared(path: str | os.PathLike[str]) -> bool:
    """Whether a process may have the file in use; True, too, where nobody can tell, False if it has gone."""
    if fcntl is None:
        return True
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _file(path: str | os.PathLike[str], busy: Busy) -> tuple[int, bool]:
    """A lock on the file that has the name: the holder before may have removed the one that was opened."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            held = _held(handle, busy)
            if not held or os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle, held
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _held(handle: int, busy: Busy) -> bool:
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            busy(time.monotonic() - began)
            time.sleep(_AGAIN)
        except OSError:
            return False
