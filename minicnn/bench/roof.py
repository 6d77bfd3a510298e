"""What this machine gives at best, measured in the process and the minutes of what stands under it.

A kernel that does F multiply-adds and moves R bytes in and W bytes out cannot be faster than

    max( F / FMA peak,   2 min(R, W) / copy  +  (R - W)⁺ / read  +  (W - R)⁺ / fill )

with the rates of memory as large as what the kernel works on: smaller ones stay in the caches. The rates
are those of one CPU level: vectors half as wide do half as many multiply-adds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.core.threads import get_num_threads

try:
    import minicnn._native as _native
except ImportError:
    _native = None

__all__ = ["Roof", "caches", "home", "levels", "serving_level"]

_SAMPLE = 3e-4  # seconds: long beside the clock's steps, short beside a change of the processor's speed
_LARGEST = 2**27  # bytes: enough to stand for the memory
_ASSUMED = {"L1": 2**15, "L2": 2**20, "L3": 2**25}


@dataclass
class Rate:
    """One thing the machine does, in units (operations, bytes) a second.

    Attributes
    ----------
    run : callable
        ``run(repetitions)``.
    work : float
        Units in one repetition.
    best : float
        The highest rate seen; NaN-free: 0 before the first sample.
    """

    run: Callable[[int], object]
    work: float
    repetitions: int = 1
    best: float = 0.0

    def sample(self) -> None:
        """Time it once more; the first time, find how many repetitions are long enough."""
        self.run(1)  # what ran before may have left the memory outside the caches
        while True:
            start = time.perf_counter()
            self.run(self.repetitions)
            seconds = max(time.perf_counter() - start, 1e-9)
            if self.best or seconds >= _SAMPLE / 2:
                break
            self.repetitions = max(2 * self.repetitions, int(self.repetitions * _SAMPLE / seconds))
        self.best = max(self.best, self.work * self.repetitions / seconds)


class Roof:
    """The rates for work on so many bytes. Sample it in turn with what it is a roof of.

    Parameters
    ----------
    footprint : int
        Bytes that the work reads and writes, all together.
    xp : module
        Where no native extension measures the roofs, the array module whose matmul and copyto do.
    level : str, optional
        The CPU level to measure with; the best of this machine by default, as NumPy uses it.

    Attributes
    ----------
    hard : bool
        Nothing can be faster. False for NumPy's matmul and copyto, which are no more than that.
    level : str or None
        The CPU level measured with; None where it is not known.
    """

    def __init__(self, footprint: int, xp: Any = np, level: str | None = None) -> None:
        self.hard = _native is not None and xp is np
        self.level = (level or _native.levels()[0]) if self.hard else None
        number = min(max(footprint, 2**14), _LARGEST) // 4 // 128 * 128
        self.rates = _native_rates(number, self.level) if self.level else _library_rates(number, xp)

    def sample(self, rounds: int = 1) -> None:
        """Time everything once more."""
        for _ in range(rounds):
            for rate in self.rates.values():
                rate.sample()

    @property
    def peak(self) -> float:
        """Operations a second, all threads."""
        return self.rates["fma"].best

    @property
    def copy(self) -> float:
        """Bytes a second, read and written both counted."""
        return self._best("copy")

    def seconds(self, operations: float, read: float, written: float) -> float:
        """The time below which nothing can get.

        Parameters
        ----------
        operations : float
            A multiply-add counts as two.
        read, written : float
            Bytes, each counted once.
        """
        memory = 2 * min(read, written) / self.copy
        memory += max(read - written, 0) / self._best("read") + max(written - read, 0) / self._best("fill")
        return max(operations / self.peak, memory)

    def _best(self, name: str) -> float:
        return max(rate.best for key, rate in self.rates.items() if key.startswith(name))

    def describe(self) -> str:
        """Where the rates come from."""
        if self.hard:
            return f"roof of {self.level}: measured multiply-adds between registers, and measured copies"
        return "roof: NumPy's measured matmul and copyto, no more: the native extension is missing"


def _native_rates(number: int, level: str) -> dict[str, Rate]:
    buffer = _aligned(number)
    x, y = buffer[: number // 2], buffer[number // 2 :]
    n = _native
    rates = {"fma": Rate(lambda k: n.roof_fma(k, level), n.roof_fma(1, level), 1000)}
    for name, streaming in (("", False), (" past the caches", True)):
        rates["copy" + name] = Rate(lambda k, s=streaming: n.roof_copy(y, x, k, s, level), 4 * number)  # type: ignore[misc]
        rates["fill" + name] = Rate(lambda k, s=streaming: n.roof_fill(buffer, k, s, level), 4 * number)  # type: ignore[misc]
    rates["read"] = Rate(lambda k: n.roof_read(buffer, k, level), 4 * number)
    return rates


def _library_rates(number: int, xp: Any) -> dict[str, Rate]:
    size = 1024
    a, b = xp.ones((size, size), np.float32), xp.empty((size, size), np.float32)
    x, y = xp.ones(number // 2, np.float32), xp.empty(number // 2, np.float32)
    wait = xp.cuda.runtime.deviceSynchronize if hasattr(xp, "cuda") else lambda: None

    def repeat(function: Callable[..., object], *arrays: Any) -> Callable[[int], None]:
        def run(repetitions: int) -> None:
            for _ in range(repetitions):
                function(*arrays)
            wait()

        return run

    copy = Rate(repeat(xp.copyto, y, x), 4 * number)
    return {"fma": Rate(repeat(xp.matmul, a, a, b), 2 * size**3), "copy": copy, "read": copy, "fill": copy}


def _aligned(number: int) -> Any:
    """So many zeros, aligned to a line of the cache."""
    array = np.zeros(number + 16, np.float32)
    first = -array.ctypes.data // 4 % 16
    return array[first : first + number]


def caches() -> dict[str, int]:
    """Bytes of the data caches that one thread has, from the first level on."""
    folder = Path("/sys/devices/system/cpu/cpu0/cache")
    found = {}
    for index in sorted(folder.glob("index*")):
        kind, level, size = ((index / name).read_text().strip() for name in ("type", "level", "size"))
        if kind != "Instruction" and size.endswith("K"):
            found[f"L{level}"] = int(size[:-1]) * 1024
    return found or dict(_ASSUMED)


def serving_level() -> str | None:
    """The CPU level whose kernels are in use; None without the native extension."""
    return None if _native is None else str(_native.level())


def levels(level: str | None = None) -> dict[str, float]:
    """The copy bandwidth of each level of the memory, in bytes a second, all threads together."""
    sizes = _together()
    half = {name: size // 2 for name, size in sizes.items()}
    found = {}
    for name, size in [*half.items(), ("memory", min(4 * max(sizes.values()), _LARGEST))]:
        roof = Roof(size, level=level)
        roof.sample(5)
        found[name] = roof.copy
    return found


def home(footprint: int) -> str:
    """The first level of the memory in which so many bytes have room, spread over the threads."""
    return next((name for name, size in _together().items() if footprint <= size), "memory")


def _together() -> dict[str, int]:
    """Bytes of the caches of all threads: each has its own but for the last, which they share."""
    threads = min(get_num_threads(), os.cpu_count() or 1)
    sizes = caches()
    last = max(sizes, key=lambda name: sizes[name])
    return {name: size * (1 if name == last else threads) for name, size in sizes.items()}
