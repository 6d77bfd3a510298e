"""Regularization by noise: dropout."""

from __future__ import annotations

from minicnn.core.op import op
from minicnn.errors import OptionError, ShapeError
from minicnn.ops.rules import require_float

__all__ = ["dropout"]


@op
def dropout(xp, x, *, p, seed, channelwise=False):
    """Put elements to 0 at random and scale up the others, so that the expectation stays.

        y = x / (1 - p) where kept, else 0;   P(kept) = 1 - p, independently

    Parameters
    ----------
    x : any shape, floating point
    p : float
        Probability of 0, in [0, 1]. With 1 everything is 0.
    seed : int
        At least 0. What is kept depends on the seed and the shape alone.
    channelwise : bool
        Decide once for each channel x[n, c] instead of for each element.

    Returns
    -------
    y : as x

    Raises
    ------
    OptionError : if p lies outside [0, 1]
    ShapeError : if channelwise and x has fewer than 2 dimensions
    DTypeError : if x is not floating point

    Notes
    -----
    What is dropped is multiplied by 0, so NaN and infinities become NaN, as in PyTorch.
    Saved: kept (bool, the shape of x, or (N, C, 1, ...) if channelwise).
    Oracle: minicnn.oracles.regularization.dropout

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014;
    channelwise: Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> sorted(set(dropout(Tensor([1.0] * 20), p=0.5, seed=0).tolist()))
    [0.0, 2.0]
    """
    shape = x.shape[:2] + (1,) * (x.ndim - 2) if channelwise else x.shape
    kept = xp.random.default_rng(seed).random(shape, dtype=xp.float32) >= p
    return x * kept * _scale(p), (kept,)


@dropout.shape
def dropout_shape(x, *, p, seed, channelwise):
    """The shape of x; refuses p outside [0, 1]."""
    require_float(x)
    if not 0 <= p <= 1:
        raise OptionError(expected="p from 0 to 1", got=str(p))
    if channelwise and x.ndim < 2:
        raise ShapeError(expected="input of shape (N, C, ...)", got=str(tuple(x.shape)))
    return x.shape


@dropout.backward
def dropout_backward(xp, gy, saved, needs, *, p, seed, channelwise):
    """dL/dx = dL/dy / (1 - p) where kept, else 0."""
    (kept,) = saved
    return (gy * kept * _scale(p),)


def _scale(p: float) -> float:
    return 1 / (1 - p) if p < 1 else 0.0
