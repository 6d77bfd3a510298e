cdef extern from "mk.h" nogil:
    ctypedef struct mk_window:
        ptrdiff_t H, W, OH, OW, KH, KW, SH, SW, DH, DW, top, bottom, left, right
    int mk_max_pool2d_forward "mk->max_pool2d_forward"(
        float *y, void *index, const float *x, ptrdiff_t planes, const mk_window *window,
        int with_relu) noexcept
    int mk_max_pool2d_backward "mk->max_pool2d_backward"(
        float *gx, const float *gy, const float *y, const void *index, ptrdiff_t planes,
        const mk_window *window) noexcept
    int mk_avg_pool2d_forward "mk->avg_pool2d_forward"(
        float *y, const float *x, ptrdiff_t planes, const mk_window *window, int with_padding,
        float divisor) noexcept
    int mk_avg_pool2d_backward "mk->avg_pool2d_backward"(
        float *gx, const float *gy, ptrdiff_t planes, const mk_window *window, int with_padding,
        float divisor) noexcept
    int mk_adaptive_avg_pool2d_forward "mk->adaptive_avg_pool2d_forward"(
        float *y, const float *x, ptrdiff_t planes, ptrdiff_t H, ptrdiff_t W, ptrdiff_t OH,
        ptrdiff_t OW) noexcept
    int mk_adaptive_avg_pool2d_backward "mk->adaptive_avg_pool2d_backward"(
        float *gx, const float *gy, ptrdiff_t planes, ptrdiff_t H, ptrdiff_t W, ptrdiff_t OH,
        ptrdiff_t OW) noexcept
    int mk_adaptive_max_pool2d_forward "mk->adaptive_max_pool2d_forward"(
        float *y, cnp.int64_t *index, const float *x, ptrdiff_t planes, ptrdiff_t H, ptrdiff_t W,
        ptrdiff_t OH, ptrdiff_t OW) noexcept
    int mk_adaptive_max_pool2d_backward "mk->adaptive_max_pool2d_backward"(
        float *gx, const float *gy, const cnp.int64_t *index, ptrdiff_t planes, ptrdiff_t pixels,
        ptrdiff_t windows) noexcept


cdef void *indices(cnp.ndarray array, ptrdiff_t n, int kind) except NULL:
    """The address of n indices, if they are of this type in one C-contiguous, aligned run."""
    if cnp.PyArray_TYPE(array) != kind or not cnp.PyArray_ISCARRAY_RO(array):
        raise ValueError("the kernel needs indices of its type in one C-contiguous, aligned run")
    if cnp.PyArray_SIZE(array) != n:
        raise ValueError(f"expected {n} indices, got {cnp.PyArray_SIZE(array)}")
    return cnp.PyArray_DATA(array)


cdef int index_kind(mk_window *window) noexcept:
    return cnp.NPY_UINT8 if window.KH * window.KW <= 256 else cnp.NPY_INT32


cdef mk_window window_of(cnp.ndarray x, cnp.ndarray y, kernel_size, stride, padding, dilation) except *:
    """The geometry, from images (N, C, H, W) and (N, C, OH, OW) and the options of the operation."""
    cdef mk_window window
    window.H, window.W = x.shape[2], x.shape[3]
    window.OH, window.OW = y.shape[2], y.shape[3]
    window.KH, window.KW = kernel_size
    # Of a single window the stride means nothing, and memory in proportion to it would be wasted.
    window.SH = stride[0] if window.OH > 1 else min(stride[0], 2)
    window.SW = stride[1] if window.OW > 1 else min(stride[1], 2)
    window.DH, window.DW = dilation
    (window.top, window.bottom), (window.left, window.right) = padding
    return window


cdef mk_window covering(mk_window w) except *:
    """The geometry, checked: windows no larger than the padded image, and none that begins behind the image."""
    if min(w.H, w.W, w.OH, w.OW, w.KH, w.KW, w.SH, w.SW, w.DH, w.DW) < 1 or min(w.top, w.bottom, w.left, w.right) < 0:
        raise ValueError("no pixels, windows, strides or dilations, or negative padding")
    for size, count, taps, stride, dilation, before, after in ((w.H, w.OH, w.KH, w.SH, w.DH, w.top, w.bottom),
                                                               (w.W, w.OW, w.KW, w.SW, w.DW, w.left, w.right)):
        if (taps - 1) * dilation >= size + before + after or (count - 1) * stride - before >= size:
            raise ValueError("windows larger than the image, or behind it")
    return w


cdef ptrdiff_t planes_of(cnp.ndarray images) except -1:
    return cnp.PyArray_DIM(images, 0) * cnp.PyArray_DIM(images, 1)


def max_pool2d_forward(cnp.ndarray y not None, cnp.ndarray index not None, cnp.ndarray x not None,
                       kernel_size, stride, padding, dilation, *, bint with_relu=False):
    """y = the largest value of each window, through a ReLU if asked for; index = where in the window it stands"""
    cdef mk_window window = window_of(x, y, kernel_size, stride, padding, dilation)
    cdef ptrdiff_t planes = planes_of(x)
    cdef float *of = floats(x, planes * window.H * window.W)
    cdef float *to = floats(y, planes * window.OH * window.OW)
    cdef void *at = indices(index, planes * window.OH * window.OW, index_kind(&window))
    cdef int failed
    with nogil:
        failed = mk_max_pool2d_forward(to, at, of, planes, &window, with_relu)
    done(failed)


def max_pool2d_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray y,
                        cnp.ndarray index not None, kernel_size, stride, padding, dilation):
    """gx = gy of the windows that each pixel won; behind a ReLU, whose result is y, of those with y > 0"""
    cdef mk_window window = window_of(gx, gy, kernel_size, stride, padding, dilation)
    cdef ptrdiff_t planes = planes_of(gx)
    cdef float *to = floats(gx, planes * window.H * window.W)
    cdef float *gradient = floats(gy, planes * window.OH * window.OW)
    cdef float *result = floats_or_null(y, planes * window.OH * window.OW)
    cdef void *at = indices(index, planes * window.OH * window.OW, index_kind(&window))
    cdef int failed
    with nogil:
        failed = mk_max_pool2d_backward(to, gradient, result, at, planes, &window)
    done(failed)


def avg_pool2d_forward(cnp.ndarray y not None, cnp.ndarray x not None, kernel_size, stride, padding,
                       bint with_padding, float divisor):
    """y = the mean of each window; divisor 0: of as many pixels as it holds"""
    cdef mk_window window = window_of(x, y, kernel_size, stride, padding, (1, 1))
    cdef ptrdiff_t planes = planes_of(x)
    cdef float *to = floats(y, planes * window.OH * window.OW)
    cdef float *of = floats(x, planes * window.H * window.W)
    cdef int failed
    with nogil:
        failed = mk_avg_pool2d_forward(to, of, planes, &window, with_padding, divisor)
    done(failed)


def avg_pool2d_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, kernel_size, stride, padding,
                        bint with_padding, float divisor):
    """gx = gy of each window, spread evenly over its pixels"""
    cdef mk_window window = window_of(gx, gy, kernel_size, stride, padding, (1, 1))
    cdef ptrdiff_t planes = planes_of(gx)
    cdef float *to = floats(gx, planes * window.H * window.W)
    cdef float *gradient = floats(gy, planes * window.OH * window.OW)
    cdef int failed
    with nogil:
        failed = mk_avg_pool2d_backward(to, gradient, planes, &window, with_padding, divisor)
    done(failed)


def adaptive_avg_pool2d_forward(cnp.ndarray y not None, cnp.ndarray x not None):
    """y = the means over a grid of windows that covers x"""
    cdef ptrdiff_t planes = planes_of(x), H = x.shape[2], W = x.shape[3], OH = y.shape[2], OW = y.shape[3]
    cdef float *to = floats(y, planes * OH * OW)
    cdef float *of = floats(x, planes * H * W)
    cdef int failed
    with nogil:
        failed = mk_adaptive_avg_pool2d_forward(to, of, planes, H, W, OH, OW)
    done(failed)


def adaptive_avg_pool2d_backward(cnp.ndarray gx not None, cnp.ndarray gy not None):
    """gx = gy of each window, spread evenly over its pixels"""
    cdef ptrdiff_t planes = planes_of(gx), H = gx.shape[2], W = gx.shape[3], OH = gy.shape[2], OW = gy.shape[3]
    cdef float *to = floats(gx, planes * H * W)
    cdef float *gradient = floats(gy, planes * OH * OW)
    cdef int failed
    with nogil:
        failed = mk_adaptive_avg_pool2d_backward(to, gradient, planes, H, W, OH, OW)
    done(failed)


def adaptive_max_pool2d_forward(cnp.ndarray y not None, cnp.ndarray index not None, cnp.ndarray x not None):
    """y = the largest values over a grid of windows that covers x, index = where in the image they stand"""
    cdef ptrdiff_t planes = planes_of(x), H = x.shape[2], W = x.shape[3], OH = y.shape[2], OW = y.shape[3]
    cdef float *to = floats(y, planes * OH * OW)
    cdef float *of = floats(x, planes * H * W)
    cdef void *at = indices(index, planes * OH * OW, cnp.NPY_INT64)
    cdef int failed
    with nogil:
        failed = mk_adaptive_max_pool2d_forward(to, <cnp.int64_t *>at, of, planes, H, W, OH, OW)
    done(failed)


def adaptive_max_pool2d_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray index not None):
    """gx = gy of the windows that each pixel won"""
    cdef ptrdiff_t planes = planes_of(gx), pixels = gx.shape[2] * gx.shape[3]
    cdef ptrdiff_t windows = gy.shape[2] * gy.shape[3]
    cdef float *to = floats(gx, planes * pixels)
    cdef float *gradient = floats(gy, planes * windows)
    cdef void *at = indices(index, planes * windows, cnp.NPY_INT64)
    cdef int failed
    with nogil:
        failed = mk_adaptive_max_pool2d_backward(to, gradient, <cnp.int64_t *>at, planes, pixels, windows)
    done(failed)
