"""Functions of the extended real line, one number at a time.

Python's ``math`` raises where IEEE arithmetic gives ±∞ or NaN; the operations are to give those.
"""

from __future__ import annotations

import math

__all__ = ["exp", "floor", "floor_divide", "log", "power", "remainder", "sin", "sqrt"]


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


def floor_divide(x: float, y: float) -> float:
    """⌊x / y⌋; an infinite y is the limit of ever larger ones; NaN at x = ±∞."""
    if math.isinf(x):
        return math.nan
    if math.isinf(y) and x * y < 0:
        return -1.0  # of a quotient just below 0
    return floor(x / y)


def remainder(x: float, y: float) -> float:
    """x - y ⌊x / y⌋; with y = ±∞ x itself if of y's sign, else y, the limits."""
    if math.isinf(y) and math.isfinite(x):
        return x if x * y >= 0 or x == 0 else y
    return x - y * floor_divide(x, y)
