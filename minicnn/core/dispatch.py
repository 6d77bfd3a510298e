"""Which code serves a call: the reference that every operation has, or a backend's kernel over it.

A :class:`Kernel` holds one reference function (array code for NumPy or CuPy) and a table of
overlays, one per backend. An overlay has the reference's own signature and may return
:class:`Declined` with a reason; then the reference serves the call. Nothing is silent: the
counts and reasons stand in :func:`report`, and strict mode turns a fallback into an error.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.errors import BackendError, OptionError
from minicnn.typing import ArrayModule, Shape

__all__ = [
    "Backend",
    "Declined",
    "Kernel",
    "active",
    "backend_of",
    "backends",
    "kernel",
    "kernels",
    "register_backend",
    "report",
    "reset_report",
    "set_backend",
    "set_strict",
    "use_backend",
    "use_strict",
]


class Backend:
    """A place where arrays live and kernels come from.

    Parameters
    ----------
    name : str
        ``"numpy"``, ``"native"``, ``"numba"``, ``"cuda"``, ...
    xp : module
        The array module handed to reference code.
    array_type : type
        The arrays it serves. Backends that share a type are alternatives; one of them is active.
    is_reference : bool
        True if it has no kernels of its own: the reference is all it runs, so that is no fallback.
    lower : callable, optional
        ``lower(plan, counts)``: a plan (:mod:`minicnn.core.plan`) as something faster, for each of these
        numbers of images, or :class:`Declined`.
    pooled : callable, optional
        ``pooled(shape)``: an array of float32 whose memory was used before and is kept for the next, which
        spares it the system's handing out of fresh pages.
    """

    def __init__(
        self,
        name: str,
        xp: ArrayModule,
        array_type: type,
        *,
        is_reference: bool = False,
        lower: Callable[..., Any] | None = None,
        pooled: Callable[[Shape], Any] | None = None,
    ) -> None:
        self.name = name
        self.xp = xp
        self.array_type = array_type
        self.is_reference = is_reference
        self.lower = lower
        self._pooled = pooled

    def empty(self, shape: Shape, dtype: Any) -> Any:
        """An array of undefined contents, in memory that was used before where the backend keeps some.

        Parameters
        ----------
        shape : tuple of int
        dtype : dtype

        Examples
        --------
        >>> active().empty((2, 3), np.float32).shape
        (2, 3)
        """
        if self._pooled is not None and dtype == np.float32:
            return self._pooled(shape)
        return self.xp.empty(shape, dtype)

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"


@dataclass(frozen=True, slots=True)
class Declined:
    """What an overlay returns when it cannot take a case; the reference then runs."""

    reason: str


_NO_KERNEL = "no kernel"


@dataclass(slots=True)
class Served:
    """How often an overlay served, with which algorithms, or declined, and why."""

    kernel: int = 0
    reference: int = 0
    reasons: dict[str, int] = field(default_factory=dict)  # of overlays that declined
    algorithms: dict[str, int] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """What :func:`report` says."""
        reasons = dict(self.reasons) or ({_NO_KERNEL: self.reference} if self.reference else {})
        facts = {"kernel": self.kernel, "reference": self.reference, "reasons": reasons}
        return facts | {"algorithms": dict(self.algorithms)}

    def decline(self, reason: str) -> None:
        """Count a call that the reference serves, for this reason."""
        self.reference += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


_registry: dict[str, Backend] = {}  # by name, in order of registration
serving: dict[type, Backend] = {}  # by array type: the active one
kernels: dict[str, Kernel] = {}  # by name, all kernels there are
programs: dict[str, dict[str, Served]] = {}  # of frozen models, by name and backend


def _strict_from(value: str) -> bool:
    """What ``MINICNN_STRICT`` says."""
    if value not in ("", "0", "1"):
        raise OptionError(expected="MINICNN_STRICT to be 0 or 1", got=repr(value))
    return value == "1"


_strict = _strict_from(os.environ.get("MINICNN_STRICT", ""))
_strict_here: ContextVar[bool | None] = ContextVar("strict", default=None)  # of a block, in its thread


def register_backend(backend: Backend) -> None:
    """Make a backend known. The first for an array type is active until another is chosen."""
    _registry[backend.name] = backend
    serving.setdefault(backend.array_type, backend)


def backends() -> Mapping[str, Backend]:
    """All registered backends by name."""
    return dict(_registry)


def active(array_type: type = np.ndarray) -> Backend:
    """The backend that serves arrays of this type."""
    return serving[array_type]


def backend_of(arrays: Any) -> Backend:
    """The backend that serves these operands: that of the first array among them, or in a list among them."""
    for array in arrays:
        backend = serving.get(type(array))
        if backend is not None:
            return backend
    for operand in arrays:
        if type(operand) is list and operand:
            return backend_of(operand)
    kinds = ", ".join(type(array).__name__ for array in arrays)
    raise BackendError(expected="at least one tensor or array", got=kinds or "nothing")


def set_backend(name: str) -> None:
    """Choose the backend for its array type, process-wide.

    Raises
    ------
    BackendError
        If no backend of that name is registered.
    """
    if name not in _registry:
        raise BackendError(
            expected=f"a backend out of {', '.join(_registry)}",
            got=repr(name),
            hint="`minicnn info` says why a backend is missing",
        )
    backend = _registry[name]
    serving[backend.array_type] = backend


class use_backend:  # noqa: N801 - used like a function
    """Choose a backend: for good when called, for a block when used with ``with``.

    The choice is process-wide; do not change it while other threads compute.

    Examples
    --------
    >>> import minicnn
    >>> with minicnn.use_backend("numpy"):
    ...     print(minicnn.backends.active().name)
    numpy
    """

    def __init__(self, name: str) -> None:
        array_type = _registry[name].array_type if name in _registry else np.ndarray
        self._before = serving[array_type]
        set_backend(name)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        serving[self._before.array_type] = self._before


def set_strict(strict: bool) -> None:
    """In strict mode, process-wide, a kernel that is missing or declines raises :class:`BackendError`."""
    global _strict
    _strict = bool(strict)


def require_kernel(missing: str) -> None:
    """In strict mode, refuse to go on without what is missing."""
    here = _strict_here.get()
    if _strict if here is None else here:
        raise BackendError(missing, hint="unset MINICNN_STRICT to let the reference serve it")


@contextmanager
def use_strict(strict: bool = True) -> Iterator[None]:
    """Strict mode, or none, for a block in this thread, whatever :func:`set_strict` says."""
    token = _strict_here.set(bool(strict))
    try:
        yield
    finally:
        _strict_here.reset(token)


class Kernel:
    """A pure array function with one reference and any number of overlays.

    Parameters
    ----------
    reference : callable
        ``reference(xp, *arrays, **attributes)``, array code that NumPy and CuPy both run.
    name : str
        Unique name, such as ``"conv2d"`` or ``"conv2d.backward"``.
    view : bool
        True if it only makes a view: no kernel can be faster, so the reference is no fallback.
    """

    def __init__(self, reference: Callable[..., Any], name: str, *, view: bool = False) -> None:
        if name in kernels:
            raise ValueError(f"kernel {name!r} is registered twice")
        self.reference = reference
        self.name = name
        self.view = view
        self.overlays: dict[str, Callable[..., Any]] = {}
        self.served: dict[str, Served] = {}
        kernels[name] = self

    def overlay(self, backend: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: attach a backend's kernel. Its parameters are named as the reference's; ``**attrs`` may
        stand for attributes that it passes on.
        """

        def attach(function: Callable[..., Any]) -> Callable[..., Any]:
            ours, theirs = (list(inspect.signature(f).parameters) for f in (self.reference, function))
            if ours != theirs and not _passes_on(self.reference, function):
                raise TypeError(f"{self.name} on {backend}: parameters {theirs}, expected {ours}")
            self.overlays[backend] = function
            return function

        return attach

    def run(self, backend: Backend, operands: Sequence[Any], attributes: dict[str, Any]) -> Any:
        """Call the backend's overlay, or the reference where there is none or it declines."""
        if backend.is_reference or self.view:
            return self.reference(backend.xp, *operands, **attributes)
        served = self.served.get(backend.name) or self.counts(backend.name)
        overlay = self.overlays.get(backend.name)
        reason = _NO_KERNEL
        if overlay is not None:
            result = overlay(backend.xp, *operands, **attributes)
            if type(result) is not Declined:
                served.kernel += 1
                return result
            reason = result.reason
            served.decline(reason)
        else:
            served.reference += 1
        require_kernel(f"the {backend.name} backend does not serve {self.name}: {reason}")
        return self.reference(backend.xp, *operands, **attributes)

    def counts(self, backend: str) -> Served:
        """What is counted of a backend's calls."""
        return self.served.setdefault(backend, Served())

    def count_algorithm(self, backend: str, algorithm: str) -> None:
        """For overlays that choose among some: which one served."""
        algorithms = (self.served.get(backend) or self.counts(backend)).algorithms
        algorithms[algorithm] = algorithms.get(algorithm, 0) + 1

    def __call__(self, *operands: Any, **attributes: Any) -> Any:
        """Run on arrays, on the backend that serves them."""
        return self.run(backend_of(operands), operands, attributes)


def _passes_on(reference: Callable[..., Any], function: Callable[..., Any]) -> bool:
    """Whether a function has the reference's operands, and ``**attrs`` for some of its attributes."""
    ours, theirs = (inspect.signature(f).parameters.values() for f in (reference, function))
    operands, same = (
        [p.name for p in group if p.kind is p.POSITIONAL_OR_KEYWORD] for group in (ours, theirs)
    )
    attributes, named = ({p.name for p in group if p.kind is p.KEYWORD_ONLY} for group in (ours, theirs))
    return operands == same and named <= attributes and any(p.kind is p.VAR_KEYWORD for p in theirs)


def kernel(function: Callable[..., Any]) -> Kernel:
    """Decorator: a kernel without a derivative, under the function's own name and docstring."""
    made = Kernel(function, function.__name__)
    functools.update_wrapper(made, function)
    return made


def program_counts(name: str, backend: str) -> tuple[str, Served]:
    """A new row of :func:`report`, for the calls of a frozen model: its name, numbered if need be; counts."""
    served = Served()
    for number in itertools.count(1):
        row, counts = name if number == 1 else f"{name} #{number}", {backend: served}
        if programs.setdefault(row, counts) is counts:
            return row, served
    raise AssertionError("there is always another number")


def _counted() -> dict[str, dict[str, Served]]:
    """All counts there are, by name and backend."""
    return {name: entry.served for name, entry in kernels.items()} | programs


def report() -> dict[str, dict[str, dict[str, Any]]]:
    """Which code served which calls, since the start or :func:`reset_report`: docs/serving.md.

    Returns
    -------
    dict
        ``report()[kernel][backend]`` has ``kernel`` and ``reference`` (numbers of calls served by
        each), ``reasons`` (why the reference served, with counts) and ``algorithms`` (which ones served,
        with counts, of kernels that choose: a convolution's backward pass counts each gradient). The numpy
        backend is its own reference and is not counted. Calls of a frozen model stand under its ``name``,
        those that ran operation by operation as ``reference``.

    Examples
    --------
    >>> import minicnn
    >>> reset_report()
    >>> y = minicnn.ones(2).sin()
    >>> [facts["reference"] for facts in report().get("sin", {}).values()] in ([], [1])
    True
    """
    return {
        name: {backend: s.facts() for backend, s in served.items()}
        for name, served in _counted().items()
        if any(s.kernel or s.reference for s in served.values())
    }


def reset_report() -> None:
    """Let :func:`report` begin anew."""
    for served in _counted().values():
        for counts in served.values():
            counts.kernel = counts.reference = 0
            counts.reasons.clear()
            counts.algorithms.clear()


register_backend(Backend("numpy", np, np.ndarray, is_reference=True))
