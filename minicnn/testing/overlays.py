"""Compiled kernels against the oracles: every overlay alone, on every call that the table makes.

An overlay is judged with all others of its backend taken away, so that forward and backward are judged
separately: a forward kernel by the oracle, and by the reference's backward on what it saved; a backward
kernel on what the reference saved.
"""

from __future__ import annotations

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
from minicnn.testing.judge import incoming, integers, judged
from minicnn.testing.layouts import LAYOUTS
from minicnn.testing.spec import OpCase, Sample
from minicnn.testing.special import special
from minicnn.testing.trial import CaseReport, Trial, describe

__all__ = ["KernelReport", "check_kernel", "reached"]

DTYPES = (np.float32, np.float64)
TENSOR_LAYOUTS = [name for name in LAYOUTS if name != "big_endian"]  # a tensor's numbers are native


@dataclass
class KernelReport:
    """What the comparison of one overlay found; true if it served some call and all was right.

    Attributes
    ----------
    name, backend : str
    served : int
        Calls that the kernel took.
    special : int
        Calls with special values besides; see :mod:`minicnn.testing.special`.
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
    count = {name: calls(kernel, backend) for name, kernel in dispatch.kernels.items()}
    with use_backend(backend), np.errstate(all="ignore"):
        for sample in samples:
            trial = Trial(case, sample, place_of(backend), CaseReport(case.name, 1))
            operands = trial.operands(np.float32)
            trial.numbers(operands, ones(trial.call(operands)[0]))
    return {name for name, kernel in dispatch.kernels.items() if calls(kernel, backend) != count.get(name, 0)}


def calls(kernel: Kernel, backend: str) -> int:
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
        rng = random.new_generator(seed)
        samples = case.samples(rng)
        for number, sample in enumerate([*samples, *(case.tails(rng) if case.tails else ())]):
            trial = Trial(case, sample, place_of(backend), CaseReport(case.name, 1))
            for dtype in DTYPES:
                prefix = f"{case.name}, sample {number} {describe(sample)}, {np.dtype(dtype)}, "
                run = on_backend(backend, dtype)
                with alone(name, backend, report) as overlay, np.errstate(all="ignore"):
                    before = report.served
                    list(run(trial, [LAYOUTS["contiguous"]] * (len(sample.inputs) + 1)))
                    if report.served > before:  # it takes this dtype
                        report.failures += [
                            prefix + text
                            for text in compared(trial, overlay, run, number, number < len(samples))
                        ]
                        if dtype == np.float32:
                            dispatch.kernels[name].overlays[backend] = (
                                overlay  # the spy would compute all twice
                            )
                            before = calls(dispatch.kernels[name], backend)
                            report.failures += [
                                prefix + text for text in special(trial, backend, turn=number)
                            ]
                            report.special += calls(dispatch.kernels[name], backend) - before
    if not report.served:
        report.failures.append("no row makes a call that it serves; list one in the row's samples or tails")
    elif not report.special:
        report.failures.append("no call that it serves was made with NaN, infinities and the like")
    return report


@contextmanager
def alone(name: str, backend: str, report: KernelReport) -> Iterator[Callable[..., Any]]:
    """The backend with this overlay only, and a spy in its place."""
    tables = {key: dict(kernel.overlays) for key, kernel in dispatch.kernels.items()}
    overlay = tables[name][backend]
    for key, kernel in dispatch.kernels.items():
        if key != name:
            kernel.overlays.pop(backend, None)
    dispatch.kernels[name].overlays[backend] = Spy(dispatch.kernels[name], overlay, report)
    try:
        yield overlay
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
            yield from judged(trial, laid, laid_gys, dtype, exact=exact)

    return run


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
