"""``metrics.jsonl``: one line of JSON per update and per epoch, with nothing in it that depends on time."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from minicnn.errors import CheckpointError

__all__ = ["Log", "check_length", "read"]


class Log:
    """Appends records to a file of lines.

    Parameters
    ----------
    path : Path
        Made if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Unbuffered, so that a failure shows at the record it concerns.
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - open as long as the training runs

    def write(self, record: dict[str, Any]) -> None:
        """Append a record, the whole of it or, if that fails, nothing.

        Raises
        ------
        OSError
            If it cannot be written, naming the file.
        """
        line = json.dumps(record).encode() + b"\n"
        length = self._length()
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            self._file.truncate(length)
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def sync(self) -> int:
        """Bring everything to the disk, and return the length in bytes."""
        os.fsync(self._file.fileno())
        return self._length()

    def truncate(self, length: int) -> None:
        """Forget what was written after the first ``length`` bytes."""
        self._file.truncate(length)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _length(self) -> int:
        return os.fstat(self._file.fileno()).st_size


def check_length(path: Path, length: int) -> None:
    """Refuse a log that has lost some of its first ``length`` bytes.

    Raises
    ------
    CheckpointError
        If the file is shorter than that, or missing.
    """
    have = path.stat().st_size if path.exists() else 0
    if have < length:
        raise CheckpointError(f"{path}: {have} bytes, but the checkpoint was made at {length}")


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a log; a last line that was cut off is left out."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]
