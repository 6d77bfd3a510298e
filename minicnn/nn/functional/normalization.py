"""Normalization under PyTorch's names, signatures and defaults."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError, ShapeError
from minicnn.ops import normalization as ops
from minicnn.ops.rearrange import sizes

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm"]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel, by the batch's statistics or by the running ones.

    Parameters
    ----------
    input : (N, C, ...)
    running_mean, running_var : (C,) or None
        Used if not ``training``. If ``training``, they are changed in place:
        ``running = (1 - momentum) · running + momentum · batch``, where the batch's variance
        has the divisor n - 1 (it normalizes with n).
    weight, bias : (C,) or None
    training : bool
    momentum : float
        Share of the new value in the running ones.
    eps : float

    Returns
    -------
    Tensor
        As input.

    Raises
    ------
    ShapeError
        If a vector does not have C numbers, or a channel has one value only while training.
    OptionError
        If there are no running statistics and ``training`` is False, or eps is not positive.

    Notes
    -----
    See :func:`minicnn.ops.normalization.batch_norm` and
    :func:`minicnn.ops.normalization.batch_norm_inference`. An empty batch leaves the running
    statistics alone.

    Examples
    --------
    >>> import minicnn
    >>> mean, var = minicnn.zeros(1), minicnn.ones(1)
    >>> y = batch_norm(minicnn.tensor([[1.0], [3.0]]), mean, var, training=True)
    >>> [round(v, 3) for (v,) in y.tolist()], round(mean.item(), 3), round(var.item(), 3)
    ([-1.0, 1.0], 0.2, 1.1)
    """
    if not training:
        return _with_running(input, running_mean, running_var, weight, bias, eps, "batch_norm")
    _check_running(input, running_mean, running_var, "batch_norm")

    def update(saved: Any) -> None:
        if saved is not None:  # None on the meta device
            _, mean, var, *_ = saved
            _update_running(running_mean, running_var, mean, var, _count(input, mean), momentum)

    return ops.batch_norm.call_then(update, input, weight, bias, eps=float(eps))


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of each sample by itself.

        y = weight[c] · (x - mean[n, c]) / √(var[n, c] + eps) + bias[c]

    Parameters
    ----------
    input : (N, C, ...)
    running_mean, running_var : (C,) or None
        As for :func:`batch_norm`, updated by the means over the batch of mean[n, c] and of
        var[n, c] (divisor n - 1).
    weight, bias : (C,) or None
    use_input_stats : bool
        If False, the running statistics are used.
    momentum, eps : float

    Returns
    -------
    Tensor
        As input.

    Raises
    ------
    ShapeError
        If a vector does not have C numbers, or a channel of a sample has one value only.
    OptionError
        If there are no running statistics and ``use_input_stats`` is False.

    Notes
    -----
    It is group normalization with one channel a group: :func:`minicnn.ops.normalization.group_norm`.

    References
    ----------
    Ulyanov, Vedaldi & Lempitsky, "Instance normalization", arXiv:1607.08022, 2016.

    Examples
    --------
    >>> import minicnn
    >>> instance_norm(minicnn.tensor([[[1.0, 3.0], [10.0, 30.0]]]), eps=0.0).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    if not use_input_stats:
        return _with_running(input, running_mean, running_var, weight, bias, eps, "instance_norm")
    _check_running(input, running_mean, running_var, "instance_norm")
    if math.prod(input.shape[2:]) == 1:
        raise ShapeError(
            expected="more than 1 value per channel and sample",
            got=f"input of shape {input.shape}",
            op="instance_norm",
        )
    y, saved = ops.group_norm.call_with_saved(input, weight, bias, num_groups=input.shape[1], eps=float(eps))
    if saved is not None and input.shape[0]:
        _, mean, var, _ = saved
        _update_running(running_mean, running_var, mean.mean(0), var.mean(0), _count(input, mean), momentum)
    return y


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each sample over its last dimensions; see :func:`minicnn.ops.normalization.layer_norm`.

    Parameters
    ----------
    input : (..., *normalized_shape)
    normalized_shape : int or sequence of int
    weight, bias : normalized_shape, or None
    eps : float

    Examples
    --------
    >>> import minicnn
    >>> layer_norm(minicnn.tensor([[1.0, 3.0], [10.0, 30.0]]), 2, eps=0.0).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    shape = sizes((normalized_shape,), "layer_norm")
    return ops.layer_norm(input, weight, bias, normalized_shape=shape, eps=float(eps))


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each group of channels of each sample; see :func:`minicnn.ops.normalization.group_norm`.

    Parameters
    ----------
    input : (N, C, ...)
    num_groups : int
        Divides C.
    weight, bias : (C,) or None
    eps : float

    Examples
    --------
    >>> import minicnn
    >>> group_norm(minicnn.tensor([[1.0, 3.0, 10.0, 30.0]]), 2, eps=0.0).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    return ops.group_norm(input, weight, bias, num_groups=num_groups, eps=float(eps))


# -- running statistics ----------------------------------------------------------------------


def _with_running(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    op: str,
) -> Tensor:
    if running_mean is None or running_var is None:
        raise OptionError("running_mean and running_var must be given in evaluation mode", op=op)
    return ops.batch_norm_inference(input, running_mean, running_var, weight, bias, eps=float(eps))


def _check_running(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, op: str) -> None:
    """Refuse statistics that do not fit the channels, before anything is changed."""
    if input.ndim < 2:
        raise ShapeError(expected="input of shape (N, C, ...)", got=str(input.shape), op=op)
    for name, running in (("running_mean", running_mean), ("running_var", running_var)):
        if running is not None and running.shape != input.shape[1:2]:
            raise ShapeError(expected=f"{name} of shape {input.shape[1:2]}", got=str(running.shape), op=op)


def _count(input: Tensor, mean: Any) -> int:
    """How many values each mean is of."""
    return input.array.size // max(mean.size, 1)


def _update_running(
    running_mean: Tensor | None, running_var: Tensor | None, mean: Any, var: Any, count: int, momentum: float
) -> None:
    """Move the running statistics towards those of the batch, the variance with divisor n - 1."""
    if count < 2:
        return
    for running, new in ((running_mean, mean), (running_var, var * (count / (count - 1)))):
        if running is not None:
            running.write_((1 - momentum) * running.array + momentum * new)
