"""Batch normalization with the addition and the ReLU behind it."""

from __future__ import annotations

from typing import Any

from minicnn.core.op import op
from minicnn.errors import ShapeError
from minicnn.ops.activation import relu, relu_backward
from minicnn.ops.normalization import batch_norm, batch_norm_backward
from minicnn.ops.rules import require_dtype_of
from minicnn.typing import Shape

__all__ = ["batch_norm_add", "batch_norm_add_relu", "batch_norm_relu"]


@op
def batch_norm_relu(xp, x, w=None, b=None, *, eps=1e-5):
    """A batch normalization and the ReLU behind it:  y = relu(batch_norm(x, w, b)).

    Parameters
    ----------
    x, w, b, eps
        As for :func:`~minicnn.ops.normalization.batch_norm`.

    Returns
    -------
    y : as x

    Notes
    -----
    Saved: x, mean, var, w, b, y. The result is the mask of the ReLU; what went into it is not kept.
    Oracle: minicnn.oracles.normalization.batch_norm

    Examples
    --------
    >>> from minicnn import tensor
    >>> [round(v, 3) for (v,) in batch_norm_relu(tensor([[1.0], [2.0], [3.0]])).tolist()]
    [0.0, 0.0, 1.225]
    """
    y, saved = batch_norm.forward_kernel.reference(xp, x, w, b, eps=eps)
    y, _ = relu.forward_kernel.reference(xp, y)
    return y, (*saved, b, y)


batch_norm_relu.shape(batch_norm.output_shape)


@batch_norm_relu.backward
def batch_norm_relu_backward(xp, gy, saved, needs, *, eps):
    """dL/dx, dL/dw and dL/db by the chain rule: through the ReLU, then through the normalization."""
    *before, _, y = saved
    (gy,) = relu_backward(xp, gy, (y,), (True,))
    return batch_norm_backward(xp, gy, before, needs, eps=eps)


@op
def batch_norm_add(xp, x, z, w=None, b=None, *, eps=1e-5):
    """A batch normalization and the addition behind it:  y = batch_norm(x, w, b) + z.

    Parameters
    ----------
    x, w, b, eps
        As for :func:`~minicnn.ops.normalization.batch_norm`.
    z : as x
        What is added, such as the shortcut of a residual block.

    Returns
    -------
    y : as x

    Raises
    ------
    ShapeError : if z has not the shape of x; also as for ``batch_norm``
    DTypeError : if z is not of the type of x

    Notes
    -----
    Saved: x, mean, var, w.  Oracle: minicnn.oracles.normalization.batch_norm

    Examples
    --------
    >>> from minicnn import tensor
    >>> y = batch_norm_add(tensor([[1.0], [2.0], [3.0]]), tensor([[1.0], [1.0], [1.0]]))
    >>> [round(v, 3) for (v,) in y.tolist()]
    [-0.225, 1.0, 2.225]
    """
    y, saved = batch_norm.forward_kernel.reference(xp, x, w, b, eps=eps)
    return y + z, saved


@batch_norm_add.shape
def batch_norm_add_shape(x: Any, z: Any, w: Any = None, b: Any = None, *, eps: float) -> Shape:
    """The shape of x, which is that of z."""
    if tuple(z.shape) != tuple(x.shape):
        raise ShapeError(expected=f"z of the shape of x, {tuple(x.shape)}", got=str(tuple(z.shape)))
    require_dtype_of(x, z=z)
    return batch_norm.output_shape(x, w, b, eps=eps)


@batch_norm_add.backward
def batch_norm_add_backward(xp, gy, saved, needs, *, eps):
    """As for the normalization, and dL/dz = dL/dy."""
    gx, *others = batch_norm_backward(xp, gy, saved, (needs[0], *needs[2:]), eps=eps)
    return (gx, gy if needs[1] else None, *others)


@op
def batch_norm_add_relu(xp, x, z, w=None, b=None, *, eps=1e-5):
    """A batch normalization, an addition, and the ReLU behind it:  y = relu(batch_norm(x, w, b) + z).

    Parameters
    ----------
    x, z, w, b, eps
        As for :func:`batch_norm_add`.

    Returns
    -------
    y : as x

    Notes
    -----
    Saved: x, mean, var, w, y. The result is the mask of the ReLU; what went into it is not kept.
    Oracle: minicnn.oracles.normalization.batch_norm

    Examples
    --------
    >>> from minicnn import tensor
    >>> y = batch_norm_add_relu(tensor([[1.0], [2.0], [3.0]]), tensor([[1.0], [1.0], [1.0]]))
    >>> [round(v, 3) for (v,) in y.tolist()]
    [0.0, 1.0, 2.225]
    """
    y, saved = batch_norm_add.forward_kernel.reference(xp, x, z, w, b, eps=eps)
    y, _ = relu.forward_kernel.reference(xp, y)
    return y, (*saved, y)


batch_norm_add_relu.shape(batch_norm_add.output_shape)


@batch_norm_add_relu.backward
def batch_norm_add_relu_backward(xp, gy, saved, needs, *, eps):
    """dL/dx, dL/dz, dL/dw and dL/db: through the ReLU, then as for :func:`batch_norm_add`."""
    *before, y = saved
    (gy,) = relu_backward(xp, gy, (y,), (True,))
    return batch_norm_add_backward(xp, gy, before, needs, eps=eps)
