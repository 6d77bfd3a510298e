# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Calls the kernels: each array is checked, then the GIL is released. One included file per family."""

import math
import os

cimport numpy as cnp
from cpython.ref cimport Py_INCREF, PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t

cnp.import_array()


cdef extern from "mk.h" nogil:
    ctypedef struct mk_table:
        const char *level
    const mk_table *mk
    const mk_table *mk_choose(const char *level) noexcept

cdef extern from "parallel.h" nogil:
    void mk_set_threads(int threads) noexcept
    int mk_get_threads() noexcept
    void mk_compute_alone() noexcept
    size_t mk_most_scratch() noexcept


def levels():
    """The CPU levels of this machine, best first."""
    return [level for level in ("avx512", "avx2", "baseline") if mk_choose(level.encode()) != NULL]


def level():
    """The CPU level whose kernels are used."""
    return mk.level.decode()


def set_level(name):
    """Use the kernels of a CPU level, process-wide."""
    global mk
    cdef const mk_table *chosen = mk_choose(name.encode())
    if chosen == NULL:
        raise ValueError(f"expected a CPU level out of {', '.join(levels())}, got {name!r}")
    mk = chosen


def set_threads(int threads):
    """How many threads share a call; the results do not depend on it."""
    mk_set_threads(threads)


def threads():
    """How many threads share a call."""
    return mk_get_threads()


def compute_alone():
    """From now on the calling thread computes alone, and leaves the pool to others."""
    mk_compute_alone()


def most_scratch():
    """The most scratch memory that one call used since this was last asked, all threads together, in bytes."""
    return mk_most_scratch()


cdef float *floats(cnp.ndarray array, ptrdiff_t n) except NULL:
    """The address of n numbers, if they are float32 in one C-contiguous, aligned run."""
    if cnp.PyArray_TYPE(array) != cnp.NPY_FLOAT32 or not cnp.PyArray_ISCARRAY_RO(array):
        raise ValueError("the kernel needs float32 numbers in one C-contiguous, aligned run")
    if cnp.PyArray_SIZE(array) != n:
        raise ValueError(f"expected {n} numbers, got {cnp.PyArray_SIZE(array)}")
    return <float *>cnp.PyArray_DATA(array)


cdef float *floats_or_null(array, ptrdiff_t n) except? NULL:
    """The address of n numbers, or NULL for None."""
    return NULL if array is None else floats(array, n)


cdef int done(int failed) except -1:
    """Raise what a kernel could not do."""
    if failed:
        raise MemoryError("no memory for the kernel's scratch")
    return 0


include "memory.pxi"
include "activation.pxi"
include "bias.pxi"
include "elementwise.pxi"
include "images.pxi"
include "conv.pxi"
include "roof.pxi"
include "gemm.pxi"
include "update.pxi"
include "probability.pxi"
include "loss.pxi"
include "distance.pxi"
include "regularization.pxi"
include "pooling.pxi"
include "normalization.pxi"
include "program.pxi"

if os.environ.get("MINICNN_CPU_LEVEL"):
    set_level(os.environ["MINICNN_CPU_LEVEL"])
