"""How loops are compiled and run: several threads, one call at a time, the same bits for any number.

A ``prange`` loop is cut into as many pieces as there are threads, so its turns must not depend on
each other: every kernel writes other outputs in each, and adds up in a fixed order within one.

Of Numba's three threading layers this takes ``workqueue``, unless ``NUMBA_THREADING_LAYER`` chooses
one. Measured on two busy cores: OpenMP kills a child that a process forks after a parallel loop, and a
call of OpenBLAS after one takes 16 to 47 ms in place of 0.2, as the threads of both spin; ``tbb``
is a package more. A call of ``workqueue`` costs 25 µs (OpenMP: 3), a fork is safe, and OpenBLAS is
as fast as alone. But it aborts the process when two threads use it at once: hence the lock. A program
that runs parallel Numba loops of its own in other threads should choose ``tbb``.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any

import numba

from minicnn.core import threads

__all__ = ["called", "parallel"]

_lock = threading.Lock()
_threads = 0  # 0: as many as Numba takes by itself

config: Any = numba.config  # its names are made at run time
njit: Any = numba.njit

if config.THREADING_LAYER == "default":
    config.THREADING_LAYER = "workqueue"

if hasattr(os, "register_at_fork"):  # no loop is half way through when a child begins
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


# No other statement is taken for a parallel loop: that only makes compiling slower.
ONLY_PRANGE = {"prange": True} | dict.fromkeys(
    ("comprehension", "fusion", "inplace_binop", "numpy", "reduction", "setitem", "stencil"), False
)


def _set_threads(number: int) -> None:
    global _threads
    _threads = min(number, config.NUMBA_NUM_THREADS)


threads.on_change(_set_threads)

_own = threading.local()  # `alone`: this Python thread leaves the others' threads to them


def _compute_alone() -> None:
    _own.alone = True


threads.on_alone(_compute_alone)


def parallel(loops: Callable[..., None]) -> Callable[..., None]:
    """Decorator: compile a function of plain loops, and run it with the chosen number of threads.

    Parameters
    ----------
    loops : callable
        It writes its results into arrays it is given. It is compiled once for each set of argument
        types; division by zero gives an infinity as in NumPy, and no rule of floating point is bent.

    Returns
    -------
    callable
        The same; one call at a time. Other Python threads run meanwhile.
    """
    compiled = njit(parallel=ONLY_PRANGE, nogil=True, cache=True, error_model="numpy")(loops)
    in_one = njit(nogil=True, cache=True, error_model="numpy")(loops)

    @functools.wraps(loops)
    def run(*arguments: Any) -> None:
        if getattr(_own, "alone", False):
            in_one(*arguments)
            return
        with _lock:
            if _threads and numba.get_num_threads() != _threads:  # a number of this Python thread
                numba.set_num_threads(_threads)
            compiled(*arguments)

    return run


def called(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: compile a function that the loops call.

    Numba's cache looks at one file: after a change of it, touch the files whose loops call it.
    """
    return njit(cache=True, error_model="numpy")(function)
