"""The tape: what was computed, and the walk back over it.

Edges point one way, from a result to what it was made of: a tensor holds its :class:`Node`, a
node holds its parents' nodes (or the leaf tensors themselves). Nothing points forward, so
reference counting frees a graph as soon as its result is gone.

Who owns a gradient buffer: what a backward returns may alias its input and is read-only to
everybody; a leaf's ``.grad`` is always its own buffer, copied once and then added to.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Container, Iterable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.core import dispatch
from minicnn.errors import GradError
from minicnn.typing import Array, ArrayModule, Attrs

if TYPE_CHECKING:
    from minicnn.core.op import Op
    from minicnn.core.tensor import Tensor

__all__ = [
    "Node",
    "add_gradients",
    "enable_grad",
    "grad_enabled",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
    "walk",
]

# A context variable is thread-local: each thread starts with gradients on.
grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)

Hook = Callable[[Array], Array | None]  # sees a gradient, and may return another

_next_number = itertools.count().__next__
_FREED = object()  # stands in for `saved` once a backward has used it


class Node:
    """One recorded operation.

    Attributes
    ----------
    op : Op
        What was computed.
    attrs : dict
        Its keyword attributes.
    saved : tuple
        What its forward kept for its backward.
    edges : list of Node, Tensor or None
        Per operand: the node that made it, the leaf tensor itself, or None without gradient.
    leaves : list of (weak reference to Tensor, int)
        Operands that no operation made, with their versions, to detect a change in place.
    number : int
        Creation order: every parent has a smaller number, so sorting gives a topological order.
    hooks : dict of int to callable, or None
        Called with the gradient of this node's result, once complete; may return another.
    keeper : weak reference to Tensor, or None
        The result, if its ``.grad`` is to be filled.
    """

    __slots__ = ("attrs", "edges", "hooks", "keeper", "leaves", "number", "op", "saved")

    def __init__(
        self, op: Op, attrs: Attrs, saved: Any, edges: list[Any], leaves: list[tuple[Any, int]]
    ) -> None:
        self.op = op
        self.attrs = attrs
        self.saved = saved
        self.edges = edges
        self.leaves = leaves
        self.number = _next_number()
        self.hooks: dict[int, Hook] | None = None
        self.keeper: Any = None

    def __repr__(self) -> str:
        return f"<{self.op.name} #{self.number}>"

    def backward(self, gy: Array, retain: bool) -> tuple[Array | None, ...]:
        """Gradients of the operands from that of the result; frees ``saved`` unless retained."""
        needs = tuple(edge is not None for edge in self.edges)
        gradients = self.op.run_backward(gy, self.saved, needs, self.attrs)
        if not retain:
            self.saved = _FREED
        return gradients

    def check(self) -> None:
        """Refuse a graph that was freed, or numbers that were changed since they were saved."""
        if self.saved is _FREED:
            raise GradError(
                "backward ran through this graph before and freed what the forward pass had saved",
                hint="call backward(retain_graph=True) the first time, or run forward again",
                op=self.op.name,
            )
        for reference, version in self.leaves:
            leaf = reference()
            if leaf is not None and leaf._version != version and _holds(self.saved, leaf.array):
                raise GradError(
                    "a tensor was changed in place between its use and backward",
                    hint="call backward before changing parameters or inputs",
                    op=self.op.name,
                )


def _holds(saved: Any, array: Array) -> bool:
    """Whether the memory of ``array`` is among what was saved."""
    if isinstance(saved, (tuple, list)):
        return any(_holds(item, array) for item in saved)
    if type(saved) is not type(array):
        return False
    return bool(dispatch.backend_of((array,)).xp.may_share_memory(saved, array))


class _GradMode:
    """Switch recording for a block of code, or for a function when used as a decorator."""

    mode: bool

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []  # of the blocks entered, so that one object can be nested

    def __enter__(self) -> None:
        self._tokens.append(grad_enabled.set(self.mode))

    def __exit__(self, *exc: object) -> None:
        grad_enabled.reset(self._tokens.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):
            raise GradError(
                "a generator function leaves and enters its block with every value",
                hint="put `with no_grad():` inside it, around what computes",
                op=type(self).__name__,
            )

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            token = grad_enabled.set(self.mode)
            try:
                return function(*args, **kwargs)
            finally:
                grad_enabled.reset(token)

        return wrapped


class no_grad(_GradMode):  # noqa: N801 - used like a function
    """Nothing inside is recorded: faster, and no memory is kept for backward.

    Applies to the current thread only.

    Examples
    --------
    >>> import minicnn
    >>> w = minicnn.ones(2, requires_grad=True)
    >>> with minicnn.no_grad():
    ...     (w * 2).requires_grad
    False
    """

    mode = False


inference_mode = no_grad  # PyTorch's stricter form; nothing here needs the difference


class enable_grad(_GradMode):  # noqa: N801 - used like a function
    """Record again inside a :class:`no_grad` block."""

    mode = True


class set_grad_enabled(_GradMode):  # noqa: N801 - used like a function
    """Record or not, by a flag: for good when called, for a block when used with ``with``.

    Parameters
    ----------
    mode : bool
        Whether to record.
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = bool(mode)
        super().__enter__()

    def __enter__(self) -> None:
        return None

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self.__exit__()  # a decorator switches inside its function only
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return grad_enabled.get()


def reachable(roots: Iterable[Node]) -> list[Node]:
    """All nodes that lead to ``roots``, newest first: a topological order without recursion."""
    seen = set(roots)
    stack = list(seen)
    while stack:
        for edge in stack.pop().edges:
            if type(edge) is Node and edge not in seen:
                seen.add(edge)
                stack.append(edge)
    return sorted(seen, key=lambda node: node.number, reverse=True)


@dispatch.kernel
def add_gradients(xp: ArrayModule, one: Array, other: Array, out: Array | None = None) -> Array:
    """The sum of two gradients of the same numbers, put into ``out`` if given."""
    return xp.add(one, other, out=out)


def _sum(one: Any, other: Any) -> Any:
    """The sum of what came two ways: of arrays, or of the bundles that hooks of modules make of them."""
    return add_gradients(one, other) if type(one) in dispatch.serving else one + other


def walk(
    roots: dict[Any, Array],
    *,
    retain: bool,
    keep: Container[Node] = (),
    look: Callable[[Node, Array, tuple[Array | None, ...]], None] | None = None,
) -> tuple[dict[Tensor, Array], dict[Node, Array]]:
    """Carry gradients of results back to the leaves.

    Nothing outside the graph changes, so a failure on the way leaves every ``.grad`` as it was.

    Parameters
    ----------
    roots : dict of Node or leaf to array
        The gradient of each result to start from.
    keep : container of Node
        Whose results' gradients to return beside those of the leaves.
    look : callable, optional
        Sees each node with the gradient of its result, after its hooks, and those of its operands.

    Returns
    -------
    leaves : dict of Tensor to array
        The sum of gradients that reached each leaf. The arrays may alias each other.
    kept : dict of Node to array
        The gradients, after all hooks, of the results of ``keep`` and of those that have a keeper.
    """
    nodes = reachable(root for root in roots if type(root) is Node)
    for node in nodes:
        node.check()
    pending = dict(roots)  # nodes and leaves, gradients summed so far
    kept = {}
    for node in nodes:
        gy = pending.pop(node, None)
        if gy is None:  # no gradient came this way
            continue
        gy = run_hooks(node.hooks, gy)
        if node.keeper is not None or node in keep:
            kept[node] = gy
        gradients = node.backward(gy, retain)
        if look is not None:
            look(node, gy, gradients)
        for edge, g in zip(node.edges, gradients, strict=True):
            if edge is not None and g is not None:
                before = pending.get(edge)
                total = g if before is None else _sum(before, g)
                # NumPy turns 0-dimensional results into scalars.
                pending[edge] = np.asarray(total) if isinstance(total, np.generic) else total
    return pending, kept


def run_hooks(hooks: dict[int, Hook] | None, gradient: Array) -> Array:
    """Let each hook see the complete gradient, and replace it if it returns one."""
    for hook in list(hooks.values()) if hooks else ():  # a hook may remove itself
        replaced = hook(gradient)
        gradient = gradient if replaced is None else replaced
    return gradient
