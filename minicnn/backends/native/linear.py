"""Matrix products; kernels/gemm.cpp."""

from __future__ import annotations

import math

import numpy as np

from minicnn import _native
from minicnn.backends.native.arrays import aligned, not_float32, one_run
from minicnn.ops.fused import linear_relu
from minicnn.ops.linear import linear, matmul
from minicnn.ops.rules import unbroadcast
from minicnn.typing import Array


def product(a: Array, b: Array) -> Array:
    """a @ b of matrices, or of batches of them that broadcast; transposed ones are not copied."""
    rows, columns = a.shape[-2], b.shape[-1]
    if b.ndim == 2:  # all rows of a in one product
        flat = (math.prod(a.shape[:-1]), b.shape[0])
        c = _native.empty((flat[0], columns))
        _native.gemm(c, aligned(a.reshape(flat)), aligned(b))
        return c.reshape(*a.shape[:-1], columns)
    leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    c = _native.empty((math.prod(leading), rows, columns))
    _native.gemm(c, _batch(a, leading), _batch(b, leading))
    return c.reshape(*leading, rows, columns)


def _batch(x: Array, leading: tuple[int, ...]) -> Array:
    """Matrices, one for each place of the leading dimensions in turn, or one for all."""
    if x.ndim > 2:
        x = np.broadcast_to(x, (*leading, *x.shape[-2:])).reshape(math.prod(leading), *x.shape[-2:])
    return aligned(x)


@matmul.forward_kernel.overlay("native")
def matmul_native(xp, x, y):
    declined = not_float32(x, y)
    if declined:
        return declined
    z = product(x[None] if x.ndim == 1 else x, y[:, None] if y.ndim == 1 else y)
    if y.ndim == 1:
        z = z[..., 0]
    if x.ndim == 1:
        z = z[..., 0, :] if y.ndim > 1 else z[0]
    return z, (x, y)


@matmul.backward_kernel.overlay("native")
def matmul_backward_native(xp, gy, saved, needs):
    x, y = saved
    declined = not_float32(gy, x, y)
    if declined:
        return declined
    rows = x[None] if x.ndim == 1 else x
    columns = y[:, None] if y.ndim == 1 else y
    gy = gy.reshape(*gy.shape[: gy.ndim - (x.ndim > 1) - (y.ndim > 1)], rows.shape[-2], columns.shape[-1])
    gx = g_y = None
    if needs[0]:
        gx = unbroadcast(xp, product(gy, columns.swapaxes(-1, -2)), rows.shape).reshape(x.shape)
    if needs[1]:
        if columns.ndim == 2:  # summed over all rows at once
            rows, gy = (a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) for a in (rows, gy))
        g_y = unbroadcast(xp, product(rows.swapaxes(-1, -2), gy), columns.shape).reshape(y.shape)
    return gx, g_y


@linear.forward_kernel.overlay("native")
def linear_native(xp, x, w, b=None):
    declined = not_float32(x, w, b)
    if declined:
        return declined
    return _layer(x, w, b), (x, w)


@linear.backward_kernel.overlay("native")
def linear_backward_native(xp, gy, saved, needs):
    x, w = saved
    declined = not_float32(gy, x, w)
    if declined:
        return declined
    rows = math.prod(x.shape[:-1])
    gy = one_run(gy).reshape(rows, w.shape[0])
    gx = gw = gb = None
    if needs[0]:
        gx = _native.empty(x.shape)
        _native.gemm(gx.reshape(rows, w.shape[1]), gy, aligned(w))
    if needs[1]:
        gw = _native.empty(w.shape)
        _native.gemm(gw, gy.T, aligned(x.reshape(rows, w.shape[1])))
    if len(needs) > 2 and needs[2]:
        gb = _native.empty(w.shape[:1])
        _native.column_sums(gb, gy)
    return (gx, gw, gb)[: len(needs)]


@linear_relu.forward_kernel.overlay("native")
def linear_relu_native(xp, x, w, b=None):
    declined = not_float32(x, w, b)
    if declined:
        return declined
    y = _layer(x, w, b, with_relu=True)
    return y, (x, w, y)


@linear_relu.backward_kernel.overlay("native")
def linear_relu_backward_native(xp, gy, saved, needs):
    x, w, y = saved
    declined = not_float32(gy, x, w, y)
    if declined:
        return declined
    masked = _native.empty(gy.shape)
    _native.relu_backward(masked, one_run(gy), one_run(y))
    return linear_backward_native(xp, masked, (x, w), needs)


def _layer(x, w, b, *, with_relu=False):
    y = _native.empty((*x.shape[:-1], w.shape[0]))
    rows = math.prod(x.shape[:-1])
    _native.gemm(
        y.reshape(rows, w.shape[0]),
        aligned(x.reshape(rows, w.shape[1])),
        aligned(w).T,
        None if b is None else one_run(b),
        with_relu=with_relu,
    )
    return y
