"""Fusion: a result waits until it is used, so that the operation that uses it can be computed with it.

Inside a ``fusing`` block an operation that has partners (a convolution, whose partner is the ReLU) gives
a :class:`Pending` tensor: everything is checked, nothing is computed. If the next thing that happens to
it is a partner, one fused operation computes both; at any other touch it is computed as it is, and is a
plain tensor from then on. So any Python code fuses, nothing is traced, and results stay the same.

Which operations are partners stands in ``minicnn/ops/fused/rules.py``. A pair is fused only where the
backend has a kernel for it: the reference of a fused operation is the composition of its parts. Nothing
is fused while :class:`minicnn.core.op.observe` looks at every operation.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from minicnn.core.dispatch import backend_of
from minicnn.core.tape import grad_enabled
from minicnn.core.tensor import Tensor
from minicnn.errors import GradError
from minicnn.typing import Attrs

if TYPE_CHECKING:
    from minicnn.core.op import Op

__all__ = ["Match", "Pending", "Rule", "compute", "fuse", "fusing"]

# The operation that computes two, its operands and attributes.
Match = tuple["Op", tuple[Any, ...], Attrs]

# Rule(producer's operands, its attributes, consumer's other operands, consumer's attributes): what computes
# both, or None if this case does not fuse. Those of the producer were checked; the rule checks the others.
Rule = Callable[[tuple[Any, ...], Attrs, tuple[Any, ...], Attrs], Match | None]


class _Waiting:
    """The pending results of a block.

    Whoever wants to be told what was saved (running statistics) is told in the order of the calls, and also
    if the result is not used: at most one such result is pending, and it is kept.
    """

    def __init__(self) -> None:
        self.results: list[weakref.ref[Pending]] = []
        self.telling: Pending | None = None

    def add(self, result: Pending) -> Pending:
        self.results.append(weakref.ref(result))
        if result.tells:
            self.telling = result
        return result

    def tell(self) -> None:
        if self.telling is not None:
            self.telling.settle()

    def settle(self) -> None:
        for reference in self.results:
            result = reference()
            if type(result) is Pending:
                result.settle()


# The pending results of the block, in this thread; None outside.
_pending: ContextVar[_Waiting | None] = ContextVar("pending", default=None)


class Pending(Tensor):
    """A tensor that is computed at its first touch. Then it becomes a plain one."""

    def __init__(
        self, op: Op, operands: tuple[Any, ...], attrs: Attrs, then: Callable[[Any], None] | None
    ) -> None:
        self._call = op, operands, attrs, then
        self._versions = [x._version if isinstance(x, Tensor) else None for x in operands]
        self._records = grad_enabled.get()

    @property
    def tells(self) -> bool:
        """Whether somebody wants to be told what it will have saved."""
        return self._call[3] is not None

    def taken_over(self) -> None:
        """Another operation computes it too, and tells. Should anybody look at it still: once is enough."""
        op, operands, attrs, _ = self._call
        self._call = op, operands, attrs, None
        self._forget()

    def _forget(self) -> None:
        waiting = _pending.get()
        if waiting is not None and waiting.telling is self:
            waiting.telling = None

    def settle(self) -> None:
        """Compute it, and become a plain tensor."""
        op, operands, attrs, then = self._call
        self.check_operands()
        self._forget()
        token = grad_enabled.set(self._records)
        try:
            made, saved = compute(op, operands, attrs)
        finally:
            grad_enabled.reset(token)
        del self._call, self._versions, self._records
        self.__class__ = Tensor  # type: ignore[assignment]
        self.array = made.array
        if made.node is not None:
            self.node, self._requires_grad = made.node, True
        if then is not None:
            then(saved)

    def check_operands(self) -> None:
        """Refuse to compute with operands that have changed since the call."""
        op, operands = self._call[:2]
        for operand, version in zip(operands, self._versions, strict=True):
            if version is not None and operand._version != version:
                raise GradError(
                    "an operand was changed in place before the result was first used",
                    hint="use the result first, or leave this model uncompiled",
                    op=op.name,
                )

    # What a tensor has as plain attributes, computed at the first look; from then on it is a Tensor.

    def _settled(name: str) -> property:  # type: ignore[misc]  # noqa: N805
        def get(self: Pending) -> Any:
            self.settle()
            return getattr(self, name)

        def put(self: Pending, value: Any) -> None:
            self.settle()
            setattr(self, name, value)

        return property(get, put)

    array = _settled("array")
    node = _settled("node")
    _requires_grad = _settled("_requires_grad")


class fusing:  # noqa: N801 - used like a function
    """Fuse what is computed in a block; all results are computed at its end. Blocks may be nested.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.nn import functional as F
    >>> with fusing():
    ...     y = F.relu(F.linear(minicnn.ones(1, 2), minicnn.ones(3, 2)))
    >>> y.tolist()
    [[2.0, 2.0, 2.0]]
    """

    def __enter__(self) -> None:
        self._token = _pending.set(_Waiting())

    def __exit__(self, kind: Any, *exc: object) -> None:
        waiting = _pending.get()
        _pending.reset(self._token)
        if kind is None and waiting is not None:
            waiting.settle()


def fuse(
    op: Op, operands: tuple[Any, ...], attrs: Attrs, then: Callable[[Any], None] | None = None
) -> Tensor | None:
    """The result of an operation that has partners, fused or pending; None to compute it as it is."""
    waiting = _pending.get()
    if waiting is None:
        return None
    for place, operand in enumerate(operands):
        if type(operand) is Pending and then is None:
            fused = _with_producer(op, operand, operands[:place] + operands[place + 1 :], attrs)
            if fused is not None:
                return fused
    if not op.waits or backend_of([getattr(x, "array", x) for x in operands]).is_reference:
        return None
    op.check(operands, attrs)  # errors belong to this call, not to the first touch
    if then is not None:
        waiting.tell()
    return waiting.add(Pending(op, operands, attrs, then))


def _with_producer(op: Op, producer: Pending, others: tuple[Any, ...], attrs: Attrs) -> Tensor | None:
    made_by, operands, its_attrs, then = producer._call
    assert op.partners is not None
    rule = op.partners.get(made_by.name)
    if rule is None or producer._records != grad_enabled.get() or any(other is producer for other in others):
        return None
    match = rule(operands, its_attrs, others, attrs)
    if match is None:
        return None
    fused, all_operands, all_attrs = match
    backend = backend_of([getattr(x, "array", x) for x in all_operands])
    if backend.name not in fused.forward_kernel.overlays:
        return None
    producer.check_operands()
    producer.taken_over()
    waiting = _pending.get()
    if fused.waits and waiting is not None:
        return waiting.add(Pending(fused, all_operands, all_attrs, then))
    made, saved = compute(fused, all_operands, all_attrs)
    if then is not None:
        then(saved)
    return made


def compute(op: Op, operands: tuple[Any, ...], attrs: Attrs) -> tuple[Tensor, Any]:
    """Call the operation, whose operands were checked, with nothing waiting."""
    token = _pending.set(None)
    try:
        return op.apply(operands, attrs, None, True)
    finally:
        _pending.reset(token)
