"""Converting: another element type, another device, another piece of memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.core.device import MetaArray, device_of, move
from minicnn.core.op import op
from minicnn.errors import BackendError
from minicnn.ops.rules import same_shape
from minicnn.typing import Shape

__all__ = ["cast", "clone", "to_device"]


def _cast_dtype(x: Any, *, dtype: np.dtype) -> np.dtype:
    return dtype


@op(shape=same_shape, dtype=_cast_dtype)
def cast(xp, x, *, dtype):
    """Convert to another element type:  y = dtype(x), a copy. Towards integers, fractions are cut off.

    Parameters
    ----------
    x : (...)
    dtype : numpy.dtype

    Returns
    -------
    y : (...)

    Notes
    -----
    Differentiable between floating point types. Saved: x's dtype.
    Oracle: minicnn.oracles.shape.cast

    Examples
    --------
    >>> from minicnn import tensor
    >>> cast(tensor([1.5]), dtype=np.dtype("int64")).tolist()
    [1]
    """
    return x.astype(dtype), (x.dtype,)


@cast.backward
def cast_backward(xp, gy, saved, needs, *, dtype):
    """dL/dx = dL/dy in x's dtype."""
    (x_dtype,) = saved
    return (gy.astype(x_dtype, copy=False),)


@op(view=True)
def to_device(xp, x, *, device):
    """The same numbers on another device:  y = x.

    Parameters
    ----------
    x : (...)
    device : str or device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``; or ``"meta"``, which keeps shape and dtype only.

    Returns
    -------
    y : (...)

    Raises
    ------
    BackendError
        If the device is not available, or the numbers of a meta tensor are asked for.

    Notes
    -----
    Saved: where x lives.
    Oracle: minicnn.oracles.shape.to_device

    Examples
    --------
    >>> from minicnn import zeros
    >>> to_device(zeros(2, 3), device="meta")
    tensor(meta, shape=(2, 3), dtype=float32)
    """
    return move(x, device), (device_of(x),)


@to_device.shape
def to_device_shape(x: Any, *, device: Any) -> Shape:
    if isinstance(x, MetaArray) and str(device) != "meta":
        raise BackendError("a meta tensor has a shape and a dtype but no numbers")
    return x.shape


@to_device.backward(view=True)
def to_device_backward(xp, gy, saved, needs, *, device):
    """dL/dx = dL/dy on x's device."""
    (source,) = saved
    return (move(gy, source),)


@op(shape=same_shape)
def clone(xp, x):
    """A copy in memory of its own, its elements in row-major order:  y = x.

    Parameters
    ----------
    x : (...)

    Returns
    -------
    y : (...)

    Notes
    -----
    Saved: nothing.
    Oracle: minicnn.oracles.shape.clone

    Examples
    --------
    >>> from minicnn import tensor
    >>> clone(tensor([1, 2])).tolist()
    [1, 2]
    """
    return xp.array(x, order="C"), None


@clone.backward
def clone_backward(xp, gy, saved, needs):
    """dL/dx = dL/dy."""
    return (gy,)
