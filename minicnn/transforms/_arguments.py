"""The options that transforms share, checked and brought to one form."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.errors import OptionError

__all__ = [
    "InterpolationMode",
    "to_chance",
    "to_interpolation",
    "to_margins",
    "to_padding_mode",
    "to_pair",
    "to_tuple",
]


class InterpolationMode(enum.Enum):
    """How pixels between pixels are made."""

    NEAREST = "nearest"
    LANCZOS = "lanczos"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"

    @property
    def number(self) -> int:
        """Pillow's number for it: the modes stand in Pillow's order."""
        return _MODES.index(self)

    def __repr__(self) -> str:
        return self.value


_MODES = list(InterpolationMode)


def to_interpolation(mode: InterpolationMode | int | str, op: str) -> InterpolationMode:
    """From a mode, its name or Pillow's number."""
    try:
        return _MODES[mode] if isinstance(mode, int) else InterpolationMode(mode)
    except (ValueError, IndexError) as error:
        names = ", ".join(m.value for m in _MODES)
        raise OptionError(expected=f"an interpolation out of {names}", got=repr(mode), op=op) from error


def to_tuple(value: Any) -> tuple[Any, ...]:
    """One value or several, as a tuple."""
    return tuple(value) if isinstance(value, Sequence) else (value,)


def to_pair(size: int | Sequence[int], op: str) -> tuple[int, int]:
    """(height, width) from one number or two."""
    given = to_tuple(size)
    if len(given) not in (1, 2) or not all(isinstance(n, (int, np.integer)) and n > 0 for n in given):
        raise OptionError(expected="a positive size or (height, width)", got=repr(size), op=op)
    return int(given[0]), int(given[-1])


def to_margins(padding: int | Sequence[int], op: str) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) from one number, (left and right, top and bottom), or four."""
    given = to_tuple(padding)
    if len(given) not in (1, 2, 4) or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in given):
        raise OptionError(expected="a padding of 1, 2 or 4 numbers >= 0", got=repr(padding), op=op)
    left, top, right, bottom = (given * 4)[:4]
    return int(left), int(top), int(right), int(bottom)


def to_padding_mode(mode: str, op: str) -> str:
    """A way to fill a margin, checked."""
    modes = ("constant", "edge", "reflect", "symmetric")
    if mode not in modes:
        raise OptionError(expected=f"a padding_mode out of {', '.join(modes)}", got=repr(mode), op=op)
    return mode


def to_chance(p: float, op: str) -> float:
    """A probability, checked."""
    if not 0 <= p <= 1:
        raise OptionError(expected="p from 0 to 1", got=str(p), op=op)
    return p
