cdef extern from "mk.h" nogil:
    int mk_look_up "mk->look_up"(float *y, const uint8_t *x, const float *table, ptrdiff_t N, ptrdiff_t C,
                                 ptrdiff_t P, int planar) noexcept


def look_up(cnp.ndarray y not None, cnp.ndarray x not None, cnp.ndarray table not None, bint planar):
    """y = what the table (C, 256) has for the bytes x: (N, C, H, W) from the same, or from (N, H, W, C)"""
    if cnp.PyArray_NDIM(x) != 4 or cnp.PyArray_TYPE(x) != cnp.NPY_UINT8 or not cnp.PyArray_ISCARRAY_RO(x):
        raise ValueError("the kernel needs bytes of 4 dimensions in one C-contiguous run")
    cdef ptrdiff_t n = cnp.PyArray_SIZE(x), N = x.shape[0], C = x.shape[1 if planar else 3]
    cdef ptrdiff_t P = n // (N * C) if n else 0
    cdef float *to = floats(y, n)
    cdef float *numbers = floats(table, C * 256)
    cdef const uint8_t *source = <const uint8_t *>cnp.PyArray_DATA(x)
    cdef int failed
    with nogil:
        failed = mk_look_up(to, source, numbers, N, C, P, planar)
    done(failed)
