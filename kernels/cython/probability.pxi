ctypedef int (*line_forward)(
    float *y, const float *x, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner
) noexcept nogil
ctypedef int (*line_backward)(
    float *gx, const float *gy, const float *y, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner
) noexcept nogil

cdef extern from "mk.h" nogil:
    line_forward mk_softmax_forward "mk->softmax_forward"
    line_backward mk_softmax_backward "mk->softmax_backward"
    line_forward mk_log_softmax_forward "mk->log_softmax_forward"
    line_backward mk_log_softmax_backward "mk->log_softmax_backward"


cdef struct Lines:  # how an array lies around one of its dimensions
    ptrdiff_t outer
    ptrdiff_t C
    ptrdiff_t inner


cdef Lines lines_of(cnp.ndarray array, int dim) except *:
    cdef Lines lines = Lines(1, 1, 1)
    cdef int i
    if cnp.PyArray_NDIM(array) == 0:  # a single number
        return lines
    if not 0 <= dim < cnp.PyArray_NDIM(array):
        raise ValueError(f"expected a dimension below {cnp.PyArray_NDIM(array)}, got {dim}")
    for i in range(dim):
        lines.outer *= cnp.PyArray_DIM(array, i)
    lines.C = cnp.PyArray_DIM(array, dim)
    for i in range(dim + 1, cnp.PyArray_NDIM(array)):
        lines.inner *= cnp.PyArray_DIM(array, i)
    return lines


cdef int lines_forward(line_forward kernel, cnp.ndarray y, cnp.ndarray x, int dim) except -1:
    cdef Lines at = lines_of(x, dim)
    cdef float *of = floats(x, at.outer * at.C * at.inner)
    cdef float *to = floats(y, at.outer * at.C * at.inner)
    cdef int failed
    with nogil:
        failed = kernel(to, of, at.outer, at.C, at.inner)
    return done(failed)


cdef int lines_backward(line_backward kernel, cnp.ndarray gx, cnp.ndarray gy, cnp.ndarray y, int dim) except -1:
    cdef Lines at = lines_of(y, dim)
    cdef float *of = floats(y, at.outer * at.C * at.inner)
    cdef float *gradient = floats(gy, at.outer * at.C * at.inner)
    cdef float *to = floats(gx, at.outer * at.C * at.inner)
    cdef int failed
    with nogil:
        failed = kernel(to, gradient, of, at.outer, at.C, at.inner)
    return done(failed)


def softmax_forward(cnp.ndarray y not None, cnp.ndarray x not None, int dim):
    lines_forward(mk_softmax_forward, y, x, dim)


def softmax_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray y not None, int dim):
    lines_backward(mk_softmax_backward, gx, gy, y, dim)


def log_softmax_forward(cnp.ndarray y not None, cnp.ndarray x not None, int dim):
    lines_forward(mk_log_softmax_forward, y, x, dim)


def log_softmax_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray y not None, int dim):
    lines_backward(mk_log_softmax_backward, gx, gy, y, dim)
