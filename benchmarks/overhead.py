"""What the engine costs beside NumPy's own work: microseconds a call, and the time of the import.

Run it alone on the machine:  python benchmarks/overhead.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable

import numpy as np

import minicnn
from minicnn import backends
from minicnn.nn import functional as F

CALLS = 2_000
ROUNDS = 25


def interleaved(functions: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Microseconds a call, in rounds that take turns, so that drift of the machine hits all alike."""
    timers = {name: timeit.Timer(function) for name, function in functions.items()}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, timer in timers.items():
            times[name].append(timer.timeit(CALLS) / CALLS * 1e6)
    return times


def calls() -> dict[str, Callable[[], object]]:
    """One tiny operation, on arrays and on tensors: nearly all of the time is overhead."""
    a, b = np.ones(8, np.float32), np.ones(8, np.float32)
    x, y = minicnn.tensor(a), minicnn.tensor(b)
    w = minicnn.tensor(a.copy(), requires_grad=True)
    gy = np.ones(8, np.float32)
    return {
        "np.maximum": lambda: np.maximum(a, 0),
        "relu": lambda: F.relu(x),
        "relu, recorded": lambda: F.relu(w),
        "relu and its backward": lambda: F.relu(w).backward(gy),
        "np.add": lambda: np.add(a, b),
        "x + y": lambda: x + y,
        "w + y, recorded": lambda: w + y,
        "np.reshape": lambda: a.reshape(2, 4),
        "w.reshape, recorded": lambda: w.reshape(2, 4),
        "np.sum": lambda: a.sum(),
        "w.sum, recorded": lambda: w.sum(),
        "np.ndarray[1]": lambda: a[1:],
        "w[1:], recorded": lambda: w[1:],
    }


def import_seconds(module: str, rounds: int = 7) -> list[float]:
    """The time of a fresh interpreter that imports the module."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    print(f"{'call':28}{'min µs':>10}{'median µs':>12}{'over NumPy µs':>16}")
    for backend in ("numpy", "native"):
        if backends.unavailable(backend):
            print(f"-- {backend}: {backends.unavailable(backend)}")
            continue
        print(f"-- {backend}")
        with backends.use_backend(backend):
            times = interleaved(calls())
        raw = 0.0
        for name, values in times.items():
            raw = min(values) if name.startswith("np.") else raw
            over = "" if name.startswith("np.") else f"{min(values) - raw:.2f}"
            print(f"{name:28}{min(values):10.2f}{statistics.median(values):12.2f}{over:>16}")
    for module in ("numpy", "minicnn"):
        seconds = import_seconds(module)
        low, middle = min(seconds) * 1e3, statistics.median(seconds) * 1e3
        print(f"import {module:21}{low:7.0f} ms{middle:9.0f} ms (median)")


if __name__ == "__main__":
    main()
