cdef extern from "mk.h" nogil:
    int mk_relu_forward "mk->relu_forward"(float *y, const float *x, ptrdiff_t n) noexcept
    int mk_relu_backward "mk->relu_backward"(float *gx, const float *gy, const float *y, ptrdiff_t n) noexcept


def relu_forward(cnp.ndarray y not None, cnp.ndarray x not None):
    """y = max(0, x)"""
    cdef ptrdiff_t n = cnp.PyArray_SIZE(y)
    cdef float *to = floats(y, n)
    cdef float *of = floats(x, n)
    cdef int failed
    with nogil:
        failed = mk_relu_forward(to, of, n)
    done(failed)


def relu_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray y not None):
    """gx = gy where y > 0, else 0"""
    cdef ptrdiff_t n = cnp.PyArray_SIZE(gx)
    cdef float *to = floats(gx, n)
    cdef float *gradient = floats(gy, n)
    cdef float *of = floats(y, n)
    cdef int failed
    with nogil:
        failed = mk_relu_backward(to, gradient, of, n)
    done(failed)
