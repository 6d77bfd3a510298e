"""Functions of the extended real line, one number at a time.

Python's ``math`` raises where IEEE arithmetic gives ±∞ or NaN; the operations are to give those.
"""

from __future__ import annotations

import math

__all__ = ["exp", "floor", "log", "power", "sin", "sqrt"]


def exp(x: float) -> float:
    """e^x; ∞ where it is too large for a float."""
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def log(x: float) -> float:
    """ln x; -∞ at 0 and NaN below."""
    if x == 0:
        return -math.inf
    return math.log(x) if not x < 0 else math.nan


def sqrt(x: float) -> float:
    """√x; NaN below 0."""
    return math.sqrt(x) if not x < 0 else math.nan


def sin(x: float) -> float:
    """sin x; NaN at ±∞."""
    return math.sin(x) if abs(x) != math.inf else math.nan


def power(x: float, y: float) -> float:
    """x^y; ±∞ where it is too large for a float, NaN where it is not real.

    x^½ is √x, so NaN at -∞ too.
    """
    if y == 0.5:
        return sqrt(x)
    try:
        z = x**y
    except OverflowError:
        return math.inf if x > 0 or y % 2 == 0 else -math.inf
    return math.nan if isinstance(z, complex) else z


def floor(x: float) -> float:
    """⌊x⌋; ±∞ and NaN as they are."""
    return float(math.floor(x)) if math.isfinite(x) else x
