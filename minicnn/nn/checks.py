"""Checks of constructor arguments: each returns the value, or refuses it by layer and name."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from minicnn.errors import OptionError

__all__ = ["choice", "number", "pair", "whole"]


def whole(layer: str, name: str, value: Any, least: int = 1) -> int:
    """An integer of at least ``least``.

    Raises
    ------
    OptionError
        If it is none.

    Examples
    --------
    >>> whole("Linear", "in_features", 3)
    3
    """
    if not _is_whole(value) or value < least:
        raise OptionError(expected=f"{name} = an integer of at least {least}", got=repr(value), op=layer)
    return operator.index(value)


def pair(layer: str, name: str, value: Any, least: int = 1) -> tuple[int, int]:
    """Two integers of at least ``least``, for height and width; one stands for both.

    Raises
    ------
    OptionError
        If it is neither.

    Examples
    --------
    >>> pair("Conv2d", "stride", 2), pair("Conv2d", "kernel_size", (3, 1))
    ((2, 2), (3, 1))
    """
    values = (value, value) if _is_whole(value) else value
    fits = (
        isinstance(values, Sequence) and len(values) == 2 and all(_is_whole(v) and v >= least for v in values)
    )
    if not fits:
        raise OptionError(
            expected=f"{name} = an integer of at least {least} or two of them", got=repr(value), op=layer
        )
    return operator.index(values[0]), operator.index(values[1])


def number(layer: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """A number in [low, high].

    Raises
    ------
    OptionError
        If it is no number, not finite, or outside.

    Examples
    --------
    >>> number("Dropout", "p", 0.5, 0, 1)
    0.5
    """
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (fits and math.isfinite(value) and low <= value <= high):
        bounds = (
            "" if low == -math.inf else f" in [{low}, {high}]" if high < math.inf else f" of at least {low}"
        )
        raise OptionError(expected=f"{name} = a number{bounds}", got=repr(value), op=layer)
    return value


def choice(layer: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """One out of some words.

    Raises
    ------
    OptionError
        If it is none of them.

    Examples
    --------
    >>> choice("GELU", "approximate", "tanh", ("none", "tanh"))
    'tanh'
    """
    if value not in choices:
        raise OptionError(
            expected=f"{name} out of {', '.join(map(repr, choices))}", got=repr(value), op=layer
        )
    return value


def _is_whole(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)
