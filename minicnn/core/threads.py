"""How many threads computations may use: one number for the BLAS library and every own kernel."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minicnn.errors import OptionError

__all__ = [
    "chosen_threads",
    "compute_alone",
    "get_num_threads",
    "on_alone",
    "on_change",
    "set_num_threads",
    "use_threads",
]

_MOST = 1024  # more cannot be meant, and the BLAS library would not even say so
_threads = 0  # 0: not chosen, so all processors
_listeners: list[Callable[[int], Any]] = []
_of_a_thread: list[Callable[[], Any]] = []


def set_num_threads(number: int) -> None:
    """Let BLAS and the kernels use at most this many threads, process-wide.

    ``MINICNN_NUM_THREADS`` in the environment chooses the number at import.

    Parameters
    ----------
    number : int
        From 1 to 1,024.

    Raises
    ------
    OptionError
        If it is anything else.

    Examples
    --------
    >>> with use_threads(1):  # which puts back what was
    ...     set_num_threads(2)
    ...     get_num_threads()
    2
    """
    global _threads
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= _MOST:
        raise OptionError(
            expected=f"a number of threads from 1 to {_MOST}", got=repr(number), op="set_num_threads"
        )
    _apply(number)
    _threads = number


def _apply(number: int) -> None:
    import threadpoolctl

    threadpoolctl.threadpool_limits(number)  # of what is loaded by now: SciPy brings a BLAS of its own
    for listener in _listeners:
        listener(number)


@contextmanager
def use_threads(number: int) -> Iterator[None]:
    """Compute with so many threads for a block; see :func:`set_num_threads`.

    Examples
    --------
    >>> with use_threads(1):
    ...     get_num_threads()
    1
    """
    global _threads
    before = _threads
    set_num_threads(number)
    try:
        yield
    finally:
        _apply(before or processors())
        _threads = before  # also that none was chosen


def get_num_threads() -> int:
    """The number of threads in force: the one that was set, else that of the processors in reach."""
    return _threads or processors()


def chosen_threads() -> int:
    """The number that was set, here or in the environment; 0 if none was."""
    return _threads


def processors() -> int:
    """The number of processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_change(listener: Callable[[int], Any]) -> None:
    """Call ``listener(number)`` whenever the number is set, and now if it was set before."""
    _listeners.append(listener)
    if _threads:
        listener(_threads)


def compute_alone() -> None:
    """Let the kernels that this thread calls run in it alone, for the rest of its life.

    For threads that work beside another: a kernel of theirs that held the pool of threads for a moment would
    leave the other's, which may take far longer, without it.
    """
    for listener in _of_a_thread:
        listener()


def on_alone(listener: Callable[[], Any]) -> None:
    """Call ``listener()`` in each thread that is to compute alone."""
    _of_a_thread.append(listener)


def from_environment(value: str | None) -> None:
    """Set the number from ``MINICNN_NUM_THREADS``; without it nothing is loaded or changed."""
    if value is None or not value.strip():
        return
    if not value.strip().isdecimal():
        raise OptionError(expected="MINICNN_NUM_THREADS to be a whole number", got=repr(value))
    set_num_threads(int(value))


from_environment(os.environ.get("MINICNN_NUM_THREADS"))
