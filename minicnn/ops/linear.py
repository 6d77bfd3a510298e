"""Matrix products: matmul, and the dense layer's linear map."""

from __future__ import annotations

import math
from typing import Any

from minicnn.core.op import op
from minicnn.errors import DTypeError, ShapeError
from minicnn.ops.rules import broadcast_shape, require_float, total, unbroadcast
from minicnn.typing import Shape

__all__ = ["linear", "matmul"]


@op
def matmul(xp, x, y):
    """Matrix product:  z[..., i, j] = Σ_k x[..., i, k] · y[..., k, j].

    Parameters
    ----------
    x : (..., I, K) or (K,)
    y : (..., K, J) or (K,)
        Leading dimensions broadcast. A vector counts as one row on the left and as one column on the
        right; that dimension is then left out of the result.

    Returns
    -------
    z : (..., I, J)

    Raises
    ------
    ShapeError
        If the sizes K differ, the leading dimensions do not broadcast, or an operand has none.
    DTypeError
        If the dtypes differ.

    Notes
    -----
    Saved: x, y. Cost: 2·I·K·J flop for each matrix.
    Oracle: minicnn.oracles.linear.matmul

    Examples
    --------
    >>> from minicnn import tensor
    >>> matmul(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([1.0, 1.0])).tolist()
    [3.0, 7.0]
    """
    return x @ y, (x, y)


@matmul.shape
def matmul_shape(x: Any, y: Any) -> Shape:
    if not x.ndim or not y.ndim or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ShapeError(
            expected="x of shape (..., I, K) and y of (..., K, J)", got=f"{x.shape} and {y.shape}"
        )
    if x.dtype != y.dtype:
        raise DTypeError(
            expected="x and y of one dtype", got=f"{x.dtype} and {y.dtype}", hint="use .to(dtype)"
        )
    if x.ndim <= 2 and y.ndim <= 2:
        return (*x.shape[:-1], *y.shape[1:])
    leading = broadcast_shape(_Leading(x), _Leading(y))
    return (*leading, *(x.shape[-2:-1] if x.ndim > 1 else ()), *(y.shape[-1:] if y.ndim > 1 else ()))


class _Leading:
    """The dimensions before a matrix."""

    def __init__(self, x: Any) -> None:
        self.shape = x.shape[:-2]


@matmul.backward
def matmul_backward(xp, gy, saved, needs):
    """dL/dx = dL/dz · yᵀ, dL/dy = xᵀ · dL/dz, each summed over broadcast copies."""
    x, y = saved
    if x.ndim == 1:
        gy = gy[..., None, :] if y.ndim > 1 else gy[None]
    if y.ndim == 1:
        gy = gy[..., None]
    rows = x[None] if x.ndim == 1 else x  # (..., I, K)
    columns = y[:, None] if y.ndim == 1 else y  # (..., K, J)
    gx = g_y = None
    if needs[0]:
        gx = unbroadcast(xp, gy @ xp.swapaxes(columns, -1, -2), rows.shape).reshape(x.shape)
    if needs[1]:
        g_y = unbroadcast(xp, xp.swapaxes(rows, -1, -2) @ gy, columns.shape).reshape(y.shape)
    return gx, g_y


@op
def linear(xp, x, w, b=None):
    """Dense layer:  y[..., i] = Σ_j w[i, j] · x[..., j] + b[i]   (F3).

    Parameters
    ----------
    x : (..., J)
        J input features, after any leading dimensions.
    w : (I, J)
        Weights, one row for each output feature.
    b : (I,) or None

    Returns
    -------
    y : (..., I)
        Logits: the article calls them class probabilities, but they do not sum to 1; softmax makes
        probabilities of them.

    Raises
    ------
    ShapeError
        If x's last size is not J, or b does not have I elements.
    DTypeError
        If the operands are not of one floating point type.

    Notes
    -----
    Saved: x, w. Cost: 2·N·I·J flop for N input vectors.
    Oracle: minicnn.oracles.linear.linear

    References
    ----------
    Article §3.3, where x is a and y is z.

    Examples
    --------
    >>> from minicnn import tensor
    >>> linear(tensor([1.0, 2.0]), tensor([[1.0, 1.0], [0.0, 3.0]]), tensor([0.5, 0.0])).tolist()
    [3.5, 6.0]
    """
    y = x @ w.T
    return (y if b is None else y + b), (x, w)


@linear.shape
def linear_shape(x: Any, w: Any, b: Any = None) -> Shape:
    require_float(x, "x")
    if w.ndim != 2 or not x.ndim or x.shape[-1] != w.shape[1]:
        raise ShapeError(
            expected=f"x of shape (..., {w.shape[-1] if w.ndim else 'J'}) for w of shape {w.shape}",
            got=str(x.shape),
            hint="flatten images with nn.Flatten()" if x.ndim > 2 else None,
        )
    if b is not None and b.shape != w.shape[:1]:
        raise ShapeError(expected=f"b of shape {w.shape[:1]}", got=str(b.shape))
    for operand, name in ((w, "w"), (b, "b")):
        if operand is not None and operand.dtype != x.dtype:
            raise DTypeError(
                expected=f"x in the dtype of {name}, {operand.dtype}", got=str(x.dtype), hint="use .to()"
            )
    return (*x.shape[:-1], w.shape[0])


@linear.backward
def linear_backward(xp, gy, saved, needs):
    """dL/dx = dL/dy · w, dL/dw = (dL/dy)ᵀ · x, dL/db = Σ dL/dy, both summed over leading dimensions."""
    x, w = saved
    rows = math.prod(x.shape[:-1])
    gy_rows, x_rows = gy.reshape(rows, w.shape[0]), x.reshape(rows, w.shape[1])
    return (
        gy @ w if needs[0] else None,
        gy_rows.T @ x_rows if needs[1] else None,
        total(xp, gy_rows, 0) if len(needs) > 2 and needs[2] else None,
    )[: len(needs)]
