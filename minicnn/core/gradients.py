"""Gradients of tensors: where the walk over the tape starts, and where its result goes."""

from __future__ import annotations

import threading
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

from minicnn.core import dispatch, tape
from minicnn.core.arrays import as_array
from minicnn.core.device import is_writeable, move
from minicnn.errors import GradError
from minicnn.typing import Array

if TYPE_CHECKING:
    from minicnn.core.tensor import Tensor

__all__ = ["check_grad", "checked", "fill", "find", "own_array"]

# `+=` on arrays lets other threads run: two backwards into one leaf would lose one's part.
_filling = threading.Lock()


def find(
    outputs: Sequence[Tensor],
    gradients: Sequence[Any],
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
    keep: Container[tape.Node] = (),
) -> tuple[dict[Tensor, Array], dict[tape.Node, Array]]:
    """What :func:`minicnn.core.tape.walk` finds from ``outputs``, with dL/d(output) or None for each.

    Raises
    ------
    GradError
        If nothing was recorded, the graph was freed, or a second derivative is asked for.
    """
    if create_graph:
        raise GradError("there is no second derivative: minicnn computes first derivatives only")
    roots: dict[Any, Array] = {}
    for output, gradient in zip(outputs, gradients, strict=True):
        gy = _start(output, gradient)
        root = output.node or output
        roots[root] = roots[root] + gy if root in roots else gy
    return tape.walk(roots, retain=retain_graph, keep=keep)


def _start(output: Tensor, gradient: Any) -> Array:
    """dL/d(output): as given, or 1 for a single element."""
    if not output.requires_grad:
        raise GradError(
            "backward on a tensor that does not require grad",
            hint="gradients themselves carry no graph, so there is no second derivative; "
            "otherwise set requires_grad=True on a leaf, outside no_grad",
        )
    if gradient is None:
        if output.array.size != 1:
            raise GradError(
                expected="a tensor with one element, or an explicit gradient",
                got=f"shape {output.shape}",
                hint="reduce the loss with .mean() or .sum()",
            )
        return dispatch.backend_of((output.array,)).xp.ones_like(output.array)
    gy = move(as_array(gradient, output.dtype), output.device)
    if gy.shape != output.shape:
        raise GradError(expected=f"a gradient of shape {output.shape}", got=str(gy.shape))
    return gy


def fill(leaves: dict[Tensor, Array], kept: dict[tape.Node, Array]) -> None:
    """Add what :func:`find` found to ``.grad``, of leaves and of results that retain theirs.

    All hooks run and all is checked before the first ``.grad`` changes.
    """
    found = [(leaf, tape.run_hooks(leaf._hooks, gradient)) for leaf, gradient in leaves.items()]
    for node, gradient in kept.items():
        result = node.keeper() if node.keeper is not None else None
        if result is not None:
            found.append((result, gradient))
    for tensor, gradient in found:
        checked(gradient, tensor)
        if tensor.grad is not None:
            check_grad(tensor, tensor.grad)
    with _filling:
        for tensor, gradient in found:
            tensor._accumulate(gradient)


def checked(gradient: Array, tensor: Tensor) -> Array:
    """The gradient, if it has the tensor's shape."""
    if gradient.shape != tensor.shape:
        raise GradError(expected=f"a gradient of shape {tensor.shape}", got=str(gradient.shape))
    return gradient


def check_grad(tensor: Tensor, grad: Tensor) -> None:
    """Refuse a ``.grad`` that backward could not add to.

    Raises
    ------
    GradError
        If its shape, dtype or device is not the tensor's, or its memory is read-only.
    """
    checked(grad.array, tensor)
    for own, got in ((tensor.dtype, grad.dtype), (tensor.device, grad.device)):
        if own != got:
            raise GradError(expected=f"a gradient in {own}", got=str(got))
    if grad.device.type != "meta" and not is_writeable(grad.array):
        raise GradError("the gradient's memory is read-only", hint="use .clone() first")


def own_array(gradient: Array, tensor: Tensor) -> Array:
    """The gradient as an own, contiguous buffer in the tensor's shape and dtype."""
    xp = dispatch.backend_of((tensor.array,)).xp
    return xp.array(checked(gradient, tensor), dtype=tensor.array.dtype, order="C")
