"""Time, and what else the machine did meanwhile."""

from __future__ import annotations

import gc
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Snapshot", "Spread", "Usage", "measure", "quiet", "snapshot", "spread"]

_STAT = "/proc/stat"


@dataclass(frozen=True)
class Snapshot:
    """What had been used at a moment, in seconds; ``busy`` and ``stolen`` are NaN where nobody tells.

    Attributes
    ----------
    wall : float
        The clock.
    own : float
        Processor time of this process, all threads.
    busy : float
        Processor time of all processes of the machine.
    stolen : float
        Time in which another machine on the same hardware ran on our processors.
    faults : int
        Pages of memory that this process was given, or that were mapped in.
    """

    wall: float
    own: float
    busy: float
    stolen: float
    faults: int


@dataclass(frozen=True)
class Usage:
    """What was used between two moments, in processors: 1.0 is one that never rested."""

    seconds: float
    own_cpus: float
    other_cpus: float | None
    stolen_cpus: float | None
    page_faults: int


@dataclass(frozen=True)
class Spread:
    """Repeated times, in seconds: their number, median, quartiles, tenth percentile and minimum."""

    count: int
    median: float
    q1: float
    q3: float
    p10: float
    minimum: float


def snapshot() -> Snapshot:
    """Look at the counters of the system."""
    times = os.times()
    busy, stolen = _machine()
    return Snapshot(time.perf_counter(), times.user + times.system, busy, stolen, _faults())


def usage(before: Snapshot, after: Snapshot) -> Usage:
    """What was used between two looks."""
    seconds = max(after.wall - before.wall, 1e-9)
    own = after.own - before.own
    others = (after.busy - before.busy - own) / seconds
    stolen = (after.stolen - before.stolen) / seconds
    return Usage(
        seconds,
        own / seconds,
        None if math.isnan(others) else max(0.0, others),
        None if math.isnan(stolen) else stolen,
        after.faults - before.faults,
    )


def spread(times: Sequence[float]) -> Spread:
    """Order statistics of at least one time.

    Examples
    --------
    >>> spread([3.0, 1.0, 2.0, 5.0, 4.0])
    Spread(count=5, median=3.0, q1=2.0, q3=4.0, p10=1.0, minimum=1.0)
    """
    ordered = sorted(times)
    if len(ordered) == 1:
        only = ordered[0]
        return Spread(1, only, only, only, only, only)
    q1, median, q3 = statistics.quantiles(ordered, method="inclusive")
    return Spread(len(ordered), median, q1, q3, ordered[len(ordered) // 10], ordered[0])


@contextmanager
def quiet() -> Iterator[None]:
    """Without the garbage collector, whose pauses would fall on whatever runs just then."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def measure(
    step: Callable[[], object], budget: float, least: int, warm_up: int
) -> tuple[Spread, Usage, float]:
    """Time each of many steps on its own.

    Parameters
    ----------
    step : callable
        Has finished its work when it returns.
    budget : float
        Seconds to go on for.
    least, warm_up : int
        Steps to time at least, unless they take ten times the budget and five seconds, and steps
        before, which are not timed.

    Returns
    -------
    Spread, Usage, float
        Seconds per step; what the machine did meanwhile; seconds of the very first step.
    """
    with quiet():
        start = time.perf_counter()
        step()
        first = time.perf_counter() - start
        for _ in range(warm_up - 1):
            step()
        times: list[float] = []
        before = snapshot()
        elapsed = 0.0
        while elapsed < budget or (len(times) < least and elapsed < 10 * budget + 5):
            start = time.perf_counter()
            step()
            end = time.perf_counter()
            times.append(end - start)
            elapsed = end - before.wall
        return spread(times), usage(before, snapshot()), first


def _machine() -> tuple[float, float]:
    """Seconds that all processors together were busy, and were stolen."""
    try:
        with open(_STAT) as file:
            user, nice, system, _, _, irq, softirq, stolen = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return math.nan, math.nan
    ticks = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq + stolen) / ticks, stolen / ticks


def _faults() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
