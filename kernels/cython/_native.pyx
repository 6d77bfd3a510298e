# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Calls the C kernels: each array is checked, then the GIL is released."""

cimport numpy as cnp

cnp.import_array()


cdef extern from "mk.h" nogil:
    void mk_relu_forward_f32(float *y, const float *x, ptrdiff_t n)
    void mk_relu_backward_f32(float *gx, const float *gy, const float *y, ptrdiff_t n)


def relu_forward(cnp.ndarray y not None, cnp.ndarray x not None):
    """y = max(0, x)"""
    cdef ptrdiff_t n = cnp.PyArray_SIZE(y)
    cdef float *to = floats(y, n)
    cdef float *of = floats(x, n)
    with nogil:
        mk_relu_forward_f32(to, of, n)


def relu_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray y not None):
    """gx = gy where y > 0, else 0"""
    cdef ptrdiff_t n = cnp.PyArray_SIZE(gx)
    cdef float *to = floats(gx, n)
    cdef float *gradient = floats(gy, n)
    cdef float *of = floats(y, n)
    with nogil:
        mk_relu_backward_f32(to, gradient, of, n)


cdef float *floats(cnp.ndarray array, ptrdiff_t n) except NULL:
    """The address of n numbers, if they are float32 in one C-contiguous, aligned run."""
    if cnp.PyArray_TYPE(array) != cnp.NPY_FLOAT32 or not cnp.PyArray_ISCARRAY_RO(array):
        raise ValueError("the kernel needs float32 numbers in one C-contiguous, aligned run")
    if cnp.PyArray_SIZE(array) != n:
        raise ValueError(f"arrays of {n} and {cnp.PyArray_SIZE(array)} elements")
    return <float *>cnp.PyArray_DATA(array)
