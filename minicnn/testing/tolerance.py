"""The tolerances, in one place, and the comparison that uses them.

Nothing is compared relative to the largest number of an array: an element that is wrong by far more
than its own rounding would hide behind a larger neighbour. The bound is each element's own,

    factor(n) · u · (|y| + Σ_j |∂y/∂x_j| · |x_j|),   factor(n) = min(n + 2, 4 + 2·√n)

with u the unit roundoff (2⁻⁵³ in float64, 2⁻²⁴ in float32) and n the number of operand elements that
reach y. For a linear operation the sum is the same operation on absolute values, Σ|w|·|x|: the exact
measure of what cancels in a sum. For all others it is the condition number times |y|: what a change of
each operand by one rounding does to y, so code may lose that much and no more. Where a formula has to
round a number that is not small though its result is (the logarithm of a sum of probabilities, which
is close to 1), the row of the operation says how large that number is: ``OpCase.inner``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["compare", "differing", "factor", "float32_bound", "unit"]


def unit(dtype: Any) -> float:
    """The largest relative error of rounding to nearest: 2⁻²⁴ in float32, 2⁻⁵³ in float64.

    Examples
    --------
    >>> unit(np.float32) == 2.0**-24
    True
    """
    return float(np.finfo(dtype).eps) / 2


def factor(length: Any) -> Any:
    """How many roundings a sum of ``length`` terms may be wrong by, relative to its sum of magnitudes.

    min(n + 2, 4 + 2·√n): the first holds always, the second for random signs; the largest errors
    measured are half of it, one lost term of thousands is far above.

    Examples
    --------
    >>> factor(np.array([1, 100])).tolist()
    [3.0, 24.0]
    """
    return np.minimum(length + 2.0, 4.0 + 2.0 * np.sqrt(length))


def float32_bound(length: Any) -> Any:
    """The error of a float32 sum of ``length`` terms, relative to its sum of magnitudes: factor(n) · u.

    Examples
    --------
    >>> float(float32_bound(100)) == 24 * 2.0**-24
    True
    """
    return factor(length) * unit(np.float32)


def compare(actual: Any, expected: Any, tolerance: Any) -> str | None:
    """None if two arrays agree, else what differs most.

    Parameters
    ----------
    actual, expected : array
        NaN must meet NaN, and an infinity the same infinity; so must what is too large for the dtype
        of ``actual``.
    tolerance : float or array
        The absolute difference to accept; 0 for exact equality.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, expected {expected.shape}"
    wrong, difference = differing(actual, expected, tolerance)
    if not wrong.any():
        return None
    at = np.unravel_index(int(np.argmax(np.where(wrong, difference, -1.0))), actual.shape)
    index = tuple(int(i) for i in at)
    return f"{int(wrong.sum())} of {actual.size} differ; at {index} {actual[at]!r}, expected {expected[at]!r}"


def differing(actual: np.ndarray, expected: np.ndarray, tolerance: Any) -> tuple[np.ndarray, np.ndarray]:
    """Where arrays of one shape do not agree in the sense of :func:`compare`, and by how much."""
    if actual.dtype.kind != "f":
        wrong = np.asarray(actual != expected)
        return wrong, wrong.astype(float)
    with np.errstate(all="ignore"):
        difference = np.abs(actual.astype(np.float64) - expected)
        same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
        same |= np.isinf(actual) & (actual == expected.astype(actual.dtype))
    difference = np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))
    return ~((difference <= tolerance) & (difference < np.inf)), difference
