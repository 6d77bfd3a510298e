"""Matrix products in literal loops: one sum of products per element, float64."""

from __future__ import annotations

from itertools import product

import numpy as np

__all__ = ["linear", "matmul"]


def matmul(x, y):
    """z[..., i, j] = Σ_k x[..., i, k] · y[..., k, j]."""
    rows = x.reshape(1, -1) if x.ndim == 1 else x
    columns = y.reshape(-1, 1) if y.ndim == 1 else y
    leading = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    z = np.zeros((*leading, rows.shape[-2], columns.shape[-1]))
    for *place, i, j in product(*map(range, z.shape)):
        left = rows[own_place(place, rows.shape[:-2])]
        right = columns[own_place(place, columns.shape[:-2])]
        for k in range(rows.shape[-1]):
            z[(*place, i, j)] += left[i, k] * right[k, j]
    if x.ndim == 1:
        z = z[..., 0, :]
    return z[..., 0] if y.ndim == 1 else z


def own_place(place, sizes):
    """Which of an operand's matrices broadcasting puts at this place."""
    own = place[len(place) - len(sizes) :]
    return tuple(0 if n == 1 else i for i, n in zip(own, sizes, strict=True))


def linear(x, w, b=None):
    """The article's dense layer (§3.3):  z_i = Σ_j w_ij · a_j + b_i  (F3); here a is x and z is y.

    Examples
    --------
    >>> linear(np.array([1.0, 2.0]), np.array([[1.0, 1.0], [0.0, 3.0]]), np.array([0.5, 0.0]))
    array([3.5, 6. ])
    """
    y = np.zeros((*x.shape[:-1], w.shape[0]))
    for *place, i in product(*map(range, y.shape)):
        total = 0.0
        for j in range(w.shape[1]):
            total += w[i, j] * x[(*place, j)]
        y[(*place, i)] = total + (0.0 if b is None else b[i])
    return y
