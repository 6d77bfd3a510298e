"""The tolerances, in one place, and the comparison that uses them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["FLOAT32", "FLOAT64", "compare", "float32_bound", "magnitude"]

# Relative to the largest number of an array, for the same formula with another order of additions.
FLOAT64 = 1e-12
FLOAT32 = 1e-5


def float32_bound(length: int) -> float:
    """Relative rounding error of a float32 sum of ``length`` terms, relative to the sum of magnitudes.

    min(n + 2, 4 + 2·√n) · 2⁻²⁴: the first holds always, the second for random signs; the largest
    errors measured are half of it, one lost term of thousands is far above.
    """
    return min(length + 2, 4 + 2 * math.sqrt(length)) * 2.0**-24


def compare(actual: Any, expected: Any, tolerance: Any) -> str | None:
    """None if two arrays agree, else what differs most.

    Parameters
    ----------
    actual, expected : array
        NaN must meet NaN, and an infinity the same infinity.
    tolerance : float or array
        The absolute difference to accept; 0 for exact equality.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, expected {expected.shape}"
    if actual.dtype.kind != "f":
        wrong = actual != expected
        difference = wrong.astype(float)
    else:
        with np.errstate(all="ignore"):
            difference = np.abs(actual.astype(np.float64) - expected)
            same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
        difference = np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))
        wrong = difference > tolerance
    if not wrong.any():
        return None
    at = np.unravel_index(int(np.argmax(np.where(wrong, difference, -1.0))), actual.shape)
    index = tuple(int(i) for i in at)
    return f"{int(wrong.sum())} of {actual.size} differ; at {index} {actual[at]!r}, expected {expected[at]!r}"


def magnitude(array: Any) -> float:
    """The largest finite magnitude in an array; 0 if there is none."""
    with np.errstate(invalid="ignore"):
        sizes = np.abs(np.asarray(array, dtype=np.float64))
    return float(sizes[np.isfinite(sizes)].max(initial=0.0))
