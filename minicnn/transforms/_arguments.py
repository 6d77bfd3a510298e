"""The options that transforms share, checked and brought to one form."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.errors import OptionError

__all__ = [
    "Fill",
    "InterpolationMode",
    "to_chance",
    "to_factor",
    "to_fill",
    "to_interpolation",
    "to_margins",
    "to_numbers",
    "to_padding_mode",
    "to_pair",
    "to_point",
    "to_range",
    "to_sides",
    "to_span",
    "to_tuple",
]

Fill = float | Sequence[float]


class InterpolationMode(enum.Enum):
    """How pixels between pixels are made; here the nearest are the exact ones in any case."""

    NEAREST = "nearest"
    LANCZOS = "lanczos"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    NEAREST_EXACT = "nearest-exact"

    @property
    def number(self) -> int:
        """Pillow's number for it: the modes stand in Pillow's order."""
        return 0 if self is InterpolationMode.NEAREST_EXACT else _MODES.index(self)

    def __repr__(self) -> str:
        return self.value


_MODES: list[InterpolationMode] = [*InterpolationMode][:-1]  # Pillow has no number for the last


def to_interpolation(mode: InterpolationMode | int | str, op: str) -> InterpolationMode:
    """From a mode, its name or Pillow's number."""
    if isinstance(mode, int) and not isinstance(mode, bool) and 0 <= mode < len(_MODES):
        return _MODES[mode]
    try:
        chosen = InterpolationMode(mode)
    except ValueError as error:
        names = ", ".join(m.value for m in _MODES)
        raise OptionError(expected=f"an interpolation out of {names}", got=repr(mode), op=op) from error
    return InterpolationMode.NEAREST if chosen is InterpolationMode.NEAREST_EXACT else chosen


def to_tuple(value: Any) -> tuple[Any, ...]:
    """One value or several, as a tuple."""
    return tuple(value) if isinstance(value, Sequence) else (value,)


def to_pair(size: int | Sequence[int], op: str) -> tuple[int, int]:
    """(height, width) from one number or two."""
    given = to_tuple(size)
    if len(given) not in (1, 2) or not all(isinstance(n, (int, np.integer)) and n > 0 for n in given):
        raise OptionError(expected="a positive size or (height, width)", got=repr(size), op=op)
    return int(given[0]), int(given[-1])


def to_sides(size: int | Sequence[int], max_size: int | None, op: str) -> int | tuple[int, int]:
    """The length of the shorter side, or (height, width), of what is not longer than ``max_size``."""
    height, width = to_pair(size, op)
    both = len(to_tuple(size)) == 2
    if max_size is not None and (both or max_size <= height):
        raise OptionError(expected="max_size > size, and one size", got=f"{max_size} with size {size}", op=op)
    return (height, width) if both else height


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
    if not (_is_finite(p) and 0 <= p <= 1):
        raise OptionError(expected="p from 0 to 1", got=repr(p), op=op)
    return p


def to_numbers(value: Any, lengths: Sequence[int] | None, op: str, name: str) -> tuple[float, ...]:
    """One finite number or several: as many as is allowed, or any number but none."""
    given = to_tuple(value)
    if len(given) not in (lengths or (len(given) or 1,)) or not all(map(_is_finite, given)):
        count = "" if lengths is None else " or ".join(map(str, lengths)) + " "
        raise OptionError(expected=f"{name} of {count}finite numbers", got=repr(value), op=op)
    return given


def _is_finite(number: Any) -> bool:
    return isinstance(number, (int, float, np.integer, np.floating)) and math.isfinite(number)


def to_point(point: Sequence[float] | None, op: str) -> tuple[float, ...] | None:
    """A place (x, y), checked."""
    return None if point is None else to_numbers(point, (2,), op, "a center (x, y)")


def to_span(value: Any, op: str, name: str) -> tuple[float, float]:
    """From - to: two numbers in order, or one number for both sides of 0."""
    given = to_numbers(value, (1, 2), op, name)
    low, high = (-given[0], given[0]) if len(given) == 1 else given
    if low > high:
        raise OptionError(expected=f"{name} >= 0, or (from, to) in order", got=repr(value), op=op)
    if math.isinf(high - low):
        raise OptionError(expected=f"{name} at a finite distance from each other", got=repr(value), op=op)
    return float(low), float(high)


def to_range(value: Any, op: str, name: str, low: float, high: float = float("inf")) -> tuple[float, float]:
    """Two numbers in order within bounds."""
    first, last = to_numbers(value, (2,), op, name)
    if not low <= first <= last <= high:
        bounds = f"{low} to {high}" if high < float("inf") else f"{low} on"
        raise OptionError(expected=f"{name} (from, to) in order, from {bounds}", got=repr(value), op=op)
    return first, last


def to_fill(fill: Fill | None, op: str) -> Fill | None:
    """A colour, one number or one per channel, checked."""
    if fill is not None and not all(_is_finite(n) and 0 <= n <= 255 for n in to_tuple(fill) or (None,)):
        raise OptionError(
            expected="a fill of 1 number, or one per channel, from 0 to 255", got=repr(fill), op=op
        )
    return fill


def to_factor(factor: float, op: str, name: str) -> float:
    """A number from 0 on, checked."""
    if not (_is_finite(factor) and factor >= 0):
        raise OptionError(expected=f"{name} >= 0", got=repr(factor), op=op)
    return factor
