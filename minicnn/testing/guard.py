"""Arrays flush against memory that nobody may touch: one element over, and the process dies of SIGSEGV.

A kernel that reads or writes one element too far mostly gets away with it, since there is other memory
behind an array. Here there is not: a page on which the processor refuses every access (PROT_NONE)
lies right behind the last byte, or right before the first. Linux only.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

import numpy as np

from minicnn.errors import OptionError

__all__ = ["available", "guarded"]

_PROT_NONE = 0  # the same on all of Linux; mmap has a name for it from Python 3.14 on


def available() -> bool:
    """Whether this machine can guard arrays."""
    return sys.platform == "linux"


def guarded(array: np.ndarray, end: str = "end") -> np.ndarray:
    """A C-contiguous copy with a forbidden page right behind its last byte, or right before its first.

    Parameters
    ----------
    array : numpy.ndarray
        Of any shape and dtype; an empty one has the forbidden page at its address.
    end : "end" or "start"
        The side on which no byte can be touched. On the other side there may be up to a page of
        memory that can, and then a forbidden page too.

    Returns
    -------
    numpy.ndarray
        Its pages are given back when it and all its views are gone.

    Raises
    ------
    OptionError
        If ``end`` is neither.

    Examples
    --------
    >>> guarded(np.arange(3.0)).tolist() if available() else [0.0, 1.0, 2.0]
    [0.0, 1.0, 2.0]
    """
    if end not in ("start", "end"):
        raise OptionError(expected="'start' or 'end'", got=repr(end))
    page = mmap.PAGESIZE
    room = -(-array.nbytes // page) * page
    memory = mmap.mmap(-1, room + 2 * page)  # guard, room, guard
    first = ctypes.c_char.from_buffer(memory)
    address = ctypes.addressof(first)
    del first  # the mapping is not to be held by it
    for guard in (address, address + page + room):
        _forbid(guard, page)
    offset = page if end == "start" else page + room - array.nbytes
    result = np.ndarray(array.shape, array.dtype, buffer=memory, offset=offset)
    result[...] = array
    return result


def _forbid(address: int, size: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), _PROT_NONE) != 0:
        raise OSError(ctypes.get_errno(), "mprotect failed")
