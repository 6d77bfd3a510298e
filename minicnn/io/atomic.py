"""Writing a file so that it is whole or absent, whenever the process or the machine stops."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["make_directory", "remove_stale", "write"]

# Elsewhere no directory can be opened to flush it, and os.kill(pid, 0) is no question: Windows acts on it.
_POSIX = os.name == "posix"
_TEMPORARY = re.compile(r"^\..+\.tmp\.(\d+)$")


def write(path: str | os.PathLike[str], content: bytes | str | Callable[[BinaryIO], object]) -> None:
    """Replace a file by new content; the old content stays until the new one is on the disk.

    The content goes to ``.<name>.tmp.<pid>`` in the same directory, is flushed to the disk, takes
    the name by a rename, and the directory is flushed where the system can.

    Parameters
    ----------
    path : path-like
        The file to write. Its directory must exist.
    content : bytes, str or callable
        The bytes, text to encode as UTF-8, or a function that writes into the open file it is given.

    Raises
    ------
    OSError
        If the disk is full and the like, naming ``path``. The old file is intact then, and no
        temporary file is left.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "note.txt")
    ...     write(file, "seven")
    ...     file.read_text()
    'seven'
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, FileNotFoundError):  # which would speak of a missing input
            raise OSError(f"{path}: cannot create the output: {error.strerror}") from error
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_directory(directory: Path) -> None:
    """Flush a directory's entries to the disk, so that a rename in it survives a power cut (POSIX only)."""
    if not _POSIX:
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(path: str | os.PathLike[str], exist_ok: bool = True) -> None:
    """Make a directory for output, and those above it.

    Raises
    ------
    FileExistsError
        If it is there, and may not be or is a file.
    OSError
        If it cannot be made; never a FileNotFoundError, which would speak of a missing input.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        raise
    except OSError as error:
        raise OSError(f"{os.fspath(path)}: cannot create the output: {error.strerror}") from error


def remove_stale(directory: str | os.PathLike[str]) -> None:
    """Delete temporary files that a stopped process left in a directory.

    Files of processes that still run are left alone; so are those of all others where nobody can be
    asked whether they run.
    """
    for file in Path(directory).glob(".*.tmp.*"):
        match = _TEMPORARY.match(file.name)
        if match and not _runs(int(match[1])):
            file.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    """Whether another process of this number exists; our own writes are over by now."""
    if pid == os.getpid():
        return False
    if not _POSIX:
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
