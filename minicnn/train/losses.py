"""The losses that ``--loss`` chooses between: from logits and class labels to one number."""

from __future__ import annotations

from collections.abc import Callable

from minicnn.core.tensor import Tensor
from minicnn.nn import functional as F

__all__ = ["LOSSES", "mae", "mse"]


def mae(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error of the class probabilities (F4).

        L = 1/(N K) Σ_n Σ_k |softmax(z_n)_k - [k = t_n]|

    Parameters
    ----------
    logits : (N, K) Tensor
        z, one row an image.
    targets : (N,) Tensor of int
        t, the true classes, 0 to K - 1.

    Returns
    -------
    Tensor
        A scalar in [0, 2/K].

    Notes
    -----
    Its gradient vanishes where the model is surely wrong, unlike that of cross-entropy, so training
    starts slowly; in return it is little moved by wrong labels.

    Examples
    --------
    >>> import minicnn
    >>> round(mae(minicnn.zeros(1, 2), minicnn.tensor([0])).item(), 6)
    0.5
    """
    return F.l1_loss(F.softmax(logits, dim=1), _one_hot(targets, logits))


def mse(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of the class probabilities.

        L = 1/(N K) Σ_n Σ_k (softmax(z_n)_k - [k = t_n])²

    Parameters and shapes as in :func:`mae`.

    Examples
    --------
    >>> import minicnn
    >>> round(mse(minicnn.zeros(1, 2), minicnn.tensor([0])).item(), 6)
    0.25
    """
    return F.mse_loss(F.softmax(logits, dim=1), _one_hot(targets, logits))


def _one_hot(targets: Tensor, logits: Tensor) -> Tensor:
    return F.one_hot(targets, logits.shape[1]).to(logits.dtype)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "mae": mae,
    "mse": mse,
}
