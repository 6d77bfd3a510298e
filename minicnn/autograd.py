"""Gradients without ``.grad``: PyTorch's ``torch.autograd.grad``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.core import gradients, tape
from minicnn.core.gradcheck import gradcheck
from minicnn.core.tensor import Tensor
from minicnn.errors import GradError
from minicnn.typing import Array

__all__ = ["grad", "gradcheck"]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The derivative of ``outputs`` with respect to each of ``inputs``; no ``.grad`` changes.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What to differentiate; of several, their sum.
    inputs : Tensor or sequence of Tensor
        Leaves, or tensors on the way from a leaf to ``outputs``. Their hooks run, those of other leaves
        do not.
    grad_outputs : array_like or sequence of array_like, optional
        dL/d(outputs), in its shape; 1 for a tensor with one element. For a sequence of outputs, one for
        each, or None.
    retain_graph, create_graph : bool
        As in :meth:`Tensor.backward`.
    allow_unused : bool
        Give None for an input that ``outputs`` does not depend on, instead of raising.

    Raises
    ------
    GradError
        If an input is not part of the graph, or as in :meth:`Tensor.backward`.

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.tensor([1.0, 2.0], requires_grad=True)
    >>> (g,) = grad((x * x).sum(), x)
    >>> g.tolist(), x.grad
    ([2.0, 4.0], None)
    """
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    ends = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    leaves, kept = gradients.find(
        ends,
        _listed(grad_outputs, outputs, len(ends)),
        retain_graph=retain_graph,
        create_graph=create_graph,
        keep={tensor.node for tensor in wanted if tensor.node is not None},
    )
    found = [_one_of(tensor, leaves, kept) for tensor in wanted]
    missing = [i for i, gradient in enumerate(found) if gradient is None]
    if missing and not allow_unused:
        raise GradError(
            f"outputs do not depend on input {missing[0]}",
            hint="set requires_grad on it before the forward pass, or pass allow_unused=True",
        )
    return tuple(found)


def _listed(grad_outputs: Any, outputs: Any, count: int) -> list[Any]:
    """One gradient, or None, for each output."""
    if grad_outputs is None:
        return [None] * count
    several = isinstance(grad_outputs, (tuple, list)) and all(
        g is None or isinstance(g, Tensor) for g in grad_outputs
    )
    given = list(grad_outputs) if several or not isinstance(outputs, Tensor) else [grad_outputs]
    if len(given) != count:
        raise GradError(expected=f"one of grad_outputs for each of {count} outputs", got=str(len(given)))
    return given


def _one_of(tensor: Tensor, leaves: dict[Tensor, Array], kept: dict[tape.Node, Array]) -> Tensor | None:
    """The gradient of a leaf, after its hooks, or of a result; None if none came."""
    if tensor.node is not None:
        gradient = kept.get(tensor.node)
    else:
        gradient = leaves.get(tensor)
        gradient = None if gradient is None else tape.run_hooks(tensor._hooks, gradient)
    return None if gradient is None else Tensor.wrap(gradients.own_array(gradient, tensor))
