cdef extern from "mk.h" nogil:
    int mk_look_up "mk->look_up"(float *y, const uint8_t *x, const float *table, ptrdiff_t N, ptrdiff_t C,
                                 ptrdiff_t P, int planar) noexcept
    int mk_crop "mk->crop"(uint8_t *y, const uint8_t *x, const int64_t *corners, const uint8_t *fill, ptrdiff_t N,
                           ptrdiff_t h, ptrdiff_t w, ptrdiff_t H, ptrdiff_t W, ptrdiff_t C) noexcept
    int mk_warp "mk->warp"(uint8_t *y, const uint8_t *x, const int64_t *maps, const uint8_t *fill, ptrdiff_t N,
                           ptrdiff_t H, ptrdiff_t W, ptrdiff_t C) noexcept


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


cdef void *address_of(cnp.ndarray array, int dimensions, int kind) except? NULL:
    if (cnp.PyArray_NDIM(array) != dimensions or cnp.PyArray_TYPE(array) != kind
            or not cnp.PyArray_ISCARRAY_RO(array)):
        raise ValueError("the kernel needs bytes, and places of int64, each in one C-contiguous run")
    return cnp.PyArray_DATA(array)


def crop(cnp.ndarray y not None, cnp.ndarray x not None, cnp.ndarray corners not None, cnp.ndarray fill not None):
    """y (N, h, w, C) = what lies at the corners (N, 2) of the images x (N, H, W, C); the colour (C,) outside of them"""
    cdef uint8_t *to = <uint8_t *>address_of(y, 4, cnp.NPY_UINT8)
    cdef const uint8_t *source = <const uint8_t *>address_of(x, 4, cnp.NPY_UINT8)
    cdef const int64_t *places = <const int64_t *>address_of(corners, 2, cnp.NPY_INT64)
    cdef const uint8_t *colour = <const uint8_t *>address_of(fill, 1, cnp.NPY_UINT8)
    cdef ptrdiff_t N = x.shape[0], H = x.shape[1], W = x.shape[2], C = x.shape[3], h = y.shape[1], w = y.shape[2]
    if y.shape[0] != N or y.shape[3] != C or corners.shape[0] != N or corners.shape[1] != 2 or fill.shape[0] != C:
        raise ValueError("the kernel needs a result and a corner for each image, and a number for each channel")
    if not cnp.PyArray_ISWRITEABLE(y):
        raise ValueError("the result cannot be written to")
    cdef int failed
    with nogil:
        failed = mk_crop(to, source, places, colour, N, h, w, H, W, C)
    done(failed)


def warp(cnp.ndarray y not None, cnp.ndarray x not None, cnp.ndarray maps not None, cnp.ndarray fill not None):
    """y = the images x (N, H, W, C) under the maps (N, 6); the colour (C,) outside of them"""
    cdef uint8_t *to = <uint8_t *>address_of(y, 4, cnp.NPY_UINT8)
    cdef const uint8_t *source = <const uint8_t *>address_of(x, 4, cnp.NPY_UINT8)
    cdef const int64_t *m = <const int64_t *>address_of(maps, 2, cnp.NPY_INT64)
    cdef const uint8_t *colour = <const uint8_t *>address_of(fill, 1, cnp.NPY_UINT8)
    cdef ptrdiff_t N = x.shape[0], H = x.shape[1], W = x.shape[2], C = x.shape[3]
    if y.shape[0] != N or y.shape[1] != H or y.shape[2] != W or y.shape[3] != C:
        raise ValueError("the result needs the shape of the images")
    if maps.shape[0] != N or maps.shape[1] != 6 or fill.shape[0] != C:
        raise ValueError("the kernel needs a map for each image and a number for each channel")
    if not cnp.PyArray_ISWRITEABLE(y):
        raise ValueError("the result cannot be written to")
    cdef int failed
    with nogil:
        failed = mk_warp(to, source, m, colour, N, H, W, C)
    done(failed)
