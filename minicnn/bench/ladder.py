"""The ways to compute a pass of an operation, from literal loops to compiled kernels.

A compiled kernel that chooses among several algorithms can let them be measured one by one: its overlay
function then has the attribute ``algorithms``, a dict of functions by name, each with the overlay's own
parameters. One that needs fewer multiplications than the formula says so by its attribute ``saving`` (4.0
for Winograd's F(4x4, 3x3)).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn import backends
from minicnn.bench.cases import PRODUCTS, UPDATES, Case, Work, leaves, work_of
from minicnn.bench.roof import serving_level
from minicnn.core.dispatch import Declined, Kernel, kernels
from minicnn.core.op import ops
from minicnn.errors import MiniCNNError
from minicnn.ops import windows as geometry
from minicnn.testing import op_registry
from minicnn.typing import Shape

__all__ = ["Candidate", "Pass", "pass_names", "passes"]

_EINSUM_LIMIT = 2e9  # multiply-adds: it does about one in a nanosecond


@dataclass(frozen=True)
class Candidate:
    """One way to compute a pass.

    Attributes
    ----------
    run : callable
        Computes it and waits for the result; returns that, or :class:`Declined`.
    saving : float
        It may do so many times fewer multiplications than the formula says.
    seconds : float or None
        The time where it is extrapolated, not measured: literal loops.
    xp : module
        Whose arrays it computes with.
    level : str or None
        The CPU level it is compiled for, under whose roof it stands; None: what the machine has.
    """

    run: Callable[[], Any]
    saving: float = 1.0
    seconds: float | None = None
    xp: Any = np
    level: str | None = None


@dataclass
class Pass:
    """One pass of a case: its work, the ways to compute it, and what comes out in float64."""

    case: Case
    name: str
    work: Work
    truth: list[Any]
    candidates: dict[str, Candidate] = field(default_factory=dict)


def passes(case: Case, wanted: str | None = None) -> Iterator[Pass]:
    """The passes of a case: "forward", and "backward" or both of "backward-data" and "backward-weights".

    Parameters
    ----------
    wanted : str, optional
        The only one to make.
    """
    for name in pass_names(case):
        if wanted not in (None, name):
            continue
        if name == "update":
            yield _update(case)
        elif name == "forward":
            yield _forward(case)
        else:
            yield _backward(case, name, _needs(case)[name])


def pass_names(case: Case) -> tuple[str, ...]:
    """What passes a case has."""
    return ("update",) if case.op in UPDATES else ("forward", *_needs(case))


def _needs(case: Case) -> dict[str, tuple[bool, ...]]:
    """By name of a backward pass: of which operands it makes the gradients."""
    if case.op == "matmul":
        return {"backward-data": (True, False), "backward-weights": (False, True)}
    if case.op in PRODUCTS:
        return {"backward-data": (True, False, False), "backward-weights": (False, True, True)}
    if case.op == "cross_entropy":
        return {"backward": (True, False)}
    return {"backward": (True,) * len(case.operands())}


def _forward(case: Case) -> Pass:
    kernel, operands, attrs = ops[case.op].forward_kernel, case.operands(), case.full_attrs()
    y, saved = kernel.reference(np, *operands, **attrs)
    own = [array for array in leaves(saved) if not _among(array, [y, *leaves(operands)])]
    (truth, _) = kernel.reference(np, *map(_double, operands), **attrs)
    made = Pass(case, "forward", work_of(case, y.shape, operands, [y, own]), [np.asarray(truth)])
    if case.op == "conv2d":
        made.candidates |= _teaching(case, operands, None, made)
    made.candidates |= _candidates(case, kernel, operands, attrs, lambda result: [result[0]])
    return made


def _backward(case: Case, name: str, needs: tuple[bool, ...]) -> Pass:
    op, operands, attrs = ops[case.op], case.operands(), case.full_attrs()
    assert op.backward_kernel is not None
    y, saved = op.forward_kernel.reference(np, *operands, **attrs)
    gy = np.asarray(np.random.default_rng(1).standard_normal(y.shape, dtype=np.float32))
    _, exact = op.forward_kernel.reference(np, *map(_double, operands), **attrs)
    truth = op.backward_kernel.reference(np, _double(gy), exact, needs, **attrs)
    results = leaves(truth)
    used = saved if case.op not in PRODUCTS else saved[1] if needs[0] else saved[0]
    gradients = [operand for operand, needed in zip(operands, needs, strict=True) if needed]
    made = Pass(case, name, work_of(case, y.shape, [gy, used], gradients), results)
    if case.op == "conv2d":
        made.candidates |= _teaching(case, operands, gy, made)
    made.candidates |= _candidates(case, op.backward_kernel, [gy, saved, needs], attrs, leaves)
    return made


def _update(case: Case) -> Pass:
    kernel, operands, attrs = kernels[case.op], case.operands(), case.full_attrs()
    exact = [_double(operand) for operand in operands]
    kernel.reference(np, *exact, **attrs)
    changed = [array for i, array in enumerate(operands) if array is not None and i != 1]  # 1: the gradient
    work = work_of(case, (), [array for array in operands if array is not None], changed)
    made = Pass(case, "update", work, exact[0])
    made.candidates |= _candidates(case, kernel, operands, attrs, None)
    return made


def _candidates(
    case: Case, kernel: Kernel, arguments: list[Any], attrs: dict[str, Any], results: Any
) -> dict[str, Candidate]:
    """The reference, and every backend's kernel with its algorithms."""
    name = "im2col + GEMM (reference)" if case.op == "conv2d" else "reference"
    found = {name: Candidate(_call(kernel.reference, np, arguments, attrs, results))}
    for backend in backends.names():
        if backend == "numpy" or backends.unavailable(backend) is not None:
            continue
        loaded = backends.load(backend)
        moved = _moved(arguments, loaded.xp)
        if loaded.is_reference:
            run = _call(kernel.reference, loaded.xp, moved, attrs, results)
            found[f"{backend} (reference)"] = Candidate(run, xp=loaded.xp)
        elif overlay := kernel.overlays.get(backend):
            functions = {backend: overlay}
            functions |= {f"{backend}: {n}": f for n, f in getattr(overlay, "algorithms", {}).items()}
            for label, function in functions.items():
                saving = getattr(function, "saving", None) or _possible_saving(case)
                run = _call(function, loaded.xp, moved, attrs, results)
                level = serving_level() if backend == "native" else None
                found[label] = Candidate(run, saving, xp=loaded.xp, level=level)
    return found


def _possible_saving(case: Case) -> float:
    """How many times fewer multiplications a kernel that does not tell may do: Winograd's 36 for 144."""
    attrs = case.full_attrs()
    steps = (attrs.get("stride"), attrs.get("dilation"))
    plain = case.op == "conv2d" and (case.weight or ())[2:] == (3, 3) and steps == ((1, 1), (1, 1))
    return 4.0 if plain else 1.0


def _call(
    function: Callable[..., Any], xp: Any, arguments: list[Any], attrs: dict[str, Any], results: Any
) -> Callable[[], Any]:
    """A call that returns the results to compare, or Declined; updates work on copies of their own."""
    if results is None:
        arguments = [arrays and [array.copy() for array in arrays] for arrays in arguments]
    wait = xp.cuda.runtime.deviceSynchronize if hasattr(xp, "cuda") else None

    def call() -> Any:
        result = function(xp, *arguments, **attrs)
        if wait is not None:
            wait()
        if type(result) is Declined:
            return result
        return arguments[0] if results is None else results(result)

    return call


def _moved(value: Any, xp: Any) -> Any:
    """The arguments as arrays of another module."""
    if isinstance(value, (list, tuple)) and leaves(value):
        return type(value)(_moved(item, xp) for item in value)
    return xp.asarray(value) if hasattr(value, "nbytes") and xp is not np else value


def _double(array: Any) -> Any:
    if isinstance(array, list):
        return [_double(item) for item in array]
    return array.astype(np.float64) if array is not None and array.dtype == np.float32 else array


def _among(array: Any, others: list[Any]) -> bool:
    return any(np.may_share_memory(array, other) for other in others)


# -- convolution as one teaches it ---------------------------------------------------------------


def _teaching(case: Case, operands: list[Any], gy: Any, made: Pass) -> dict[str, Candidate]:
    """Literal loops, their time extrapolated from a small convolution; and one einsum over all windows."""
    multiply_adds = made.work.operations / 2
    seconds = _loops_second_per_multiply_add() * multiply_adds
    found = {"loops (oracle)": Candidate(lambda: None, seconds=seconds)}
    if multiply_adds <= _EINSUM_LIMIT:
        found["einsum over windows"] = Candidate(lambda: _einsum(case, operands, gy, made.name))
    return found


_loops_seconds: list[float] = []


def _loops_second_per_multiply_add() -> float:
    """Of the oracle, on a convolution of 8 x 8 pixels; the same for all three passes and all shapes."""
    if not _loops_seconds:
        x, w = np.ones((1, 2, 8, 8), np.float32), np.ones((4, 2, 3, 3), np.float32)
        start = time.perf_counter()
        y = op_registry()["conv2d"].oracle(x, w)
        _loops_seconds.append((time.perf_counter() - start) / (y.size * math.prod(w.shape[1:])))
    return _loops_seconds[0]


def _einsum(case: Case, operands: list[Any], gy: Any, name: str) -> list[Any]:
    """The pass of a convolution as one sum over all windows, seen as (N, G, C/G, OH, OW, KH, KW)."""
    x, w, b = operands
    attrs = case.full_attrs()
    groups, stride, dilation = attrs["groups"], attrs["stride"], attrs["dilation"]
    padded = geometry.pad(np, x, attrs["padding"])
    size = geometry.output_sizes(padded.shape, w.shape[2:], stride, ((0, 0), (0, 0)), dilation)
    view = geometry.windows(np, padded, w.shape[2:], size, stride, dilation)
    view = _grouped(view, 1, groups)
    weight = w.reshape(groups, len(w) // groups, *w.shape[1:])
    if name == "forward":
        y = np.einsum("ngcijpq,gocpq->ngoij", view, weight)
        return [y.reshape(len(x), len(w), *size) + b[:, None, None]]
    gradient = _grouped(gy, 1, groups)
    if name == "backward-weights":
        gw = np.einsum("ngoij,ngcijpq->gocpq", gradient, view)
        return [gw.reshape(w.shape), gy.sum((0, 2, 3))]
    per_window = np.einsum("ngoij,gocpq->ngcijpq", gradient, weight)
    gx = np.zeros_like(padded)
    to = _grouped(geometry.windows(np, gx, w.shape[2:], size, stride, dilation), 1, groups)
    for p, q in geometry.taps(w.shape[2:]):
        to[..., p, q] += per_window[..., p, q]
    return [geometry.crop(np, gx, attrs["padding"])]


def _grouped(array: Any, axis: int, groups: int) -> Any:
    """A view with that axis, of channels, split into groups."""
    shape: Shape = array.shape
    split = (groups, shape[axis] // groups)
    strides = array.strides
    return np.lib.stride_tricks.as_strided(
        array,
        (*shape[:axis], *split, *shape[axis + 1 :]),
        (*strides[:axis], strides[axis] * split[1], *strides[axis:]),
    )


def errors(candidate: Candidate, truth: list[Any]) -> dict[str, Any]:
    """How far a candidate's results are from float64, or why it has none.

    Returns
    -------
    dict
        ``error_rms`` and ``error_max``: the relative root mean square, and the largest difference over the
        largest value, of the worst result; else the reason in ``refused`` if it failed, in ``declined`` if
        it does not take the case.
    """
    try:
        results = candidate.run()
    except (MiniCNNError, MemoryError) as error:
        return {"refused": f"failed: {error}"}
    if type(results) is Declined:
        return {"declined": results.reason}
    worst = (0.0, 0.0)
    for result, exact in zip(results, truth, strict=True):
        got = result.get() if hasattr(result, "get") else np.asarray(result)
        difference = np.abs(got.astype(np.float64) - exact)
        rms = math.sqrt(np.mean(difference**2) / max(np.mean(exact**2), 1e-300))
        largest = float(difference.max() / max(np.abs(exact).max(), 1e-300))
        worst = (max(worst[0], rms), max(worst[1], largest))
    return {"error_rms": worst[0], "error_max": worst[1]}
