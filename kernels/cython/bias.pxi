cdef extern from "mk.h" nogil:
    int mk_bias_gradient "mk->bias_gradient"(float *gb, float *masked, const float *gy, const float *y, ptrdiff_t N,
                                             ptrdiff_t K, ptrdiff_t P) noexcept


def bias_gradient(cnp.ndarray gb, cnp.ndarray masked, cnp.ndarray gy not None, cnp.ndarray y):
    """gb[k] = the sum of gy (N, K, ...) over all but k; with y of the same shape also masked = gy * (y > 0)"""
    cdef ptrdiff_t size = cnp.PyArray_SIZE(gy), N = gy.shape[0], K = gy.shape[1]
    cdef float *of = floats(gy, size)
    cdef float *total = floats_or_null(gb, K)
    cdef float *to = NULL if y is None else floats(masked, size)
    cdef float *result = floats_or_null(y, size)
    cdef int failed
    with nogil:
        failed = mk_bias_gradient(total, to, of, result, N, K, size // (N * K) if N * K else 0)
    done(failed)
