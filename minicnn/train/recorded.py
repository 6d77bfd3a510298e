"""What a run learned about its data, and how a run directory says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.data.formats.files import damage
from minicnn.data.pack import HASH_BYTES
from minicnn.errors import FormatError, OptionError
from minicnn.io import atomic
from minicnn.train.config import Config, load_toml

__all__ = ["Recorded", "read_learned", "read_run", "write_learned"]

_LEARNED = "learned.npy"


@dataclass(frozen=True)
class Recorded:
    """What a run learned about its data, and needs again to treat other images the same way.

    Attributes
    ----------
    classes : list of str
    image_shape : (C, H, W)
    mean, std : list of float, one number per channel
        Of the training images, from 0 to 1.
    data_fingerprint : str
        SHA-256 of the data set.
    version : str
        Of minicnn.
    start_digest : str
        Of the weights it began with; empty where they were random.
    """

    classes: list[str]
    image_shape: list[int]
    mean: list[float]
    std: list[float]
    data_fingerprint: str
    version: str
    start_digest: str = ""


def read_run(directory: str | Path, **changes: Any) -> tuple[Config, Recorded]:
    """What the ``config.toml`` of a run directory says, with some options changed.

    Raises
    ------
    OptionError
        If it is not a run directory, or its configuration is bad.
    """
    path = Path(directory) / "config.toml"
    if not path.is_file():
        raise OptionError(f"{directory}: not a run directory (no config.toml)")
    values = load_toml(path)
    try:
        recorded = Recorded(**values.pop("recorded"))
    except (KeyError, TypeError) as error:
        raise OptionError(f"{directory}: its config.toml does not say what the data were like") from error
    return Config.from_dict(values | changes), recorded


def write_learned(directory: str | Path, hashes: np.ndarray) -> None:
    """Write down which images a run learns from: their :func:`~minicnn.data.duplicates.image_hashes`."""
    table = np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, HASH_BYTES)
    atomic.write(Path(directory) / _LEARNED, lambda file: np.save(file, table))


def read_learned(directory: str | Path) -> np.ndarray | None:
    """What :func:`write_learned` wrote; None where there is nothing.

    Raises
    ------
    FormatError
        If the file is damaged.
    """
    path = Path(directory) / _LEARNED
    if not path.exists():
        return None
    with damage(path, "damaged"):
        table = np.load(path)
    if table.dtype != np.uint8 or table.shape[1:] != (HASH_BYTES,):
        raise FormatError("not the hashes of images", path=path)
    return np.ascontiguousarray(table).view(f"V{HASH_BYTES}").reshape(-1)
