"""Gradients without ``.grad``: PyTorch's ``torch.autograd.grad``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.core import tape
from minicnn.core.gradcheck import gradcheck
from minicnn.core.tensor import Tensor
from minicnn.errors import GradError

__all__ = ["grad", "gradcheck"]


def grad(
    outputs: Tensor,
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The derivative of ``outputs`` with respect to each of ``inputs``; no ``.grad`` changes.

    Parameters
    ----------
    outputs : Tensor
        What to differentiate.
    inputs : Tensor or sequence of Tensor
        Leaves, or tensors on the way from a leaf to ``outputs``.
    grad_outputs : array_like, optional
        dL/d(outputs), in its shape; 1 for a tensor with one element.
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
    found: dict[int, Tensor] = {}
    removers = [
        tensor.register_hook(lambda g, i=i: found.__setitem__(i, g))  # type: ignore[misc]
        for i, tensor in enumerate(wanted)
        if tensor.node is not None
    ]
    try:
        leaves = outputs._gradients(grad_outputs, retain_graph, create_graph)
    finally:
        for remove in removers:
            remove()
    for i, tensor in enumerate(wanted):
        if tensor in leaves:
            found[i] = Tensor.wrap(tape.as_array_like(leaves[tensor], tensor))
    missing = [i for i in range(len(wanted)) if i not in found]
    if missing and not allow_unused:
        raise GradError(
            f"outputs do not depend on input {missing[0]}",
            hint="set requires_grad on it before the forward pass, or pass allow_unused=True",
        )
    return tuple(found.get(i) for i in range(len(wanted)))
