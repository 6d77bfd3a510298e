"""Arithmetic, comparison and choice in literal loops: one element at a time, float64."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from minicnn.oracles import real

__all__ = [
    "abs_", "add", "ceil", "clip", "cos", "div", "eq", "exp", "floor", "floor_divide", "ge",
    "gt", "isfinite", "isnan", "le", "log", "logical_and", "logical_not", "logical_or", "lt", "maximum",
    "minimum", "mul", "ne", "neg", "pow_", "remainder", "round_", "sign", "sin", "sqrt", "sub", "where",
]  # fmt: skip


def each(formula, *operands):
    """The formula on each group of elements that broadcasting brings together.

    Examples
    --------
    >>> each(lambda x, y: x + y, np.array([[1.0], [2.0]]), np.array([10.0, 20.0]))
    array([[11., 21.],
           [12., 22.]])
    """
    operands = [np.asarray(operand) for operand in operands]
    ndim = max(operand.ndim for operand in operands)
    shape = [1] * ndim
    for operand in operands:
        for i in range(1, operand.ndim + 1):
            if operand.shape[-i] != 1:
                shape[-i] = operand.shape[-i]
    results = {}
    for index in product(*map(range, shape)):
        elements = []
        for operand in operands:
            own = index[ndim - operand.ndim :]
            own = tuple(0 if n == 1 else i for i, n in zip(own, operand.shape, strict=True))
            elements.append(operand[own].item())
        results[index] = formula(*elements)
    values = list(results.values())
    return np.array(values, dtype=None if values else np.float64).reshape(shape)


def add(x, y):
    """z = x + y."""
    return each(lambda x, y: x + y, x, y)


def sub(x, y):
    """z = x - y."""
    return each(lambda x, y: x - y, x, y)


def mul(x, y):
    """z = x · y."""
    return each(lambda x, y: x * y, x, y)


def div(x, y):
    """z = x / y."""
    return each(lambda x, y: x / y, x, y)


def neg(x):
    """y = -x."""
    return each(lambda x: -x, x)


def pow_(x, y):
    """z = x^y."""
    return each(real.power, x, y)


def abs_(x):
    """y = x where x ≥ 0, else -x."""
    return each(lambda x: x if x >= 0 else -x, x)


def exp(x):
    """y = e^x."""
    return each(real.exp, x)


def log(x):
    """y = ln x."""
    return each(real.log, x)


def sqrt(x):
    """y = √x."""
    return each(real.sqrt, x)


def sin(x):
    """y = sin x."""
    return each(real.sin, x)


def cos(x):
    """y = cos x; NaN at ±∞."""
    return each(lambda x: math.cos(x) if abs(x) != math.inf else math.nan, x)


def eq(x, y):
    """z = (x = y)."""
    return each(lambda x, y: x == y, x, y)


def ne(x, y):
    """z = (x ≠ y)."""
    return each(lambda x, y: x != y, x, y)


def lt(x, y):
    """z = (x < y)."""
    return each(lambda x, y: x < y, x, y)


def le(x, y):
    """z = (x ≤ y)."""
    return each(lambda x, y: x <= y, x, y)


def gt(x, y):
    """z = (x > y)."""
    return each(lambda x, y: x > y, x, y)


def ge(x, y):
    """z = (x ≥ y)."""
    return each(lambda x, y: x >= y, x, y)


def logical_and(x, y):
    """z = (x ≠ 0 and y ≠ 0)."""
    return each(lambda x, y: x != 0 and y != 0, x, y)


def logical_or(x, y):
    """z = (x ≠ 0 or y ≠ 0)."""
    return each(lambda x, y: x != 0 or y != 0, x, y)


def logical_not(x):
    """y = (x = 0)."""
    return each(lambda x: x == 0, x)


def isnan(x):
    """y = (x ≠ x)."""
    return each(lambda x: x != x, x)


def isfinite(x):
    """y = (-inf < x < inf)."""
    return each(lambda x: -math.inf < x < math.inf, x)


def sign(x):
    """y = 1 where x > 0, -1 where x < 0, else x itself: 0 or NaN."""
    return each(lambda x: 1.0 if x > 0 else -1.0 if x < 0 else x, x)


def floor(x):
    """y = ⌊x⌋."""
    return each(real.floor, x)


def floor_divide(x, y):
    """z = ⌊x / y⌋."""
    return each(real.floor_divide, x, y)


def remainder(x, y):
    """z = x - y ⌊x / y⌋."""
    return each(real.remainder, x, y)


def ceil(x):
    """y = ⌈x⌉."""
    return each(lambda x: -real.floor(-x), x)


def round_(x):
    """y = the nearest whole number, of two the even one."""
    return each(lambda x: float(round(x)) if math.isfinite(x) else x, x)


def where(condition, x, y):
    """z = x where the condition holds, else y."""
    return each(lambda condition, x, y: x if condition else y, condition, x, y)


def maximum(x, y):
    """z = the larger of x and y; NaN if one is NaN."""
    return each(lambda x, y: x + y if x != x or y != y else (x if x > y else y), x, y)


def minimum(x, y):
    """z = the smaller of x and y; NaN if one is NaN."""
    return each(lambda x, y: x + y if x != x or y != y else (x if x < y else y), x, y)


def clip(x, low=None, high=None):
    """y = x, but at least low, and then at most high; NaN if one of them is NaN."""

    def limited(x, low, high):
        if x != x or low != low or high != high:
            return math.nan
        if x < low:
            x = low
        if x > high:
            x = high
        return x

    return each(limited, x, -math.inf if low is None else low, math.inf if high is None else high)
