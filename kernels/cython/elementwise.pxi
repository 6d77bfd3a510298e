# Arithmetic of two arrays, or of one and a number. Called for small arrays too, where NumPy is quick: so the
# checks are made here.

from libc.math cimport isinf

ctypedef int (*of_two)(float *z, const float *x, const float *y, ptrdiff_t n) noexcept nogil
ctypedef int (*of_number)(float *z, const float *x, float number, ptrdiff_t n) noexcept nogil

cdef extern from "mk.h" nogil:
    of_two mk_add "mk->add"
    of_two mk_sub "mk->sub"
    of_two mk_mul "mk->mul"
    of_number mk_add_number "mk->add_number"
    of_number mk_sub_from_number "mk->sub_from_number"
    of_number mk_mul_number "mk->mul_number"


cdef bint is_run(array) noexcept:
    """Whether this is an array of float32 in one C-contiguous, aligned run."""
    return (type(array) is cnp.ndarray and cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT32
            and cnp.PyArray_ISCARRAY_RO(array))


cdef bint overlap(float *one, float *other, ptrdiff_t n) noexcept:
    """Whether two runs of n numbers share some, but do not begin together."""
    return one != other and one < other + n and other < one + n


cdef combined(of_two kernel, x, y, out):
    if not is_run(x) or not is_run(y) or not cnp.PyArray_SAMESHAPE(x, y):
        return None
    if out is None:
        out = empty((<object>x).shape)
    elif not is_run(out) or not cnp.PyArray_ISWRITEABLE(out) or not cnp.PyArray_SAMESHAPE(x, out):
        return None
    cdef ptrdiff_t n = cnp.PyArray_SIZE(out)
    cdef float *to = <float *>cnp.PyArray_DATA(out)
    cdef float *left = <float *>cnp.PyArray_DATA(x)
    cdef float *right = <float *>cnp.PyArray_DATA(y)
    cdef int failed
    if overlap(to, left, n) or overlap(to, right, n):
        return None
    if n <= 4096:  # the GIL is not worth giving back
        failed = kernel(to, left, right, n)
    else:
        with nogil:
            failed = kernel(to, left, right, n)
    done(failed)
    return out


cdef with_number(of_number kernel, x, number, bint negative=False):
    if not is_run(x):
        return None
    if type(number) is int and not -(1 << 24) <= number <= 1 << 24:  # float32 may not hold it
        return None
    cdef double exact = number
    cdef float near = -exact if negative else exact
    if isinf(near) and not isinf(exact):  # NumPy warns
        return None
    cdef cnp.ndarray z = empty((<object>x).shape)
    cdef ptrdiff_t n = cnp.PyArray_SIZE(z)
    cdef float *to = <float *>cnp.PyArray_DATA(z)
    cdef float *of = <float *>cnp.PyArray_DATA(x)
    cdef int failed
    if n <= 4096:
        failed = kernel(to, of, near, n)
    else:
        with nogil:
            failed = kernel(to, of, near, n)
    done(failed)
    return z


cdef bint is_number(x) noexcept:
    return type(x) is float or type(x) is int


def add(x, y, out=None):
    """x + y, into out if given; None if they are not float32 of one shape in runs, or one of them and a number"""
    if out is None and is_number(y):
        return with_number(mk_add_number, x, y)
    if out is None and is_number(x):
        return with_number(mk_add_number, y, x)
    return combined(mk_add, x, y, out)


def sub(x, y, out=None):
    """x - y, as in add"""
    if out is None and is_number(y):
        return with_number(mk_add_number, x, y, True)
    if out is None and is_number(x):
        return with_number(mk_sub_from_number, y, x)
    return combined(mk_sub, x, y, out)


def mul(x, y, out=None):
    """x y, as in add"""
    if out is None and is_number(y):
        return with_number(mk_mul_number, x, y)
    if out is None and is_number(x):
        return with_number(mk_mul_number, y, x)
    return combined(mk_mul, x, y, out)
