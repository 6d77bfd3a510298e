# Of any CPU level: the kernels' roof is that of the level in use; NumPy chooses its own, mostly the best.
cdef extern from "mk.h" nogil:
    ctypedef struct mk_roofs "mk_table":
        ptrdiff_t (*roof_fma)(ptrdiff_t steps) noexcept nogil
        int (*roof_copy)(float *y, const float *x, ptrdiff_t n, ptrdiff_t repeats, int streaming) noexcept nogil
        int (*roof_fill)(float *y, ptrdiff_t n, ptrdiff_t repeats, int streaming) noexcept nogil
        int (*roof_read)(const float *x, ptrdiff_t n, ptrdiff_t repeats) noexcept nogil
    const mk_roofs *mk_choose_roofs "mk_choose"(const char *level) noexcept


cdef const mk_roofs *roofs(str level) except NULL:
    """The roofs of a CPU level."""
    cdef const mk_roofs *chosen = mk_choose_roofs(level.encode())
    if chosen == NULL:
        raise ValueError(f"expected a CPU level out of {', '.join(levels())}, got {level!r}")
    return chosen


cdef float *blocks(cnp.ndarray array, ptrdiff_t n) except NULL:
    """The address of n numbers, if they come in whole lines of the cache and blocks of 64."""
    cdef float *address = floats(array, n)
    if n % 64 or <size_t>address % 64:
        raise ValueError("expected a multiple of 64 numbers, aligned to 64 bytes")
    return address


def roof_fma(ptrdiff_t steps, str level not None):
    """Multiply-adds between registers; returns how many operations all threads did together."""
    cdef const mk_roofs *table = roofs(level)
    cdef ptrdiff_t operations
    with nogil:
        operations = table.roof_fma(steps)
    return operations


def roof_copy(cnp.ndarray y not None, cnp.ndarray x not None, ptrdiff_t repeats, bint streaming,
              str level not None):
    """y = x, so many times; streaming: past the caches"""
    cdef const mk_roofs *table = roofs(level)
    cdef ptrdiff_t n = cnp.PyArray_SIZE(y)
    cdef float *to = blocks(y, n)
    cdef float *of = blocks(x, n)
    cdef int failed
    with nogil:
        failed = table.roof_copy(to, of, n, repeats, streaming)
    done(failed)


def roof_fill(cnp.ndarray y not None, ptrdiff_t repeats, bint streaming, str level not None):
    """y = 0, so many times; streaming: past the caches"""
    cdef const mk_roofs *table = roofs(level)
    cdef ptrdiff_t n = cnp.PyArray_SIZE(y)
    cdef float *to = blocks(y, n)
    cdef int failed
    with nogil:
        failed = table.roof_fill(to, n, repeats, streaming)
    done(failed)


def roof_read(cnp.ndarray x not None, ptrdiff_t repeats, str level not None):
    """Reads x, so many times."""
    cdef const mk_roofs *table = roofs(level)
    cdef ptrdiff_t n = cnp.PyArray_SIZE(x)
    cdef float *of = blocks(x, n)
    cdef int failed
    with nogil:
        failed = table.roof_read(of, n, repeats)
    done(failed)
