"""Fusing the layers of a model."""

from __future__ import annotations

from typing import TypeVar

from minicnn.errors import OptionError
from minicnn.nn.module import Module

__all__ = ["compile"]

M = TypeVar("M", bound=Module)


def compile(model: M) -> M:
    """Let a model compute neighbouring layers at once, where compiled kernels can: the same results, faster.

    A convolution or a batch normalization in training mode is computed together with the addition and the
    ReLU behind it, a dense layer with the ReLU behind it, a ReLU behind a convolution with the max pooling
    behind it. In evaluation mode, where no gradients are recorded, a batch normalization becomes part of the
    weights of the convolution before it. Nothing is traced: any Python code in ``forward`` keeps its meaning,
    and hooks see what they always see.

    Parameters
    ----------
    model : Module
        Its parameters, state and classes stay as they are.

    Returns
    -------
    Module
        The model itself.

    Raises
    ------
    OptionError
        If it is no module.

    Notes
    -----
    Running statistics are brought up to date when a layer is computed: at the latest when the model
    returns, perhaps not yet while its ``forward`` is running.

    A change in place is seen in time where it is made through tensors (``mul_``, ``x[0] = 1``, an
    optimizer), but not through arrays: what is written into ``x.numpy()`` or ``x.array`` between a layer
    that reads ``x`` and the first use of its result changes that result.

    Errors in operands are raised where the layer is called; the numbers of a layer are computed when
    something looks at them (:mod:`minicnn.core.fusion`).

    The numbers are the same bit for bit, but where a normalization is folded into a convolution: there they
    are rounded elsewhere, and where means are far larger than deviations, to fewer digits. A result that is
    used twice, once by a partner, is computed once more for the other use.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn import nn
    >>> model = minicnn.compile(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    >>> model(minicnn.ones(1, 2)).shape
    (1, 2)
    """
    if not isinstance(model, Module):
        raise OptionError(expected="a module", got=type(model).__name__, op="compile")
    model.__dict__["_fuses"] = True
    return model
