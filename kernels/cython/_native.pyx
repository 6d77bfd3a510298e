# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Calls the C kernels: a typed memoryview checks type and contiguity, then the GIL is released."""


cdef extern from "mk.h" nogil:
    void mk_relu_forward_f32(float *y, const float *x, ptrdiff_t n)
    void mk_relu_backward_f32(float *gx, const float *gy, const float *y, ptrdiff_t n)


def relu_forward(float[::1] y not None, const float[::1] x not None):
    """y = max(0, x)"""
    same_length(y.shape[0], x.shape[0])
    with nogil:
        mk_relu_forward_f32(&y[0], &x[0], y.shape[0])


def relu_backward(float[::1] gx not None, const float[::1] gy not None, const float[::1] y not None):
    """gx = gy where y > 0, else 0"""
    same_length(gx.shape[0], gy.shape[0])
    same_length(gx.shape[0], y.shape[0])
    with nogil:
        mk_relu_backward_f32(&gx[0], &gy[0], &y[0], gx.shape[0])


cdef int same_length(Py_ssize_t a, Py_ssize_t b) except -1:
    if a != b:
        raise ValueError(f"arrays of {a} and {b} elements")
    return 0
