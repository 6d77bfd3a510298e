# At the best CPU level that the machine has, whichever level is in use: a roof does not sink with it.
cdef extern from "mk.h" nogil:
    ptrdiff_t mk_roof_fma "mk_choose(NULL)->roof_fma"(ptrdiff_t steps) noexcept
    int mk_roof_copy "mk_choose(NULL)->roof_copy"(float *y, const float *x, ptrdiff_t n, ptrdiff_t repeats, int streaming) noexcept
    int mk_roof_fill "mk_choose(NULL)->roof_fill"(float *y, ptrdiff_t n, ptrdiff_t repeats, int streaming) noexcept
    int mk_roof_read "mk_choose(NULL)->roof_read"(const float *x, ptrdiff_t n, ptrdiff_t repeats) noexcept


cdef float *blocks(cnp.ndarray array, ptrdiff_t n) except NULL:
    """The address of n numbers, if they come in whole lines of the cache and blocks of 64."""
    cdef float *address = floats(array, n)
    if n % 64 or <size_t>address % 64:
        raise ValueError("expected a multiple of 64 numbers, aligned to 64 bytes")
    return address


def roof_fma(ptrdiff_t steps):
    """Multiply-adds between registers; returns how many operations all threads did together."""
    cdef ptrdiff_t operations
    with nogil:
        operations = mk_roof_fma(steps)
    return operations


def roof_copy(cnp.ndarray y not None, cnp.ndarray x not None, ptrdiff_t repeats, bint streaming):
    """y = x, so many times; streaming: past the caches"""
    cdef ptrdiff_t n = cnp.PyArray_SIZE(y)
    cdef float *to = blocks(y, n)
    cdef float *of = blocks(x, n)
    cdef int failed
    with nogil:
        failed = mk_roof_copy(to, of, n, repeats, streaming)
    done(failed)


def roof_fill(cnp.ndarray y not None, ptrdiff_t repeats, bint streaming):
    """y = 0, so many times; streaming: past the caches"""
    cdef ptrdiff_t n = cnp.PyArray_SIZE(y)
    cdef float *to = blocks(y, n)
    cdef int failed
    with nogil:
        failed = mk_roof_fill(to, n, repeats, streaming)
    done(failed)


def roof_read(cnp.ndarray x not None, ptrdiff_t repeats):
    """Reads x, so many times."""
    cdef ptrdiff_t n = cnp.PyArray_SIZE(x)
    cdef float *of = blocks(x, n)
    cdef int failed
    with nogil:
        failed = mk_roof_read(of, n, repeats)
    done(failed)
