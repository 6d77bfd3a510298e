# Arithmetic of two arrays. Called for small arrays too, where NumPy is quick: so the checks are made here.

ctypedef int (*of_two)(float *z, const float *x, const float *y, ptrdiff_t n) noexcept nogil

cdef extern from "mk.h" nogil:
    of_two mk_add "mk->add"
    of_two mk_sub "mk->sub"
    of_two mk_mul "mk->mul"


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


def add(x, y, out=None):
    """x + y, into out if given; None if they are not float32 of one shape in runs of memory"""
    return combined(mk_add, x, y, out)


def sub(x, y, out=None):
    """x - y, as in add"""
    return combined(mk_sub, x, y, out)


def mul(x, y, out=None):
    """x y, as in add"""
    return combined(mk_mul, x, y, out)
