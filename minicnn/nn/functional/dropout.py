"""Dropout under PyTorch's names, signatures and defaults."""

from __future__ import annotations

from minicnn.core.random import next_seed
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.ops import regularization as ops

__all__ = ["dropout", "dropout2d"]


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Put elements to 0 with probability p and divide the others by 1 - p, while training.

    Parameters
    ----------
    input : any shape, floating point
    p : float
        In [0, 1].
    training : bool
        If False, ``input`` itself is returned.
    inplace : bool
        Accepted for PyTorch's sake and without effect: ``input`` keeps its numbers.

    Returns
    -------
    Tensor
        As input.

    Raises
    ------
    OptionError
        If p lies outside [0, 1].

    Notes
    -----
    The seed of each call comes from the generator in force, see :mod:`minicnn.core.random`;
    the operation is :func:`minicnn.ops.regularization.dropout`.

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.ones(4)
    >>> dropout(x, training=False).tolist(), dropout(x, p=1.0).tolist()
    ([1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0])
    """
    return _dropout(input, p, training, channelwise=False)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Like :func:`dropout` for whole channels: input[n, c] is kept or becomes 0 as one.

    Parameters
    ----------
    input : (N, C, H, W), or any shape (N, C, ...)
    p, training, inplace
        As for :func:`dropout`.

    Raises
    ------
    OptionError
        If p lies outside [0, 1].
    ShapeError
        If there are fewer than 2 dimensions.

    Examples
    --------
    >>> import minicnn
    >>> y = dropout2d(minicnn.ones(1, 8, 2, 2))
    >>> {tuple(channel.reshape(4).tolist()) for channel in y[0]} <= {(0.0,) * 4, (2.0,) * 4}
    True
    """
    return _dropout(input, p, training, channelwise=True)


def _dropout(input: Tensor, p: float, training: bool, channelwise: bool) -> Tensor:
    if not 0 <= p <= 1:
        raise OptionError(expected="p from 0 to 1", got=str(p), op="dropout")
    if not training or p == 0:
        return input
    return ops.dropout(input, p=float(p), seed=next_seed(), channelwise=channelwise)
