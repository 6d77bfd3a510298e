"""Arithmetic of two float32 arrays of one shape, or of one and a number; kernels/elementwise.cpp."""

from __future__ import annotations

from minicnn import _native
from minicnn.backends.native.arrays import not_float32, one_run
from minicnn.core.dispatch import Declined
from minicnn.core.tape import add_gradients
from minicnn.ops.elementwise import add, mul, sub
from minicnn.ops.rules import NUMBERS

_DECLINED = Declined(
    "operands that are not float32 arrays of one shape in runs of memory, or one of them and a number"
)


@add.forward_kernel.overlay("native")
def add_native(xp, x, y):
    z = _native.add(x, y)
    return _DECLINED if z is None else (z, None)


@sub.forward_kernel.overlay("native")
def sub_native(xp, x, y):
    z = _native.sub(x, y)
    return _DECLINED if z is None else (z, None)


@mul.forward_kernel.overlay("native")
def mul_native(xp, x, y):
    z = _native.mul(x, y)
    if z is None:
        return _DECLINED
    return z, (None if type(y) in NUMBERS else x, None if type(x) in NUMBERS else y, None)


@mul.backward_kernel.overlay("native")
def mul_backward_native(xp, gy, saved, needs):
    x, y, forms = saved
    if forms is not None:
        return _DECLINED
    gx = _native.mul(gy, y) if needs[0] else None
    g_y = _native.mul(gy, x) if needs[1] else None
    is_missing = (needs[0] and gx is None) or (needs[1] and g_y is None)
    return _DECLINED if is_missing else (gx, g_y)


@add_gradients.overlay("native")
def add_gradients_native(xp, one, other, out=None):
    declined = not_float32(one, other)
    if declined:
        return declined
    total = _native.add(one_run(one), one_run(other), out)  # one may be a number, spread over a shape
    return _DECLINED if total is None else total
