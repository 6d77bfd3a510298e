"""The ladder measured: all ways to compute each pass, in turn, beside the roof of this machine."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.bench import judge
from minicnn.bench.cases import Case
from minicnn.bench.ladder import Candidate, Pass, errors, passes
from minicnn.bench.roof import Roof, home, serving_level
from minicnn.bench.steps import clock

try:
    import minicnn._native as _native
except ImportError:
    _native = None

__all__ = ["measure_case", "measure_pass"]

_SAMPLE = 1e-3  # seconds that one timing takes at least
_SHORT = 0.02  # seconds: below it one more call costs little
_LEAST = 5  # timings of a candidate, unless it is very slow
ATTEMPTS = 3  # until the machine is quiet
_SLOW = 1.0  # seconds: a candidate that takes longer is timed once or twice
_LOOK = 1.0  # seconds: whether the machine is busy is looked at as often

Wait = Callable[[], None]


def measure_case(
    case: Case, budget: float, force: bool, wanted: str | None = None, wait: Wait = lambda: None
) -> Iterator[dict[str, Any]]:
    """The rows of every pass of a case; see :func:`measure_pass`."""
    for made in passes(case, wanted):
        yield measure_pass(made, budget, force, wait)


def measure_pass(made: Pass, budget: float, force: bool, wait: Wait = lambda: None) -> dict[str, Any]:
    """Time all candidates of a pass in turn.

    Parameters
    ----------
    made : Pass
    budget : float
        Seconds to time each candidate for.
    force : bool
        Keep what was measured on a busy machine, and mark it.
    wait : callable
        Called when the machine was busy, before all is timed again.

    Returns
    -------
    dict
        The pass with its work, what the machine did, and "candidates": a list of dicts. A candidate has
        either figures (``median_s``, ``gflops``, ...) or a reason why it has none: in ``declined`` if the
        kernel does not take the case, else in ``refused``.
    """
    exact = {name: errors(c, made.truth) for name, c in made.candidates.items() if c.seconds is None}
    running = {name: made.candidates[name] for name, found in exact.items() if "error_rms" in found}
    scratch = {name: scratch_of(made, candidate) for name, candidate in running.items()}
    roofs = {_under(c): Roof(made.work.moved, c.xp, c.level) for c in running.values()}
    for attempt in range(1 if force else ATTEMPTS):
        if attempt:
            wait()
        times, used = race(running, list(roofs.values()), budget, whatever=force)
        reason = judge.busy(used.other_cpus)
        if reason is None:
            break
    rows = []
    for name, candidate in made.candidates.items():
        row: dict[str, Any] = {"name": name, "extrapolated": candidate.seconds is not None}
        if name in exact and name not in running:
            row |= exact[name]
        elif candidate.seconds is not None:
            row |= {"median_s": candidate.seconds, **rates(made, candidate.seconds)}
        elif reason and not force:
            row["refused"] = reason
        else:
            roof = roofs[_under(candidate)]
            row |= figures(made, candidate, clock.spread(times[name]), roof)
            if "refused" not in row:
                row |= {"scratch_bytes": scratch[name], **exact[name]}
        rows.append(row)
    work = made.work
    return {
        "op": made.case.op,
        "case": made.case.label(),
        "pass": made.name,
        "operations": work.operations,
        "bytes": work.moved,
        "intensity": work.intensity,
        "data_in": home(work.moved),
        "own_cpus": used.own_cpus,
        "other_cpus": used.other_cpus,
        "busy": bool(reason),
        "roof": _facts(made, roofs.get((id(np), serving_level())) or roofs.get((id(np), None))),
        "candidates": rows,
    }


def _under(candidate: Candidate) -> tuple[int, str | None]:
    """Which roof a candidate stands under."""
    return id(candidate.xp), candidate.level


def figures(made: Pass, candidate: Candidate, times: clock.Spread, roof: Roof) -> dict[str, Any]:
    """What is told of a candidate: its figures, or that they cannot be.

    The fraction of the roof is that of the formula's arithmetic; an algorithm that does with fewer
    multiplications may have more than all of it, by its saving and no further.
    """
    work = made.work
    possible = roof.seconds(work.operations / candidate.saving, work.read, work.written)
    refused = judge.above_roof(possible / times.median) if roof.hard else None
    if refused:
        return {"refused": refused}
    bound = roof.seconds(work.operations, work.read, work.written)
    return {
        "median_s": times.median,
        "q1_s": times.q1,
        "q3_s": times.q3,
        "min_s": times.minimum,
        "repeats": times.count,
        "roof_fraction": bound / times.median,
        "roof_level": roof.level,
        **rates(made, times.median),
    }


def rates(made: Pass, seconds: float) -> dict[str, float]:
    """Operations and bytes a second, in thousands of millions."""
    return {"gflops": made.work.operations / seconds / 1e9, "gbytes_per_s": made.work.moved / seconds / 1e9}


def _facts(made: Pass, roof: Roof | None) -> dict[str, Any]:
    """The roof of a pass, and the time below which it cannot get."""
    if roof is None:
        return {}
    return {
        "level": roof.level,
        "seconds": roof.seconds(made.work.operations, made.work.read, made.work.written),
        "peak_gflops": roof.peak / 1e9,
        "copy_gbytes_per_s": roof.copy / 1e9,
        "measured_by": roof.describe(),
    }


def race(
    candidates: dict[str, Candidate], roofs: list[Roof], budget: float, whatever: bool = True
) -> tuple[dict[str, list[float]], clock.Usage]:
    """Time candidates and roofs in rounds, so that the machine's changes of speed hit all alike.

    Parameters
    ----------
    whatever : bool
        Go on though the machine is busy.

    Returns
    -------
    dict, Usage
        Seconds of one call, for each timing; and what the machine did meanwhile.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    spent = dict.fromkeys(candidates, 0.0)
    with clock.quiet():
        calls = {name: _calls(candidate) for name, candidate in candidates.items()}
        before = clock.snapshot()
        due = time.perf_counter() + _LOOK
        active = list(candidates)
        while active:
            for roof in roofs:
                roof.sample()
            for name in active:
                run, count = candidates[name].run, calls[name]
                if not times[name] or times[name][-1] < _SHORT:
                    run()  # what ran before may have left its numbers outside the caches
                start = time.perf_counter()
                for _ in range(count):
                    run()
                seconds = time.perf_counter() - start
                times[name].append(seconds / count)
                spent[name] += seconds
            active = [name for name in active if _goes_on(times[name], spent[name], budget)]
            if active and not whatever and time.perf_counter() > due:
                due = time.perf_counter() + _LOOK
                used = clock.usage(before, clock.snapshot())
                if judge.busy(used.other_cpus):
                    return times, used
        return times, clock.usage(before, clock.snapshot())


def _goes_on(times: list[float], spent: float, budget: float) -> bool:
    least = _LEAST if times[-1] < _SLOW else 1
    return spent < budget or len(times) < least


def _calls(candidate: Candidate) -> int:
    """Warm up, and find how many calls one timing needs."""
    candidate.run()
    start = time.perf_counter()
    candidate.run()
    return max(1, math.ceil(_SAMPLE / max(time.perf_counter() - start, 1e-9)))


def scratch_of(made: Pass, candidate: Candidate) -> int | None:
    """Bytes that a call needs beside operands and results: arrays, and the native threads' own memory."""
    if candidate.xp is not np:
        return None
    if _native is not None:
        _native.most_scratch()
    tracemalloc.start()
    try:
        candidate.run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    results = 0 if made.name == "update" else made.work.written  # an update's were there before
    return max(0, peak - results) + (_native.most_scratch() if _native is not None else 0)
