"""Reductions in literal loops: each result from its list of elements, in row-major order, float64."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

__all__ = ["all_", "amax", "amin", "any_", "argmax", "argmin", "mean", "norm", "std", "sum_", "var"]


def each(formula, x, dim, keepdim):
    """The formula on the list of elements that each result is made of.

    Examples
    --------
    >>> each(max, np.array([[1.0, 4.0], [3.0, 2.0]]), (1,), False)
    array([4., 3.])
    """
    kept = [i for i in range(x.ndim) if i not in dim]
    results = []
    for place in product(*[range(x.shape[i]) for i in kept]):
        elements = []
        for inner in product(*[range(x.shape[i]) for i in dim]):
            index = [0] * x.ndim
            for i, position in zip((*kept, *dim), (*place, *inner), strict=True):
                index[i] = position
            elements.append(x[tuple(index)].item())
        results.append(formula(elements))
    shape = [x.shape[i] for i in range(x.ndim) if i in kept]
    if keepdim:
        shape = [x.shape[i] if i in kept else 1 for i in range(x.ndim)]
    return np.array(results, dtype=None if results else np.float64).reshape(shape)


def total(elements):
    result = 0.0
    for element in elements:
        result += element
    return result


def average(elements):
    return total(elements) / len(elements) if elements else math.nan


def variance(elements, correction):
    centre = average(elements)
    squares = total([(element - centre) ** 2 for element in elements])
    return squares / (len(elements) - correction) if len(elements) > correction else math.nan


def place_of(elements, better):
    """The first NaN, else the first element that no other is better than."""
    best = 0
    for i, element in enumerate(elements):
        if element != element:
            return i
        if better(element, elements[best]):
            best = i
    return best


def sum_(x, *, dim, keepdim=False):
    """y = Σ x."""
    return each(total, x, dim, keepdim)


def mean(x, *, dim, keepdim=False):
    """y = (1/n) Σ x."""
    return each(average, x, dim, keepdim)


def var(x, *, dim, correction=1, keepdim=False):
    """y = Σ (x - mean)² / (n - correction)."""
    return each(lambda elements: variance(elements, correction), x, dim, keepdim)


def std(x, *, dim, correction=1, keepdim=False):
    """y = √(Σ (x - mean)² / (n - correction))."""
    return each(lambda elements: math.sqrt(variance(elements, correction)), x, dim, keepdim)


def norm(x, *, dim, p=2.0, keepdim=False):
    """y = (Σ |x|^p)^(1/p); for p = 0 the number of x that are not 0."""

    def formula(elements):
        if p == 0:
            return total([1.0 for e in elements if e != 0])
        return total([abs(e) ** p for e in elements]) ** (1 / p)

    return each(formula, x, dim, keepdim)


def amax(x, *, dim, keepdim=False):
    """y = max x."""
    return each(lambda elements: elements[place_of(elements, lambda a, b: a > b)], x, dim, keepdim)


def amin(x, *, dim, keepdim=False):
    """y = min x."""
    return each(lambda elements: elements[place_of(elements, lambda a, b: a < b)], x, dim, keepdim)


def argmax(x, *, dim, keepdim=False):
    """y = the index of max x among the reduced elements."""
    return each(lambda elements: place_of(elements, lambda a, b: a > b), x, dim, keepdim)


def argmin(x, *, dim, keepdim=False):
    """y = the index of min x among the reduced elements."""
    return each(lambda elements: place_of(elements, lambda a, b: a < b), x, dim, keepdim)


def all_(x, *, dim, keepdim=False):
    """y = (no x is 0)."""
    return each(lambda elements: 0 not in elements, x, dim, keepdim).astype(bool)


def any_(x, *, dim, keepdim=False):
    """y = (some x is not 0)."""
    return each(lambda elements: any(element != 0 for element in elements), x, dim, keepdim).astype(bool)
