"""The dense layer, and small functions around images and labels: pad, one_hot, normalize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.core import creation
from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, LabelError, OptionError, ShapeError
from minicnn.ops import functions, shape
from minicnn.ops.linear import linear as dense
from minicnn.ops.rearrange import integers
from minicnn.ops.rules import whole

__all__ = ["linear", "normalize", "one_hot", "pad"]

# PyTorch's names of borders made from the image itself, and NumPy's.
_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Dense layer:  y = x · Wᵀ + b   (F3).

    Parameters
    ----------
    input : (..., J)
    weight : (I, J)
    bias : (I,) or None

    Returns
    -------
    (..., I)

    Raises
    ------
    ShapeError, DTypeError
        If they do not fit together.

    Examples
    --------
    >>> from minicnn import tensor
    >>> linear(tensor([1.0, 2.0]), tensor([[1.0, 1.0], [0.0, 3.0]])).tolist()
    [3.0, 6.0]
    """
    return dense(input, weight, bias)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Add a border.

    Parameters
    ----------
    input : Tensor
    pad : (before, after) of the last dimension, then of the one before it, and so on
        In elements. With ``"constant"``, negative numbers cut off.
    mode : str
        ``"constant"``; ``"reflect"`` mirrors at the outermost element, ``"replicate"`` repeats it,
        ``"circular"`` goes on at the other side.
    value : float, optional
        What a constant border holds; 0 if left out.

    Raises
    ------
    OptionError
        If the mode is unknown.
    ShapeError
        If there are more pairs than dimensions, or a border is too wide for the mode.

    Examples
    --------
    >>> from minicnn import tensor
    >>> pad(tensor([[1.0, 2.0]]), (1, 2)).tolist()
    [[0.0, 1.0, 2.0, 0.0, 0.0]]
    """
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ShapeError(
            expected=f"pairs for at most {input.ndim} dimensions", got=f"pad={tuple(pad)}", op="pad"
        )
    pad = integers(pad, "paddings", "pad")
    pairs = list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    pairs = [(0, 0)] * (input.ndim - len(pairs)) + pairs
    if mode == "constant":
        return shape.pad(input, padding=tuple(pairs), value=0.0 if value is None else float(value))
    if mode not in _MODES:
        raise OptionError(expected=f"mode out of constant, {', '.join(_MODES)}", got=repr(mode), op="pad")
    for dim, (before, after) in enumerate(pairs):
        if before or after:
            input = functions.index_select(input, dim, _border(input.shape[dim], before, after, mode))
    return input


def _border(n: int, before: int, after: int, mode: str) -> Tensor:
    """Which of n elements each element of the padded dimension is a copy of."""
    limit = {"reflect": n - 1, "circular": n}.get(mode, max(before, after))
    if not n or min(before, after) < 0 or max(before, after) > limit:
        raise ShapeError(
            expected=f"a {mode} border from 0 to {limit} of {n}", got=f"{(before, after)}", op="pad"
        )
    return Tensor(np.pad(np.arange(n), (before, after), mode=_MODES[mode]))  # type: ignore[call-overload]


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Labels as rows of 0 and a single 1.

    Parameters
    ----------
    tensor : (...) integers
        Labels from 0.
    num_classes : int
        K; -1 for one more than the largest label.

    Returns
    -------
    (..., K) int64

    Raises
    ------
    DTypeError
        If the labels are not integers.
    LabelError
        If a label lies outside 0 to K - 1.

    Examples
    --------
    >>> from minicnn import tensor
    >>> one_hot(tensor([0, 2])).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    if tensor.dtype.kind not in "iu":
        raise DTypeError(expected="integer labels", got=str(tensor.dtype), op="one_hot")
    largest = int(tensor.max()) if tensor.array.size else -1
    smallest = int(tensor.min()) if tensor.array.size else 0
    count = whole(num_classes)
    if count is None:
        raise OptionError(expected="num_classes = an integer", got=repr(num_classes), op="one_hot")
    count = largest + 1 if count == -1 else count
    if smallest < 0 or largest >= count:
        wrong = smallest if smallest < 0 else largest
        raise LabelError(expected=f"labels from 0 to {count - 1}", got=str(wrong), op="one_hot")
    classes = creation.arange(count, device=tensor.device)
    return functions.to(functions.eq(functions.unsqueeze(tensor, -1), classes), np.int64)


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """Vectors along ``dim`` divided by their norm:  x / max(‖x‖_p, eps).

    Examples
    --------
    >>> from minicnn import tensor
    >>> normalize(tensor([[3.0, 4.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    return input / functions.clamp(functions.norm(input, p, dim, keepdim=True), min=eps)
