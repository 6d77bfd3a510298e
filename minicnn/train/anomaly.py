"""Where a NaN or an infinity came from: the first layer and operation whose result had one."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.core import dispatch, tape
from minicnn.core.op import Op, observe
from minicnn.core.tape import Node
from minicnn.core.tensor import Tensor
from minicnn.errors import MiniCNNError, NonFiniteError
from minicnn.nn import Module
from minicnn.typing import Array

__all__ = ["all_finite", "explain"]


def all_finite(arrays: list[Array]) -> bool:
    """Whether no number is NaN or infinite.

    A sum of squares is one pass without a temporary, and finite only if all numbers are; only where
    it overflows are the numbers looked at one by one.
    """
    arrays = [array for array in arrays if array.dtype.kind == "f" and array.size]
    if not arrays:
        return True
    xp = dispatch.backend_of(arrays[:1]).xp
    with np.errstate(all="ignore"):
        total = sum(xp.dot(array.ravel(), array.ravel()) for array in arrays)
    return bool(xp.isfinite(total)) or all(bool(xp.isfinite(array).all()) for array in arrays)


def explain(model: Module, loss: Callable[[], Tensor]) -> NonFiniteError:
    """Run one step again with a look at every result, and say where the first bad number is.

    Nothing changes but running statistics: no gradient is stored. The random state must be as it
    was before the step.

    Parameters
    ----------
    model : Module
        The model that ``loss`` calls.
    loss : callable
        Runs the forward pass and returns the loss.

    Returns
    -------
    NonFiniteError
        Not raised; it names the layer, the operation, and the place in its result.
    """
    layers = _Layers()
    try:
        with _tracking(model, layers), observe(layers.look):
            result = loss()
        _walk_back(result, layers, {id(p): name for name, p in model.named_parameters()})
    except NonFiniteError as error:
        return error
    except MiniCNNError as error:  # a loss that checks its own operands says it better
        return NonFiniteError(str(error))
    return NonFiniteError("a number that is not finite appeared, but not again when the step was repeated")


class _Layers:
    """Which layer ran each operation, known by the numbers of the tape's nodes."""

    def __init__(self) -> None:
        self.stack: list[str] = []  # qualified names with classes, the innermost last
        self._starts: list[int] = []
        self._names: list[str] = []

    def look(self, op: Op, operands: list[Any], result: Array) -> None:
        """Note the layer of an operation; raise if its result is not finite."""
        if result.dtype.kind == "f" and not all_finite([result]):
            named = [(op.operands[min(i, len(op.operands) - 1)], a) for i, a in enumerate(operands)]
            bad = [
                name for name, array in named if isinstance(array, type(result)) and not all_finite([array])
            ]
            cause = f"its operand {bad[0]} has such numbers" if bad else "its operands are finite"
            raise NonFiniteError(f"{_describe(result, 'the result')}; {cause}", op=op.name)
        self._starts.append(Node(op, {}, (), [], []).number)  # the node of this operation comes next
        self._names.append(self.stack[-1] if self.stack else "")

    def of(self, node: Node) -> str:
        """The name of the layer that made a node."""
        at = bisect(self._starts, node.number)
        return self._names[at - 1] if at else ""


@contextmanager
def _tracking(model: Module, layers: _Layers) -> Iterator[None]:
    """Let ``layers.stack`` follow which module of the model is running."""

    def leave(module: Module, args: Any, result: Any) -> None:
        layers.stack.pop()

    handles = []
    for name, module in model.named_modules():
        label = f"{name}: {type(module).__name__}" if name else type(module).__name__
        handles.append(module.register_forward_pre_hook(lambda *_, label=label: layers.stack.append(label)))
        handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _walk_back(loss: Tensor, layers: _Layers, names: dict[int, str]) -> None:
    """Carry the gradient back, and raise at the first operation that spoils it."""

    def look(node: Node, gradients: tuple[Array | None, ...]) -> None:
        for place, (edge, g) in enumerate(zip(node.edges, gradients, strict=True)):
            if edge is not None and hasattr(g, "dtype") and not all_finite([g]):
                operand = names.get(id(edge)) or _operand(node, place)
                where = ": ".join(filter(None, (layers.of(node), f"{node.op.name}.backward")))
                raise NonFiniteError(f"{where}: {_describe(g, f'the gradient of {operand}')}")

    if loss.node is not None:
        one = dispatch.backend_of((loss.array,)).xp.ones_like(loss.array)
        tape.walk(loss.node, one, retain=False, look=look)


def _operand(node: Node, place: int) -> str:
    names = getattr(node.op, "operands", ())
    return names[min(place, len(names) - 1)] if names else f"operand {place}"


def _describe(array: Array, what: str) -> str:
    """How many numbers are not finite, and where the first of them is."""
    numbers = array if isinstance(array, np.ndarray) else array.get()
    bad = ~np.isfinite(numbers)
    first = np.unravel_index(int(bad.argmax()), numbers.shape)
    place = f" at {tuple(int(i) for i in first)}" if numbers.ndim else ""
    return f"{what} is not finite in {int(bad.sum())} of {numbers.size} places, first {numbers[first]}{place}"
