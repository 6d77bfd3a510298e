"""The losses that ``--loss`` chooses between: from logits and class labels to one number."""

from __future__ import annotations

import functools
from collections.abc import Callable

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.nn import functional as F

__all__ = ["LOSSES", "mae", "mse", "training_loss"]


def mae(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error of the class probabilities (F4).

        L = 1/(N K) Σ_n Σ_k |softmax(z_n)_k - [k = t_n]|

    Parameters
    ----------
    logits : (N, K) Tensor
        z, one row an image.
    targets : (N,) Tensor of int, or (N, K) Tensor
        t, the true classes, 0 to K - 1; or the probabilities of all classes in place of [k = t].

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
    """Probabilities of all classes: of labels 0 and 1; targets may be probabilities already."""
    if targets.ndim == 2:
        return targets
    return F.one_hot(targets, logits.shape[1]).to(logits.dtype)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "mae": mae,
    "mse": mse,
}


def training_loss(
    name: str, *, label_smoothing: float = 0.0, weights: Tensor | None = None
) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss by name, with what regularises it.

    Parameters
    ----------
    name : str
        Out of :data:`LOSSES`.
    label_smoothing : float
        The share of each label that all classes get evenly, in [0, 1); of cross-entropy only.
    weights : (K,) Tensor, optional
        How much an image of each class counts; of cross-entropy only.

    Raises
    ------
    OptionError
        If another loss is to be smoothed or weighted.
    """
    if not label_smoothing and weights is None:
        return LOSSES[name]
    if name != "cross_entropy":
        raise OptionError(
            expected="cross_entropy for label smoothing and class weights", got=name, op="option loss"
        )
    return functools.partial(F.cross_entropy, weight=weights, label_smoothing=label_smoothing)
