cdef extern from "mk.h" nogil:
    int mk_dropout_mask "mk->dropout_mask"(
        uint8_t *kept, const uint64_t *generator, float p, ptrdiff_t n) noexcept
    int mk_dropout_apply "mk->dropout_apply"(
        float *y, const float *x, const uint8_t *kept, float scale, ptrdiff_t n, ptrdiff_t inner) noexcept


cdef uint8_t *flags(cnp.ndarray array) except NULL:
    """The address of bools, if they lie in one C-contiguous run."""
    if cnp.PyArray_TYPE(array) != cnp.NPY_BOOL or not cnp.PyArray_ISCARRAY_RO(array):
        raise ValueError("the kernel needs bools in one C-contiguous run")
    return <uint8_t *>cnp.PyArray_DATA(array)


def dropout_mask(cnp.ndarray kept not None, state, increment, float p):
    """kept = (the numbers that PCG64 of this state draws) >= p"""
    cdef ptrdiff_t n = cnp.PyArray_SIZE(kept)
    cdef uint8_t *to = flags(kept)
    cdef uint64_t[4] generator
    cdef int failed
    for i, number in enumerate((state, increment)):
        generator[2 * i] = number >> 64
        generator[2 * i + 1] = number & 0xFFFFFFFFFFFFFFFF
    with nogil:
        failed = mk_dropout_mask(to, generator, p, n)
    done(failed)


def dropout_apply(cnp.ndarray y not None, cnp.ndarray x not None, cnp.ndarray kept not None, float scale):
    """y = x · scale where kept, else 0; one flag for as many neighbouring numbers as there are for each"""
    cdef ptrdiff_t n = cnp.PyArray_SIZE(kept), inner = cnp.PyArray_SIZE(x) // n if n else 0
    cdef float *to = floats(y, n * inner)
    cdef float *of = floats(x, n * inner)
    cdef uint8_t *flag = flags(kept)
    cdef int failed
    with nogil:
        failed = mk_dropout_apply(to, of, flag, scale, n, inner)
    done(failed)
