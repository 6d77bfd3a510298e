cdef extern from "mk.h" nogil:
    ctypedef struct mk_matrix:
        const float *at
        ptrdiff_t row, column, matrix
    int mk_gemm "mk->gemm"(float *c, const mk_matrix *a, const mk_matrix *b, const float *bias,
                           ptrdiff_t batch, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                           int bias_of_rows, int with_relu, int add) noexcept
    int mk_column_sums "mk->column_sums"(float *y, const float *x, ptrdiff_t rows, ptrdiff_t columns) noexcept


cdef int matrices(mk_matrix *to, cnp.ndarray array, ptrdiff_t batch, ptrdiff_t rows, ptrdiff_t columns) except -1:
    """The place and the distances of (batch, rows, columns) float32 numbers, in any layout."""
    cdef int d = cnp.PyArray_NDIM(array)
    cdef cnp.npy_intp *sizes = cnp.PyArray_DIMS(array)
    cdef cnp.npy_intp *strides = cnp.PyArray_STRIDES(array)
    if cnp.PyArray_TYPE(array) != cnp.NPY_FLOAT32 or not cnp.PyArray_ISBEHAVED_RO(array):
        raise ValueError("the kernel needs aligned float32 numbers")
    if d not in (2, 3) or sizes[d - 2] != rows or sizes[d - 1] != columns or (d == 3 and sizes[0] != batch):
        raise ValueError(f"expected matrices of {rows} x {columns}, got shape {(<object>array).shape}")
    to.at = <const float *>cnp.PyArray_DATA(array)
    to.row = strides[d - 2] // 4
    to.column = strides[d - 1] // 4
    to.matrix = strides[0] // 4 if d == 3 else 0
    return 0


def gemm(cnp.ndarray c not None, cnp.ndarray a not None, cnp.ndarray b not None, cnp.ndarray bias=None,
         bint bias_of_rows=False, bint with_relu=False, bint add=False):
    """c = a b + bias for matrices or batches of them, then max(0, c); or added to c"""
    cdef int d = cnp.PyArray_NDIM(c)
    if d not in (2, 3):
        raise ValueError(f"expected matrices, got {d} dimensions")
    cdef ptrdiff_t batch = cnp.PyArray_DIM(c, 0) if d == 3 else 1
    cdef ptrdiff_t m = cnp.PyArray_DIM(c, d - 2)
    cdef ptrdiff_t n = cnp.PyArray_DIM(c, d - 1)
    cdef ptrdiff_t k = cnp.PyArray_DIM(a, cnp.PyArray_NDIM(a) - 1) if cnp.PyArray_NDIM(a) else 0
    cdef mk_matrix left, right
    matrices(&left, a, batch, m, k)
    matrices(&right, b, batch, k, n)
    cdef float *to = floats(c, batch * m * n)
    cdef float *shift = NULL
    if bias is not None:
        shift = floats(bias, m if bias_of_rows else n)
    cdef int failed
    with nogil:
        failed = mk_gemm(to, &left, &right, shift, batch, m, n, k, bias_of_rows, with_relu, add)
    done(failed)


def column_sums(cnp.ndarray y not None, cnp.ndarray x not None):
    """y = the sums of x's columns"""
    cdef ptrdiff_t columns = cnp.PyArray_SIZE(y)
    cdef ptrdiff_t rows = cnp.PyArray_DIM(x, 0)
    cdef float *to = floats(y, columns)
    cdef float *of = floats(x, rows * columns)
    cdef int failed
    with nogil:
        failed = mk_column_sums(to, of, rows, columns)
    done(failed)
