"""Waiting for a machine that nobody else uses: who does, and for how long."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from minicnn.bench import judge
from minicnn.bench.steps import clock

__all__ = ["BusyError", "Patience", "processes"]

_LOOK = 0.5  # seconds of one look: the system counts in hundredths of one
_SHOWN = 3  # processes that are named, if they use ...
_LEAST = 0.05  # ... so many processors


class BusyError(Exception):
    """The machine did not become quiet in time."""


class Patience:
    """Waits until the machine is quiet, each time for no longer than ``limit`` seconds.

    Parameters
    ----------
    limit : float
        Seconds; 0 for a single look.
    tell : callable
        Told at once that the machine is busy and by whom, and then every few seconds how it stands.
    """

    def __init__(self, limit: float, tell: Callable[[str], None]) -> None:
        self.limit = limit
        self.tell = tell

    def wait(self) -> None:
        """Return as soon as the machine is quiet.

        Raises
        ------
        BusyError
            If it did not become so.
        """
        start = time.perf_counter()
        due = 0.0
        while reason := _look():
            waited = time.perf_counter() - start
            if waited >= self.limit:
                raise BusyError(f"{reason}; waited {waited:.0f} s")
            if waited >= due:
                self.tell(f"{reason}; waiting for it, {waited:.0f} of {self.limit:g} s")
                due = waited + max(2.0, self.limit / 20)


def _look() -> str | None:
    """Why the machine is busy just now, and through whom; None if it is quiet."""
    before, used_before = clock.snapshot(), processes()
    time.sleep(_LOOK)
    used = clock.usage(before, clock.snapshot())
    reason = judge.busy(used.other_cpus)
    if reason is None:
        return None
    named = []
    for pid, (name, seconds) in processes().items():
        cpus = (seconds - used_before.get(pid, ("", 0.0))[1]) / used.seconds
        named += [(cpus, f"{name} ({pid}) {cpus:.2f}")] if cpus > _LEAST else []
    texts = [text for _, text in sorted(named, reverse=True)[:_SHOWN]]
    if used.stolen_cpus and used.stolen_cpus > _LEAST:
        texts.append(f"another machine on the same hardware {used.stolen_cpus:.2f}")
    return f"{reason} ({', '.join(texts) or 'processes that are not seen from here'})"


def processes() -> dict[int, tuple[str, float]]:
    """By its number: name of every other process in sight, and seconds of processor time that it had."""
    tick = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = path.read_text(errors="replace").rpartition(")")
        except OSError:  # it has just ended
            continue
        number, _, name = head.partition(" (")
        fields = tail.split()
        if int(number) != os.getpid():
            found[int(number)] = name, (int(fields[11]) + int(fields[12])) / tick
    return found
