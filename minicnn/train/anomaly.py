"""Where a NaN or an infinity came from: the first layer and operation whose result had one."""

from __future__ import annotations

import functools
from bisect import bisect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from minicnn.core import dispatch, tape
from minicnn.core.op import Op, observe
from minicnn.core.tape import Node
from minicnn.core.tensor import Tensor
from minicnn.errors import MiniCNNError, NonFiniteError
from minicnn.nn import Module
from minicnn.typing import Array, Attrs

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

    Only what reaches the loss, or the gradient of a leaf, counts. An infinity that was given as a
    constant, as in a mask, is meant to be there: it is followed to the operation that makes another
    number of it. Nothing changes but running statistics: no gradient is stored. The random state must
    be as it was before the step.

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
    results = _Results(model)
    try:
        with _tracking(model, results), observe(results.look):
            value = loss()
        found = results.origin(value.array)
        if found is None and value.node is not None:
            names = {id(p): name for name, p in model.named_parameters()}
            found = _Gradients(results, names).origin(value)
    except MiniCNNError as error:  # a loss that checks its own operands says it better
        found = str(error)
    return NonFiniteError(
        found or "a number that is not finite appeared, but not again when the step was repeated"
    )


class _Bad(NamedTuple):
    """A result that is not finite."""

    where: str
    result: Array
    operands: list[tuple[str, Any]]  # those that are not finite either, with their names
    kinds: set[str]
    intended: set[str]  # of the kinds, those that were given as constants

    def __str__(self) -> str:
        cause = f"its operand {self.operands[0][0]} has such numbers" if self.operands else ""
        text = _describe(self.result, "the result")
        return f"{self.where}: {text}; {cause or 'its operands are finite'}"


class _Results:
    """What the forward pass computed: which layer ran each operation, and which results are bad."""

    def __init__(self, model: Module) -> None:
        self.stack: list[str] = []  # qualified names with classes, the innermost last
        self._starts: list[int] = []  # numbers of the tape's nodes
        self._names: list[str] = []
        self._bad: dict[int, _Bad] = {}  # by the array's id, in the order of time
        self._not_meant = {id(p.array): p.array for p in model.parameters()}  # kept, so that ids last

    def enter(self, label: str, module: Module, args: tuple[Any, ...]) -> None:
        """A module begins; infinities in what the whole model is given are not meant."""
        if not self.stack:
            self._not_meant |= {id(a.array): a.array for a in args if isinstance(a, Tensor)}
        self.stack.append(label)

    def look(self, op: Op, operands: list[Any], attrs: Attrs, result: Array) -> None:
        """Note the layer of an operation, and its result if that is not finite."""
        layer = self.stack[-1] if self.stack else ""
        self._starts.append(Node(op, {}, (), [], []).number)  # the node of this operation comes next
        self._names.append(layer)
        kinds = _kinds(result)
        if kinds and id(result) not in self._bad:  # not an operand that was passed on as it is
            named = [(op.operands[min(i, len(op.operands) - 1)], a) for i, a in enumerate(operands)]
            bad = [(name, a) for name, a in named if _kinds(a)]
            # The only operation that takes such a constant as an attribute.
            constants = {"inf", "-inf"} if op.name == "pad" else set()
            intended = constants.union(*(self._intended(a) for _, a in bad))
            where = ": ".join(filter(None, (layer, op.name)))
            self._bad[id(result)] = _Bad(where, result, bad, kinds, kinds & intended)

    def _intended(self, operand: Any) -> set[str]:
        if id(operand) in self._bad:
            return self._bad[id(operand)].intended
        return set() if id(operand) in self._not_meant else _kinds(operand) - {"nan"}

    def origin(self, loss: Array) -> str | None:
        """Where the bad numbers of the loss come from, in words; None if it has none."""
        harmful, chain = {id(loss)}, []
        for bad in reversed(self._bad.values()):
            if id(bad.result) in harmful:
                harmful.update(id(a) for _, a in bad.operands)
                chain.append(bad)
        chain.reverse()
        made = [bad for bad in chain if bad.kinds - bad.intended] or chain
        return str(made[0]) if made else None

    def layer_of(self, node: Node) -> str:
        """The name of the layer that made a node."""
        at = bisect(self._starts, node.number)
        return self._names[at - 1] if at else ""


class _Gradients:
    """What the backward pass computed, as far as it is not finite."""

    def __init__(self, results: _Results, names: dict[int, str]) -> None:
        self._results = results
        self._names = names  # of the parameters
        self._bad: list[tuple[int, int, str]] = []  # ids of who gave it and who got it, and what it is

    def origin(self, loss: Tensor) -> str | None:
        """Carry the gradient back, and say what first spoiled one that reaches a leaf."""
        assert loss.node is not None
        one = dispatch.backend_of((loss.array,)).xp.ones_like(loss.array)
        found, _ = tape.walk({loss.node: one}, retain=False, look=self._look)
        harmful = {id(leaf) for leaf, gradient in found.items() if self._spoils(leaf, gradient)}
        first = None
        for giver, taker, text in reversed(self._bad):
            if taker in harmful:
                harmful.add(giver)
                first = text
        return first

    def _look(self, node: Node, gradient: Any, gradients: tuple[Any, ...]) -> None:
        where = ": ".join(filter(None, (self._results.layer_of(node), node.op.name)))
        self._arrive(node, gradient, bool(node.hooks), f"{where}: {{}}the gradient of the result")
        for place, (edge, g) in enumerate(zip(node.edges, gradients, strict=True)):
            if edge is not None and not _finite(g):
                operand = self._names.get(id(edge)) or _operand(node, place)
                text = f"{where}.backward: {_describe(g, f'the gradient of {operand}')}"
                self._bad.append((id(node), id(edge), text))

    def _spoils(self, leaf: Tensor, gradient: Array) -> bool:
        """Whether the gradient that a leaf keeps is not finite, after its hooks."""
        name = self._names.get(id(leaf), "a leaf")
        self._arrive(leaf, gradient, False, f"{{}}the gradient of {name}")
        kept = tape.run_hooks(leaf._hooks, gradient)
        if _finite(gradient):
            self._arrive(leaf, kept, True, f"{{}}the gradient of {name}")
        return not _finite(kept)

    def _arrive(self, taker: Any, gradient: Any, hooked: bool, what: str) -> None:
        """Note a bad gradient that is made of good ones, by a hook or as their sum."""
        if not _finite(gradient) and all(id(taker) != got for _, got, _ in self._bad):
            text = _describe(gradient, what.format("a hook was here: " if hooked else "summed up, "))
            self._bad.append((0, id(taker), text))


@contextmanager
def _tracking(model: Module, results: _Results) -> Iterator[None]:
    """Let ``results.stack`` follow which module of the model is running."""

    def leave(module: Module, args: Any, result: Any) -> None:
        results.stack.pop()

    handles = []
    for name, module in model.named_modules():
        label = f"{name}: {type(module).__name__}" if name else type(module).__name__
        enter = functools.partial(results.enter, label)
        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _operand(node: Node, place: int) -> str:
    names = getattr(node.op, "operands", ())
    return names[min(place, len(names) - 1)] if names else f"operand {place}"


def _kinds(value: Any) -> set[str]:
    """Which of NaN and the two infinities occur in an operand or result."""
    array = np.asarray(value) if isinstance(value, (float, np.generic)) else value
    if getattr(getattr(array, "dtype", None), "kind", "") != "f" or all_finite([array]):
        return set()
    xp = dispatch.backend_of([array]).xp
    found = {"nan": xp.isnan(array), "inf": array == np.inf, "-inf": array == -np.inf}
    return {kind for kind, where in found.items() if bool(where.any())}


def _finite(gradient: Any) -> bool:
    """Whether a gradient, or each of a bundle of them, is finite or not there."""
    parts = gradient if isinstance(gradient, tuple) else (gradient,)
    return all_finite([part for part in parts if part is not None])


def _describe(array: Any, what: str) -> str:
    """How many numbers are not finite, and where the first of them is."""
    if isinstance(array, tuple):
        array = next(part for part in array if not _finite(part))
    numbers = array if isinstance(array, np.ndarray) else array.get()
    bad = ~np.isfinite(numbers)
    first = np.unravel_index(int(bad.argmax()), numbers.shape)
    place = f" at {tuple(int(i) for i in first)}" if numbers.ndim else ""
    return f"{what} is not finite in {int(bad.sum())} of {numbers.size} places, first {numbers[first]}{place}"
