"""An operation: two pure array functions, lifted to tensors and the tape.

::

    @op
    def relu(xp, x):
        \"\"\"Rectified linear unit:  y = max(0, x).\"\"\"
        y = xp.maximum(x, 0)
        return y, (y,)                      # the output, and what backward needs

    @relu.backward
    def relu_backward(xp, gy, saved, needs):
        \"\"\"dL/dx = dL/dy where y > 0, else 0.\"\"\"
        (y,) = saved
        return (xp.where(y > 0, gy, 0),)    # one gradient per operand

Operands (tensors, arrays, numbers, or None for an optional one) are positional, attributes are
keyword-only and reach backward with their defaults filled in. Both functions are pure: they never
write into operands, ``gy`` or ``saved``; the results of a forward may alias its operands.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import MethodType
from typing import Any
from weakref import ref

import numpy as np

from minicnn.core import dispatch, fusion
from minicnn.core.device import MetaArray
from minicnn.core.dispatch import Kernel, backend_of
from minicnn.core.tape import Node, grad_enabled
from minicnn.core.tensor import Tensor, as_array
from minicnn.errors import DTypeError, GradError, MiniCNNError, ShapeError
from minicnn.typing import Array, Attrs, Shape

__all__ = ["Op", "observe", "op", "ops"]

ops: dict[str, Op] = {}  # every operation there is, by name

Observer = Callable[["Op", list[Any], Attrs, Array], None]
_observer: ContextVar[observe | None] = ContextVar("observer", default=None)  # of this thread
_observing = 0  # how many `observe` blocks are open anywhere: keeps the look-up off the hot path
_counting = threading.Lock()

_new = Tensor.__new__
_MOST_SHAPES = 1024  # remembered by an operation
_PLAIN = frozenset([int, float, bool, type(None)])  # operands to take as they are
_ATTRIBUTES = _PLAIN | {tuple, str}  # and attributes


class Op:
    """An operation on tensors, made by :func:`op`.

    Attributes
    ----------
    name : str
    forward_kernel, backward_kernel : Kernel
        The two array functions with their overlays. ``backward_kernel`` is None for operations
        without a derivative.
    defaults : dict
        The keyword attributes and their default values.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        *,
        view: bool = False,
        shape: Callable[..., Shape] | None = None,
        dtype: Callable[..., np.dtype] | None = None,
        attributes_of: Op | None = None,
    ) -> None:
        functools.update_wrapper(self, forward)
        self.name = forward.__name__.removesuffix("_")
        self.view = view
        self.forward_kernel = Kernel(forward, self.name, view=view)
        self.backward_kernel: Kernel | None = None
        # See core/fusion.py: producers whose pending result this operation can take over, and whether its
        # own result waits for such a partner. None: it takes no part.
        self.partners: dict[str, fusion.Rule] | None = None
        self.waits = False
        self._shape = shape
        self._dtype = dtype or first_dtype
        self._validates = False
        self._shapes: dict[Any, Shape] = {}
        parameters = list(inspect.signature(forward).parameters.values())[1:]  # without xp
        if attributes_of is not None:
            theirs = attributes_of.__signature__.parameters.values()
            parameters[-1:] = [p for p in theirs if p.kind is p.KEYWORD_ONLY]
        keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        self.defaults: Attrs = {p.name: p.default for p in keywords if p.default is not p.empty}
        self._has_attrs = bool(keywords)
        self.operands: tuple[str, ...] = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        self.__signature__: inspect.Signature = inspect.Signature(parameters)
        ops[self.name] = self

    # -- declaring ---------------------------------------------------------------------------

    def backward(self, function: Callable[..., Any] | None = None, *, view: bool = False) -> Any:
        """Decorator: the function that gives the operands' gradients; ``view`` if it only makes views."""
        if function is None:
            return functools.partial(self.backward, view=view)
        self.backward_kernel = Kernel(function, f"{self.name}.backward", view=view)
        return function

    def shape(self, function: Callable[..., Shape]) -> Callable[..., Shape]:
        """Decorator: the rule that checks operands and attributes and gives the output's shape.

        It runs before every call, sees anything with ``shape`` and ``dtype``, and raises
        :class:`ShapeError`, :class:`DTypeError` or :class:`OptionError`.
        """
        self._shape = function
        self._validates = True
        return function

    # -- calling -----------------------------------------------------------------------------

    def __call__(self, *operands: Any, **attrs: Any) -> Tensor:
        return self.apply(operands, self.full(attrs))[0]

    def call_with_saved(self, *operands: Any, **attrs: Any) -> tuple[Tensor, Any]:
        """Like calling the operation, and also return what it saved (see its Notes); it does not wait."""
        return self.apply(operands, self.full(attrs), fuses=False)

    def call_then(self, then: Callable[[Any], None], *operands: Any, **attrs: Any) -> Tensor:
        """Like calling the operation; ``then`` gets what it saved, at once or when it is computed."""
        return self.apply(operands, self.full(attrs), then)[0]

    def full(self, attrs: Attrs) -> Attrs:
        """The attributes with their defaults, NumPy's scalars as Python numbers."""
        if not self._has_attrs:
            return attrs
        attrs = self.defaults | attrs
        if _ATTRIBUTES.issuperset(map(type, attrs.values())):
            return attrs
        return {name: plain(value) for name, value in attrs.items()}

    def apply(
        self,
        operands: tuple[Any, ...],
        attrs: Attrs,
        then: Callable[[Any], None] | None = None,
        fuses: bool = True,
        checked: bool = False,
    ) -> tuple[Tensor, Any]:
        """:meth:`call_with_saved` of attributes that are complete and plain: the hottest path."""
        if self.partners is not None and fuses and not (_observing and _sees_each()):
            fused = fusion.fuse(self, operands, attrs, then)
            if fused is not None:
                return fused, None
        arrays = []
        records = False
        for operand in operands:
            if isinstance(operand, Tensor):
                arrays.append(operand.array)
                if operand._requires_grad:
                    records = True
            else:
                arrays.append(operand if type(operand) in _PLAIN else plain(operand))
        y, saved = self.run(arrays, attrs, checked)
        result = _new(Tensor)
        result.array = y
        if records and self.backward_kernel is not None and grad_enabled.get():
            edges: list[Any] = []
            leaves = []
            for operand in operands:
                if not isinstance(operand, Tensor):
                    edges.append(None)
                elif operand.node is not None:
                    edges.append(operand.node)
                else:
                    edges.append(operand if operand._requires_grad else None)
                    if saved:  # its memory may be among it
                        leaves.append((ref(operand), operand._version))
            result._requires_grad = True
            result.node = Node(self, attrs, saved, edges, leaves)
        if self.view and views(y, arrays[0]):
            result._is_view = True
        if then is not None:
            then(saved)
        return result, saved

    def run(self, arrays: list[Any], attrs: Attrs, checked: bool = False) -> tuple[Array, Any]:
        """The forward pass on arrays: check, compute, name the operation in every error."""
        try:
            backend = dispatch.serving.get(type(arrays[0])) or backend_of(arrays)
            if self._validates and not checked:
                self.checked_shape(arrays, attrs)
            if backend.array_type is MetaArray:
                y, saved = self.abstract(arrays, attrs), None
            else:
                y, saved = self.forward_kernel.run(backend, arrays, attrs)
        except MiniCNNError as error:
            error.op = error.op or self.name
            raise
        except (OverflowError, TypeError, ValueError) as error:
            self.__signature__.bind(*arrays, **attrs)  # a wrong call is Python's own TypeError
            raise self.explain(error, arrays, attrs) from error
        if isinstance(y, np.generic):  # NumPy turns 0-dimensional results into scalars
            y = backend.xp.asarray(y)
        if _observing:
            block = _observer.get()
            if block is not None:
                block.observer(self, arrays, attrs, y)
        return y, saved

    def run_backward(
        self, gy: Array, saved: Any, needs: tuple[bool, ...], attrs: Attrs
    ) -> tuple[Array | None, ...]:
        """The backward pass on arrays: one gradient per operand, None where it is not needed."""
        assert self.backward_kernel is not None
        backend = dispatch.backend_of((gy,))
        gradients = self.backward_kernel.run(backend, (gy, saved, needs), attrs)
        if len(gradients) != len(needs):
            raise GradError(expected=f"{len(needs)} gradients", got=f"{len(gradients)}", op=self.name)
        return gradients

    def explain(self, error: Exception, arrays: list[Any], attrs: Attrs) -> MiniCNNError:
        """The array library's refusal as an error that names the operation and its operands.

        The shape rule knows best what is wrong, where it was not asked before.
        """
        if self._shape is not None and not self._validates:
            try:
                self._shape(*arrays, **attrs)
            except MiniCNNError as better:
                better.op = better.op or self.name
                return better
        kind = ShapeError if isinstance(error, ValueError) else DTypeError
        return kind(f"{error} (operands: {', '.join(describe(array) for array in arrays)})", op=self.name)

    def output_shape(self, *operands: Any, **attrs: Any) -> Shape:
        """The result's shape, without computing it. Operands need only ``shape`` and ``dtype``."""
        return self.check(operands, self.defaults | attrs)

    def check(self, operands: tuple[Any, ...], attrs: Attrs) -> Shape:
        """The same with attributes that are complete."""
        if self._shape is None:
            raise ShapeError("this operation has no shape rule", op=self.name)
        try:
            return self.checked_shape(operands, attrs)
        except MiniCNNError as error:
            error.op = error.op or self.name
            raise

    def checked_shape(self, operands: Sequence[Any], attrs: Attrs) -> Shape:
        """What the shape rule says of a call; remembered, where it sees no values."""
        assert self._shape is not None
        key = shape_key(operands, attrs)
        shape = None if key is None else self._shapes.get(key)
        if shape is None:
            shape = self._shape(*operands, **attrs)
            if key is not None:
                if len(self._shapes) >= _MOST_SHAPES:
                    self._shapes.clear()
                self._shapes[key] = shape
        return shape

    def dtype_of(self, operands: tuple[Any, ...], attrs: Attrs) -> np.dtype:
        """The result's element type, without computing it."""
        return self._dtype(*operands, **attrs)

    def abstract(self, arrays: list[Any], attrs: Attrs) -> MetaArray:
        """The result as shape and dtype only."""
        return MetaArray(self.output_shape(*arrays, **attrs), self.dtype_of(tuple(arrays), attrs))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<op {self.name}{self.__signature__}>"


def op(forward: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorator: make an operation of ``forward(xp, *operands, **attributes) -> (y, saved)``.

    Parameters
    ----------
    forward : callable
        The reference, in array code that NumPy and CuPy both run. A trailing underscore of its
        name (``abs_``, to spare a builtin) is not part of the operation's name.
    view : bool
        True if the forward only makes a view: then the reference counts as served on every backend.
    shape : callable, optional
        Shape rule of an operation that cannot fail silently (elementwise ones); it is used for
        abstract runs only. Rules that also check are given by ``@name.shape`` instead.
    dtype : callable, optional
        ``dtype(*operands, **attributes)``, the result's element type in an abstract run; by default
        the first operand's.
    attributes_of : Op, optional
        Whose attributes the forward takes as ``**attrs``, for an operation that passes them on.
    """
    if forward is None:
        return lambda function: Op(function, **options)
    return Op(forward, **options)


class observe:  # noqa: N801 - used like a function
    """Call ``observer(op, arrays, attributes, result)`` after each forward in this thread, for a block.

    Meanwhile no operations are fused, unless the observer asks for it with ``fused``.
    """

    def __init__(self, observer: Observer, fused: bool = False) -> None:
        self.observer = observer
        self.fused = fused

    def __enter__(self) -> None:
        global _observing
        with _counting:
            _observing += 1
        self._token = _observer.set(self)

    def __exit__(self, *exc: object) -> None:
        global _observing
        with _counting:
            _observing -= 1
        _observer.reset(self._token)


def _sees_each() -> bool:
    """Whether an observer in this thread wants to see each operation by itself."""
    block = _observer.get()
    return block is not None and not block.fused


def first_dtype(*operands: Any, **attrs: Any) -> np.dtype:
    """The element type of the first operand that is an array."""
    return next(operand.dtype for operand in operands if hasattr(operand, "dtype"))


def views(y: Array, x: Array) -> bool:
    """Whether y, the result of an operation that makes views where it can, views x's memory.

    Not if NumPy had to copy, as for some shapes: then y views that copy. Meta arrays have no memory.
    """
    base = getattr(y, "base", None)
    return base is not None and (base is x or base is x.base)


def plain(operand: Any) -> Any:
    """An operand or attribute that is no tensor: NumPy's scalars become Python numbers, and its arrays
    plain ones of a type that tensors have, in native byte order.
    """
    if isinstance(operand, np.generic):
        return as_array(operand).item()
    return as_array(operand) if isinstance(operand, np.ndarray) else operand


def shape_key(operands: Sequence[Any], attrs: Attrs) -> Any:
    """What a shape rule's answer depends on; None where it may depend on values, such as labels."""
    key: list[Any] = []
    for operand in operands:
        if operand is None:
            key.append(None)
            continue
        dtype = getattr(operand, "dtype", None)
        if dtype is None or dtype.kind != "f":
            return None
        key.append(operand.shape)
        key.append(dtype.char)
    try:
        hash(tuple(attrs.values()))
    except TypeError:  # an index array, say
        return None
    key.append(repr(attrs))  # unlike ==, it tells 1 from 1.0 and True
    return tuple(key)


def describe(operand: Any) -> str:
    """An operand in a few words: ``float32 (2, 3)``, or the value of a number."""
    if hasattr(operand, "shape") and hasattr(operand, "dtype"):
        return f"{operand.dtype} {tuple(operand.shape)}"
    return repr(operand)
