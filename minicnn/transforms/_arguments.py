"""The options that transforms share, checked and brought to one form."""

from __future__ import annotations

import enum
import numbers
from collections.abc import Sequence

from minicnn.errors import OptionError

__all__ = ["InterpolationMode", "to_chance", "to_interpolation", "to_margins", "to_padding_mode", "to_pair"]


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


def to_pair(size: int | Sequence[int], op: str) -> tuple[int, int]:
    """(height, width) from one number or two."""
    sizes = (size,) * 2 if isinstance(size, numbers.Integral) else tuple(size)  # type: ignore[arg-type]
    if len(sizes) == 1:
        sizes *= 2
    if len(sizes) != 2 or not all(isinstance(n, numbers.Integral) and n > 0 for n in sizes):
        raise OptionError(expected="a positive size or (height, width)", got=repr(size), op=op)
    return int(sizes[0]), int(sizes[1])


def to_margins(padding: int | Sequence[int], op: str) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) from one number, (left and right, top and bottom), or four."""
    given = (padding,) if isinstance(padding, numbers.Integral) else tuple(padding)  # type: ignore[arg-type]
    if len(given) not in (1, 2, 4) or not all(isinstance(n, numbers.Integral) and n >= 0 for n in given):
        raise OptionError(expected="a padding of 1, 2 or 4 numbers >= 0", got=repr(padding), op=op)
    left, top, right, bottom = (given * 4)[:4]
    return int(left), int(top), int(right), int(bottom)


def to_padding_mode(mode: str, op: str) -> str:
    modes = ("constant", "edge", "reflect", "symmetric")
    if mode not in modes:
        raise OptionError(expected=f"a padding_mode out of {', '.join(modes)}", got=repr(mode), op=op)
    return mode


def to_chance(p: float, op: str) -> float:
    if not 0 <= p <= 1:
        raise OptionError(expected="p from 0 to 1", got=str(p), op=op)
    return p
