"""Compiled kernels against the oracles: every overlay alone, on every call that the table makes.

An overlay is judged with all others of its backend taken away, so that forward and backward are judged
separately: a forward kernel by the oracle, and by the reference's backward on what it saved; a backward
kernel on what the reference saved.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from minicnn.core import dispatch, random
from minicnn.core.device import move
from minicnn.core.dispatch import Declined, Kernel, use_backend
from minicnn.testing.guard import available, guarded
from minicnn.testing.judge import Truth, incoming, integers, judged
from minicnn.testing.layouts import LAYOUTS
from minicnn.testing.spec import OpCase, Sample
from minicnn.testing.special import VALUES, may_decline, operands_of, places, special
from minicnn.testing.trial import CaseReport, Trial, describe

__all__ = ["KernelReport", "check_kernel", "reached"]

DTYPES = (np.float32, np.float64)
TENSOR_LAYOUTS = [name for name in LAYOUTS if name != "big_endian"]  # a tensor's numbers are native
MOST_TRUTHS = 1000  # to remember; those of the kernels of one operation


@dataclass
class KernelReport:
    """What the comparison of one overlay found; true if it served some call and all was right.

    Attributes
    ----------
    name, backend : str
    served : int
        Calls that the kernel took.
    special : int
        Calls with special values that it took besides; see :mod:`minicnn.testing.special`.
    reasons : set of str
        Why it declined others.
    failures : list of str
    """

    name: str
    backend: str
    served: int = 0
    special: int = 0
    reasons: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        verdict = "ok" if self else "FAILED"
        return "\n  ".join([f"{self.name} on {self.backend}: {verdict}, {self.served} calls", *self.failures])


class Spy:
    """In the kernel's place: calls it, and notes what no comparison of numbers shows."""

    def __init__(self, kernel: Kernel, overlay: Callable[..., Any], report: KernelReport) -> None:
        self.kernel = kernel
        self.overlay = overlay
        self.report = report

    def __call__(self, xp: Any, *operands: Any, **attributes: Any) -> Any:
        before = [move(a, "cpu").tobytes() for a in leaves(operands)]
        result = self.overlay(xp, *operands, **attributes)
        if before != [move(a, "cpu").tobytes() for a in leaves(operands)]:
            self.fail("an operand was changed")
        if isinstance(result, Declined):
            self.report.reasons.add(result.reason)
            if not result.reason:
                self.fail("it declined without a reason")
            return result
        self.report.served += 1
        right = self.kernel.reference(xp, *operands, **attributes)
        kinds = [[(a.dtype, a.shape) for a in leaves(r)] for r in (result, right)]
        if kinds[0] != kinds[1]:
            self.fail(f"it gives and saves {kinds[0]}, the reference {kinds[1]}")
        return result

    def fail(self, text: str) -> None:
        if text not in self.report.failures:
            self.report.failures.append(text)


def leaves(value: Any) -> list[Any]:
    """All arrays in nested tuples."""
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in leaves(item)]
    return [value] if hasattr(value, "dtype") and hasattr(value, "shape") else []


class Guarded:
    """A module (NumPy, the extension) for a kernel's wrapper, whose new arrays end where memory ends."""

    def __init__(self, module: Any, end: str) -> None:
        self.module = module
        self.end = end

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.module, name)
        if name not in ("empty", "zeros", "empty_like", "zeros_like"):
            return function
        return lambda *args, **kwargs: guarded(function(*args, **kwargs), self.end)


def reached(case: OpCase, backend: str, samples: Sequence[Sample]) -> set[str]:
    """The names of the kernels that a row's calls go through on a backend."""
    before = {name: all_calls(kernel, backend) for name, kernel in dispatch.kernels.items()}
    with use_backend(backend), np.errstate(all="ignore"):
        for sample in samples:
            trial = Trial(case, sample, place_of(backend), CaseReport(case.name, 1))
            operands = trial.operands(np.float32)
            trial.numbers(operands, ones(trial.call(operands)[0]))
    return {name for name, kernel in dispatch.kernels.items() if all_calls(kernel, backend) != before[name]}


def all_calls(kernel: Kernel, backend: str) -> int:
    served = kernel.served.get(backend)
    return 0 if served is None else served.kernel + served.reference


def place_of(backend: str) -> str:
    return "cpu" if dispatch.backends()[backend].array_type is np.ndarray else "cuda"


def ones(results: Sequence[Any]) -> list[Any]:
    """Incoming gradients of 1."""
    return [r.array * 0 + 1 if r.dtype.kind == "f" else None for r in results]


def check_kernel(name: str, backend: str, rows: Sequence[OpCase], *, seed: int = 0) -> KernelReport:
    """Compare one overlay with the oracles of the rows, in each dtype that it takes.

    Parameters
    ----------
    name : str
        Of the kernel, such as ``"relu"`` or ``"relu.backward"``.
    backend : str
    rows : sequence of OpCase
        The rows that reach it; see :func:`reached`.
    seed : int
        Chooses the samples' numbers.

    Returns
    -------
    KernelReport
        On small integers, rows that are ``exact`` must be equal to the last bit; on normal numbers, at
        several scales, all within the bounds of :mod:`minicnn.testing.tolerance`. The rows' samples and
        ``tails`` are taken, in plain layout, in random ones and between guard pages, and in float32 with
        the values of :mod:`minicnn.testing.special`.
    """
    report = KernelReport(name, backend)
    for case in rows:
        trials, samples = trials_of(case, place_of(backend), seed)
        with np.errstate(all="ignore"):
            for dtype in DTYPES:
                served = check_numbers(report, trials, samples, dtype)
                if dtype == np.float32 and served:
                    check_special(report, trials, served)
    if not report.served:
        report.failures.append("no row makes a call that it serves; list one in the row's samples or tails")
    elif not report.special:
        report.failures.append("no call that it serves was made with NaN, infinities and the like")
    return report


@functools.lru_cache(maxsize=64)
def trials_of(case: OpCase, place: str, seed: int) -> tuple[list[Trial], int]:
    """A row's samples and tails on a device, the same for each kernel; and how many of them are samples."""
    rng = random.new_generator(seed)
    samples = list(case.samples(rng))
    tails = case.tails(rng) if case.tails else ()
    trials = [Trial(case, sample, place, CaseReport(case.name, 1)) for sample in (*samples, *tails)]
    return trials, len(samples)


def check_numbers(report: KernelReport, trials: list[Trial], samples: int, dtype: Any) -> dict[Trial, int]:
    """Compare the kernel on all numbers but special ones; gives how many calls of each trial it serves."""
    run = on_backend(report.backend, dtype)
    with alone(report.name, report.backend, partial(Spy, report=report)) as spy:
        served = {trial: calls_served(report, trial, dtype) for trial in trials}
        for number, trial in enumerate(trials):
            if served[trial]:
                prefix = f"{trial.case.name}, sample {number} {describe(trial.sample)}, {np.dtype(dtype)}, "
                texts = compared(trial, spy.overlay, run, number, number < samples)
                report.failures += [prefix + text for text in texts]
    return {trial: count for trial, count in served.items() if count}


def calls_served(report: KernelReport, trial: Trial, dtype: Any) -> int:
    """How many calls a trial makes that the kernel takes in this dtype."""
    operands = trial.operands(dtype)
    gys = incoming(trial, operands)
    before = count(report)
    with use_backend(report.backend):
        trial.numbers(operands, gys)
    return count(report) - before


def count(report: KernelReport) -> int:
    """How many calls the kernel itself has served."""
    return dispatch.kernels[report.name].counts(report.backend).kernel


def check_special(report: KernelReport, trials: list[Trial], served: dict[Trial, int]) -> None:
    """Compare the kernel on special values: it serves them as it serves others, each in each operand."""
    case = trials[0].case
    tried = set()
    with alone(report.name, report.backend):
        for trial, place in places(list(served)):
            before = count(report)
            texts = list(special(trial, report.backend, place))
            taken = count(report) - before
            if taken < served[trial] and not may_decline(trial, place):
                texts.append(f"{place}: declined, though the call is served with other numbers")
            report.special += taken
            tried.add((place.operand, place.name))
            report.failures += [f"{case.name} {describe(trial.sample)}, {text}" for text in texts]
    operands = sorted({operand for trial in trials for operand in operands_of(trial)})
    untried = [
        f"{value} in {operand}" for operand in operands for value in VALUES if (operand, value) not in tried
    ]
    if untried:
        report.failures.append(f"{case.name}: no call that it serves was made with {', '.join(untried)}")


@contextmanager
def alone(
    name: str, backend: str, replaced: Callable[[Kernel, Callable[..., Any]], Any] | None = None
) -> Iterator[Any]:
    """The backend with this overlay only, or with what ``replaced`` makes of it."""
    tables = {key: dict(kernel.overlays) for key, kernel in dispatch.kernels.items()}
    overlay = tables[name][backend]
    for kernel in dispatch.kernels.values():
        kernel.overlays.pop(backend, None)
    kernel = dispatch.kernels[name]
    kernel.overlays[backend] = overlay if replaced is None else replaced(kernel, overlay)
    try:
        yield kernel.overlays[backend]
    finally:
        for key, table in tables.items():
            dispatch.kernels[key].overlays.clear()
            dispatch.kernels[key].overlays.update(table)


def compared(
    trial: Trial, overlay: Callable[..., Any], run: Callable[..., Iterator[str]], seed: int, scales: bool
) -> Iterator[str]:
    """A sentence for each way in which the kernel is wrong on this sample.

    ``run(trial, layouts, **how)`` judges one call.
    """
    plain = [LAYOUTS["contiguous"]] * (len(trial.sample.inputs) + 1)
    if trial.case.exact:
        yield from (f"integers: {text}" for text in run(integers(trial), plain, exact=True))
    for draw in trial.scaled() if scales else [trial]:
        yield from (draw.sized() + text for text in run(draw, plain))
    rng = random.new_generator(seed)
    for names in zip(*(rng.permutation(TENSOR_LAYOUTS) for _ in plain), strict=True):
        texts = run(trial, [LAYOUTS[name] for name in names])
        yield from (f"{', '.join(names)}: {text}" for text in texts)
    if available() and trial.place == "cpu":
        for end in ("start", "end"):
            with guarded_outputs(overlay, end):
                texts = run(trial, [partial(in_guard, end)] * len(plain))
                yield from (f"guarded {end}: {text}" for text in texts)


def in_guard(end: str, xp: Any, a: np.ndarray) -> np.ndarray:
    return guarded(a, end)


def on_backend(backend: str, dtype: Any) -> Callable[..., Iterator[str]]:
    """What judges one call on a backend, in this dtype."""

    def run(trial: Trial, layouts: Sequence[Any], *, exact: bool = False) -> Iterator[str]:
        xp = dispatch.backends()[backend].xp
        operands = trial.operands(dtype)
        gys = incoming(trial, operands, whole=exact)
        *of_operands, of_gradients = layouts
        pairs = zip(of_operands, operands, strict=True)
        laid = [layout(xp, a) if hasattr(a, "dtype") else a for layout, a in pairs]
        laid_gys = [None if gy is None else of_gradients(xp, gy) for gy in gys]
        with use_backend(backend):
            if layouts[0] is not LAYOUTS["contiguous"] and same_bits(trial, xp, laid, laid_gys):
                return  # as on contiguous operands, which are judged elsewhere
            yield from judged(trial, laid, laid_gys, dtype, exact=exact, truth=remembered)

    return run


def remembered(trial: Trial, gys: list[Any], dtype: Any, exact: bool) -> Truth:
    """The truth about these numbers, which the forward and the backward kernel and several draws share."""
    numbers = tuple(
        (a.shape, a.dtype.str, a.tobytes()) if isinstance(a, np.ndarray) else repr(a)
        for a in (*trial.sample.inputs, *gys)
    )
    key = (trial.case, repr(trial.sample.attrs), numbers, np.dtype(dtype), exact)
    if key not in _truths:
        if len(_truths) == MOST_TRUTHS:
            del _truths[next(iter(_truths))]
        _truths[key] = Truth(trial, gys, dtype, exact)
    return _truths[key]


_truths: dict[Any, Truth] = {}


def same_bits(trial: Trial, xp: Any, operands: list[Any], gys: list[Any]) -> bool:
    """Whether results and gradients are those of C-contiguous copies, bit for bit."""
    plain = (
        [LAYOUTS["contiguous"](xp, a) if hasattr(a, "dtype") else a for a in arrays]
        for arrays in (operands, gys)
    )
    (a, ga), (b, gb) = trial.numbers(operands, gys), trial.numbers(*plain)
    pairs = zip([*a, *ga.values()], [*b, *gb.values()], strict=True)
    return all(x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in pairs)


@contextmanager
def guarded_outputs(overlay: Callable[..., Any], end: str) -> Iterator[None]:
    """Arrays that the module of a kernel's wrapper makes meanwhile lie between guard pages."""
    names = getattr(overlay, "__globals__", {})
    before = {name: names[name] for name in ("np", "_native") if name in names}
    names.update({name: Guarded(module, end) for name, module in before.items()})
    try:
        yield
    finally:
        names.update(before)
