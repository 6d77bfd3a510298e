"""Functions that a module calls around its forward and backward pass.

A full backward hook sees the gradients of all inputs at once. On the tape several tensors are
therefore joined: each hands its gradient to one common node, whose hook sees all of them::

    input 0 <-.           .-- part 0 <- ...
               join  <---<                       a part's gradient is a bundle with
    input 1 <-'           '-- part 1 <- ...      its own place filled; bundles add up
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minicnn.core.hooks import RemovableHandle
from minicnn.core.tape import Node
from minicnn.core.tensor import Tensor
from minicnn.errors import GradError
from minicnn.typing import Array, Attrs

if TYPE_CHECKING:
    from minicnn.nn.module import Module

__all__ = ["Hooked", "Hooks"]


class Hooks:
    """The hooks of one module, in the order in which they run.

    Attributes
    ----------
    before, after : dict
        Forward pre-hooks and forward hooks, each with whether it wants keyword arguments.
    backward : dict
        Full backward hooks.
    """

    def __init__(self) -> None:
        self.before: dict[int, tuple[Callable[..., Any], bool]] = {}
        self.after: dict[int, tuple[Callable[..., Any], bool]] = {}
        self.backward: dict[int, Callable[..., Any]] = {}

    def __bool__(self) -> bool:
        """Whether there are any: all may have been removed."""
        return bool(self.before or self.after or self.backward)

    def call(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The module's forward with all hooks around it."""
        args, kwargs = self._run_before(module, args, kwargs)
        record = _BackwardRecord(module, list(self.backward.values())) if self.backward else None
        if record:
            args = record.watch_inputs(args)
        result = module.forward(*args, **kwargs)
        for hook, with_kwargs in list(self.after.values()):
            replaced = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
            result = result if replaced is None else replaced
        return record.watch_outputs(result) if record else result

    def _run_before(self, module: Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        for hook, with_kwargs in list(self.before.values()):
            if with_kwargs:
                args, kwargs = hook(module, args, kwargs) or (args, kwargs)
            else:
                args = _as_tuple(hook(module, args), args)
        return args, kwargs


class Hooked:
    """Something with hooks: the part of a module that registers them."""

    _hooks: Hooks | None = None  # until the first is registered

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward; what it returns replaces the arguments.

        With ``with_kwargs`` it is ``hook(module, args, kwargs)`` and returns both or None.
        """
        return RemovableHandle(self._own_hooks().before, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward; what it returns replaces the output.

        With ``with_kwargs`` it is ``hook(module, args, kwargs, output)``.
        """
        return RemovableHandle(self._own_hooks().after, (hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the inputs are complete.

        Both are tuples with one entry per positional input and per output, None where there is no
        gradient. What the hook returns, if not None, replaces ``grad_input``.
        """
        return RemovableHandle(self._own_hooks().backward, hook, prepend)

    def _own_hooks(self) -> Hooks:
        if self._hooks is None:
            self._hooks = Hooks()
        return self._hooks


def _as_tuple(value: Any, otherwise: tuple[Any, ...]) -> tuple[Any, ...]:
    """A hook's answer: None leaves things as they are, a single value stands for a tuple of one."""
    if value is None:
        return otherwise
    return value if isinstance(value, tuple) else (value,)


class _Bundle(tuple):
    """Gradients of several tensors, None where none came (yet); a sum has the places of both."""

    def __add__(self, other: Any) -> _Bundle:
        pairs = zip(self, other, strict=True)
        return _Bundle(b if a is None else a for a, b in pairs)


class _Join:
    """The common node of several tensors: splits the bundle again."""

    name = "join"

    def run_backward(self, bundle: _Bundle, saved: Any, needs: tuple[bool, ...], attrs: Attrs) -> _Bundle:
        return bundle


class _Part:
    """The node of one joined tensor: puts its gradient in its place of the bundle."""

    name = "part"

    def __init__(self, place: int, places: int) -> None:
        self.place = place
        self.places = places

    def run_backward(self, gy: Array, saved: Any, needs: tuple[bool, ...], attrs: Attrs) -> tuple[_Bundle]:
        return (_Bundle(gy if i == self.place else None for i in range(self.places)),)


def _join(values: tuple[Any, ...], hook: Callable[[_Bundle], _Bundle | None]) -> tuple[Any, ...]:
    """The same values, such that ``hook`` sees their gradients together when all are complete."""
    recorded = [isinstance(value, Tensor) and value.requires_grad for value in values]
    if not any(recorded):
        return values
    edges = [(value.node or value) if r else None for value, r in zip(values, recorded, strict=True)]
    tensors = [edge for edge in edges if isinstance(edge, Tensor)]
    leaves = [(weakref.ref(leaf), leaf._version) for leaf in tensors]
    saved = tuple(leaf.array for leaf in tensors)  # the layer may save them, so changes are watched here
    join: Any = Node(_Join(), {}, saved, edges, leaves)  # type: ignore[arg-type]
    join.hooks = {0: hook}
    joined = []
    for place, (value, r) in enumerate(zip(values, recorded, strict=True)):
        if r:
            value = Tensor.wrap(value.array)
            value.requires_grad = True
            value.node = Node(_Part(place, len(values)), {}, (), [join], [])  # type: ignore[arg-type]
        joined.append(value)
    return tuple(joined)


class _BackwardRecord:
    """One call of a module with full backward hooks: meets the gradients on their way back."""

    def __init__(self, module: Module, hooks: list[Callable[..., Any]]) -> None:
        self.module = module
        self.hooks = hooks
        self.grad_output: tuple[Tensor | None, ...] = ()
        self.inputs_recorded = False
        self.places = 0

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        watched = _join(args, self._at_inputs)
        self.inputs_recorded = any(a is not b for a, b in zip(args, watched, strict=True))
        self.places = len(args)
        return watched

    def watch_outputs(self, result: Any) -> Any:
        single = isinstance(result, Tensor)
        values = (result,) if single else result
        if not isinstance(values, tuple):
            raise GradError(
                expected="a module with a backward hook to return a tensor or a tuple of tensors",
                got=type(result).__name__,
            )
        watched = _join(values, self._at_outputs)
        return watched[0] if single else watched

    def _at_outputs(self, bundle: _Bundle) -> None:
        self.grad_output = _tensors(bundle)
        if not self.inputs_recorded:  # no gradient will ever reach the inputs
            self._run((None,) * self.places)

    def _at_inputs(self, bundle: _Bundle) -> _Bundle:
        grad_input = self._run(_tensors(bundle))
        return _Bundle(None if g is None else g.array for g in grad_input)

    def _run(self, grad_input: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        for hook in self.hooks:
            replaced = _as_tuple(hook(self.module, grad_input, self.grad_output), grad_input)
            if len(replaced) != len(grad_input):
                raise GradError(
                    expected=f"{len(grad_input)} gradients from a backward hook", got=str(len(replaced))
                )
            grad_input = replaced
        return grad_input


def _tensors(bundle: _Bundle) -> tuple[Tensor | None, ...]:
    return tuple(None if gradient is None else Tensor.wrap(gradient) for gradient in bundle)
