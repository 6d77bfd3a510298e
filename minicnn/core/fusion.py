"""Fusion: a result waits until it is used, so that the operation that uses it can be computed with it.

Inside a ``fusing`` block an operation that has partners (a convolution, whose partner is the ReLU) gives
a :class:`Pending` tensor: everything is checked, nothing is computed but its shape. If the next thing that
happens to it is a partner, one fused operation computes both; at any other touch it is computed as it is,
and is a plain tensor from then on. So any Python code fuses, nothing is traced, and results stay the same.

Which operations are partners stands in ``minicnn/ops/fused/rules.py``. A pair is fused only where the
backend has a kernel for it: the reference of a fused operation is the composition of its parts. Nothing
is fused while :class:`minicnn.core.op.observe` looks at every operation.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.core.dispatch import Backend, backend_of
from minicnn.core.tape import grad_enabled
from minicnn.core.tensor import Tensor, before_change
from minicnn.errors import GradError, MiniCNNError
from minicnn.typing import Attrs, Shape

if TYPE_CHECKING:
    from minicnn.core.op import Op


class Call(NamedTuple):
    """An operation with what it is applied to."""

    op: Op
    operands: tuple[Any, ...]
    attrs: Attrs


class Match(NamedTuple):
    """What computes a producer and its consumer at once; and what computes the producer's own result from
    then on, should anybody else look at it: the same as before, if None.

    If the fused operation waits, its result has the producer's shape and dtype.
    """

    fused: Call
    instead: Call | None = None


class Pending(Tensor):
    """A tensor that is computed at its first touch. Then it becomes a plain one.

    Attributes
    ----------
    call : Call
        What will compute it.
    then : callable or None
        Is told what that saved.
    records : bool
        Whether gradients were recorded where the call stands.
    backend : Backend
        That served its operands there.
    """

    def __init__(
        self, call: Call, shape: Shape, backend: Backend, then: Callable[[Any], None] | None = None
    ) -> None:
        self._known_shape = shape
        self.backend = backend
        self.then = then
        self.records = grad_enabled.get()
        self._lock = threading.Lock()
        self._set(call)

    def _set(self, call: Call) -> None:
        self.call = call
        self._versions = [x._version if isinstance(x, Tensor) else None for x in call.operands]

    def taken_over(self, instead: Call | None) -> None:
        """Another operation computes it too, and tells."""
        self._leave()
        self.then = None
        if instead is not None:
            self._set(instead)

    def _leave(self) -> None:
        waiting = None if self.then is None else _pending.get()
        if waiting is not None and waiting.telling is self:
            waiting.telling = None

    def settle(self) -> None:
        """Compute it, and become a plain tensor."""
        with self._lock:
            if type(self) is Pending:  # else another thread was quicker
                self._settle()

    def _settle(self) -> None:
        self.check_operands()
        self._leave()
        token = grad_enabled.set(self.records)
        try:
            made, saved = compute(self.call)
        finally:
            grad_enabled.reset(token)
        then = self.then
        del self.call, self._known_shape, self.backend, self.then, self.records, self._versions
        del self._lock
        self.__dict__["array"] = made.array
        if made.node is not None:
            self.__dict__.update(node=made.node, _requires_grad=True)
        self.__class__ = Tensor  # type: ignore[assignment]
        if then is not None:
            tell(then, saved)

    def check_operands(self) -> None:
        """Refuse to compute with operands that have changed since the call."""
        for operand, version in zip(self.call.operands, self._versions, strict=True):
            if version is not None and operand._version != version:
                raise GradError(
                    "an operand was changed in place before the result was first used",
                    hint="use the result first, or leave this model uncompiled",
                    op=self.call.op.name,
                )

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For ``copy`` and ``pickle``: as the plain tensor that it is then."""
        self.settle()
        return self.__reduce_ex__(protocol)

    @property
    def shape(self) -> Shape:
        return self._known_shape

    @property
    def ndim(self) -> int:
        return len(self._known_shape)

    @property
    def dtype(self) -> np.dtype:
        return self.call.op.dtype_of(self.call.operands, self.call.attrs)

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


# What computes a producer and its consumer at once, or None if this case does not fuse; from the producer
# and the consumer's other operands and attributes. The producer was checked, the rule checks the rest.
Rule = Callable[[Pending, tuple[Any, ...], Attrs], Match | None]


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
        if result.then is not None:
            self.tell()
            self.telling = result
        return result

    def tell(self) -> None:
        if self.telling is not None:
            self.telling.settle()

    def settle(self) -> None:
        results, self.results = self.results, []
        for reference in results:
            result = reference()
            if type(result) is Pending:
                result.settle()


# The pending results of the block, in this thread; None outside.
_pending: ContextVar[_Waiting | None] = ContextVar("pending", default=None)


class fusing:  # noqa: N801 - used like a function
    """Fuse what is computed in a block; all results are computed at its end. An inner block changes nothing.

    Parameters
    ----------
    on : bool
        If False, the block changes nothing: so a setting can decide.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.nn import functional as F
    >>> with fusing():
    ...     y = F.relu(F.linear(minicnn.ones(1, 2), minicnn.ones(3, 2)))
    >>> y.tolist()
    [[2.0, 2.0, 2.0]]
    """

    def __init__(self, on: bool = True) -> None:
        self.on = on

    def __enter__(self) -> None:
        opens = self.on and _pending.get() is None
        self._token = _pending.set(_Waiting()) if opens else None

    def __exit__(self, kind: Any, *exc: object) -> None:
        if self._token is None:
            return
        waiting = _pending.get()
        _pending.reset(self._token)
        if waiting is None:
            return
        if kind is None:
            waiting.settle()
        else:  # what was called is told, as if it had been computed at once
            with suppress(MiniCNNError):
                waiting.tell()


def fuse(
    op: Op, operands: tuple[Any, ...], attrs: Attrs, then: Callable[[Any], None] | None = None
) -> Tensor | None:
    """The result of an operation that has partners, fused or pending; None to compute it as it is."""
    waiting = _pending.get()
    if waiting is None:
        return None
    for place, operand in enumerate(operands):
        if type(operand) is Pending and then is None:
            fused = _with_producer(op, operand, operands[:place] + operands[place + 1 :], attrs, waiting)
            if fused is not None:
                return fused
    if not op.waits:
        return None
    for operand in operands:
        if type(operand) is Pending:
            operand.settle()  # so that a chain of what waits is no deeper than one
    backend = backend_of([getattr(operand, "array", operand) for operand in operands])
    if backend.is_reference:
        return None
    shape = op.check(operands, attrs)  # errors in operands belong to this call, not to the first touch
    return waiting.add(Pending(Call(op, operands, attrs), shape, backend, then))


def _with_producer(
    op: Op, producer: Pending, others: tuple[Any, ...], attrs: Attrs, waiting: _Waiting
) -> Tensor | None:
    assert op.partners is not None
    rule = op.partners.get(producer.call.op.name)
    if rule is None or producer.records != grad_enabled.get() or any(other is producer for other in others):
        return None
    match = rule(producer, others, attrs)
    if match is None:
        return None
    call, instead = match
    if producer.backend.name not in call.op.forward_kernel.overlays:
        return None
    for other in others:
        if type(other) is Pending:
            other.settle()  # so that a chain of what waits is no deeper than one
    producer.check_operands()
    then = producer.then
    producer.taken_over(instead)
    if call.op.waits:
        return waiting.add(Pending(call, producer.shape, producer.backend, then))
    made, saved = compute(call)
    if then is not None:
        tell(then, saved)
    return made


def tell(then: Callable[[Any], None], saved: Any) -> None:
    """Tell what was saved; what is changed then (running statistics) is no operand of what waits."""
    token = _pending.set(None)
    try:
        then(saved)
    finally:
        _pending.reset(token)


def settle_readers(array: Any) -> None:
    """Compute what waits in this thread and reads memory that will change, if only through a view."""
    waiting = _pending.get()
    for reference in list(waiting.results) if waiting is not None else ():
        result = reference()
        if type(result) is Pending and any(_shares(operand, array) for operand in result.call.operands):
            result.settle()


def _shares(operand: Any, array: Any) -> bool:
    if not isinstance(operand, Tensor) or type(operand) is Pending:
        return False
    both = type(operand.array) is np.ndarray and type(array) is np.ndarray
    return np.may_share_memory(operand.array, array) if both else type(operand.array) is type(array)


before_change.append(settle_readers)


def compute(call: Call) -> tuple[Tensor, Any]:
    """Apply an operation to operands that were checked; it does not wait."""
    return call.op.apply(call.operands, call.attrs, fuses=False, checked=True)
