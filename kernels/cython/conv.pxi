cdef extern from "mk.h" nogil:
    ctypedef struct mk_conv:
        ptrdiff_t N, C, H, W, K, KH, KW, OH, OW
        ptrdiff_t stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups
    ptrdiff_t mk_conv_packed_size "mk->conv_packed_size"(const mk_conv *p) noexcept
    int mk_conv_pack "mk->conv_pack"(float *packed, const float *w, const mk_conv *p) noexcept
    int mk_conv_run "mk->conv_run"(float *y, const float *x, const float *packed, const float *bias,
                                   const float *residual, const mk_conv *p, int with_relu) noexcept
    ptrdiff_t mk_conv_data_workspace "mk->conv_data_workspace"(const mk_conv *p) noexcept
    int mk_conv_backward_data "mk->conv_backward_data"(float *gx, const float *gy, const float *w, float *workspace,
                                                       const mk_conv *p) noexcept
    ptrdiff_t mk_conv_gradient_workspace "mk->conv_gradient_workspace"(const mk_conv *p) noexcept
    int mk_conv_weight_gradient "mk->conv_weight_gradient"(float *gw, const float *gy, const float *x,
                                                           float *workspace, const mk_conv *p) noexcept
    ptrdiff_t mk_depthwise_workspace "mk->depthwise_workspace"(const mk_conv *p) noexcept
    int mk_depthwise_forward "mk->depthwise_forward"(float *y, const float *x, const float *w, const float *bias,
                                                     float *workspace, const mk_conv *p, int with_relu) noexcept
    int mk_depthwise_backward_data "mk->depthwise_backward_data"(float *gx, const float *gy, const float *w,
                                                                 float *workspace, const mk_conv *p) noexcept
    int mk_depthwise_weight_gradient "mk->depthwise_weight_gradient"(float *gw, const float *gy, const float *x,
                                                                     float *workspace, const mk_conv *p) noexcept
    ptrdiff_t mk_winograd_packed_size "mk->winograd_packed_size"(ptrdiff_t C, ptrdiff_t K) noexcept
    void mk_winograd_pack "mk->winograd_pack"(float *packed, const float *w, ptrdiff_t C, ptrdiff_t K,
                                              int turned) noexcept
    int mk_winograd_run "mk->winograd_run"(
        float *y, const float *x, const float *packed, const float *bias, const float *residual, ptrdiff_t N,
        ptrdiff_t C, ptrdiff_t H, ptrdiff_t W, ptrdiff_t K, int with_relu) noexcept
    ptrdiff_t mk_winograd_gradient_workspace "mk->winograd_gradient_workspace"(
        ptrdiff_t N, ptrdiff_t C, ptrdiff_t H, ptrdiff_t W, ptrdiff_t K) noexcept
    int mk_winograd_weight_gradient "mk->winograd_weight_gradient"(
        float *gw, const float *gy, const float *x, float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t H,
        ptrdiff_t W, ptrdiff_t K) noexcept


cdef mk_conv geometry(cnp.ndarray x, w_shape, cnp.ndarray y, stride, padding, dilation, ptrdiff_t groups) except *:
    """The shapes of images, weights and results, checked: what the kernels rely on."""
    cdef mk_conv p
    if x.ndim != 4 or len(w_shape) != 4 or y.ndim != 4:
        raise ValueError("images, weights and results have 4 dimensions")
    p.N, p.C, p.H, p.W = x.shape[0], x.shape[1], x.shape[2], x.shape[3]
    p.K, channels, p.KH, p.KW = w_shape
    p.OH, p.OW = y.shape[2], y.shape[3]
    p.stride_h, p.stride_w = stride
    (p.pad_top, _), (p.pad_left, _) = padding
    p.dilation_h, p.dilation_w = dilation
    p.groups = groups
    if (groups < 1 or p.C % groups or p.K % groups or channels != p.C // groups or y.shape[0] != p.N
            or y.shape[1] != p.K):
        raise ValueError("channels of images, weights and results do not fit")
    if min(p.stride_h, p.stride_w, p.dilation_h, p.dilation_w) < 1 or cnp.PyArray_SIZE(y) == 0 or min(w_shape) < 1:
        raise ValueError("no stride, no dilation, or nothing to compute")
    return p


cdef enum:
    DIRECT, WINOGRAD, DEPTHWISE

CONV_ALGORITHMS = {"direct": DIRECT, "winograd": WINOGRAD, "depthwise": DEPTHWISE}


cdef str misfit(int algorithm, mk_conv p):
    """What keeps the algorithm from this convolution; None if it takes it."""
    if algorithm == DEPTHWISE and not p.groups == p.C == p.K:
        return f"its groups, channels in and channels out are {p.groups}, {p.C}, {p.K}, not the same number"
    if algorithm != WINOGRAD:
        return None
    if not p.KH == p.KW == 3:
        return f"its kernel is {p.KH} x {p.KW}, not 3 x 3"
    if not p.stride_h == p.stride_w == 1:
        return f"its stride is {p.stride_h} x {p.stride_w}, not 1"
    if not p.dilation_h == p.dilation_w == 1:
        return f"its dilation is {p.dilation_h} x {p.dilation_w}, not 1"
    if p.groups != 1:
        return f"it has {p.groups} groups, not 1"
    if not (p.pad_top == p.pad_left == 1 and p.OH == p.H and p.OW == p.W):
        bottom, right = p.OH + 2 - p.H - p.pad_top, p.OW + 2 - p.W - p.pad_left
        return f"its padding is {p.pad_top}, {bottom} x {p.pad_left}, {right}, not 1 on all sides"
    return None


class MisfitError(ValueError):
    """The call is right, but this algorithm does not take it."""


cdef int chosen(str algorithm, mk_conv p) except -1:
    """The algorithm's number, if it takes the case."""
    cdef int number = CONV_ALGORITHMS[algorithm]
    reason = misfit(number, p)
    if reason is not None:
        raise MisfitError(f"{algorithm} does not take this convolution: {reason}")
    return number


def conv_forward(cnp.ndarray y not None, cnp.ndarray x not None, cnp.ndarray w not None, cnp.ndarray bias,
                 cnp.ndarray residual=None, *, str algorithm, stride, padding, dilation, groups, bint with_relu=False):
    """y = the convolution of x with w, plus bias and residual, if any, through a ReLU if asked for"""
    cdef mk_conv p = geometry(x, (<object>w).shape, y, stride, padding, dilation, groups)
    cdef int which = chosen(algorithm, p), failed
    cdef float *to = floats(y, cnp.PyArray_SIZE(y))
    cdef float *of = floats(x, cnp.PyArray_SIZE(x))
    cdef float *weight = floats(w, cnp.PyArray_SIZE(w))
    cdef float *plus = floats_or_null(bias, p.K)
    cdef float *also = floats_or_null(residual, cnp.PyArray_SIZE(y))
    if which == DEPTHWISE and also != NULL:
        raise ValueError("depthwise convolution adds no residual")
    cdef float *scratch = workspace(mk_winograd_packed_size(p.C, p.K) if which == WINOGRAD else
                                    mk_depthwise_workspace(&p) if which == DEPTHWISE else mk_conv_packed_size(&p))
    with nogil:
        if which == WINOGRAD:
            mk_winograd_pack(scratch, weight, p.C, p.K, 0)
            failed = mk_winograd_run(to, of, scratch, plus, also, p.N, p.C, p.H, p.W, p.K, with_relu)
        elif which == DEPTHWISE:
            failed = mk_depthwise_forward(to, of, weight, plus, scratch, &p, with_relu)
        else:
            failed = mk_conv_pack(scratch, weight, &p) or mk_conv_run(to, of, scratch, plus, also, &p, with_relu)
        mk_give(scratch)
    done(failed)


def conv_backward_data(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray w not None, *,
                       str algorithm, stride, padding, dilation, groups):
    """gx = the gradient of the images"""
    cdef mk_conv p = geometry(gx, (<object>w).shape, gy, stride, padding, dilation, groups)
    cdef int which = chosen(algorithm, p), failed
    cdef float *to = floats(gx, cnp.PyArray_SIZE(gx))
    cdef float *of = floats(gy, cnp.PyArray_SIZE(gy))
    cdef float *weight = floats(w, cnp.PyArray_SIZE(w))
    cdef float *scratch = workspace(mk_winograd_packed_size(p.K, p.C) if which == WINOGRAD else
                                    mk_depthwise_workspace(&p) if which == DEPTHWISE else mk_conv_data_workspace(&p))
    with nogil:
        if which == WINOGRAD:
            mk_winograd_pack(scratch, weight, p.K, p.C, 1)
            failed = mk_winograd_run(to, of, scratch, NULL, NULL, p.N, p.K, p.H, p.W, p.C, 0)
        elif which == DEPTHWISE:
            failed = mk_depthwise_backward_data(to, of, weight, scratch, &p)
        else:
            failed = mk_conv_backward_data(to, of, weight, scratch, &p)
        mk_give(scratch)
    done(failed)


def conv_weight_gradient(cnp.ndarray gw not None, cnp.ndarray gy not None, cnp.ndarray x not None, *,
                         str algorithm, stride, padding, dilation, groups):
    """gw = the gradient of the weights"""
    cdef mk_conv p = geometry(x, (<object>gw).shape, gy, stride, padding, dilation, groups)
    cdef int which = chosen(algorithm, p), failed
    cdef float *to = floats(gw, cnp.PyArray_SIZE(gw))
    cdef float *gradient = floats(gy, cnp.PyArray_SIZE(gy))
    cdef float *of = floats(x, cnp.PyArray_SIZE(x))
    cdef float *scratch = workspace(
        mk_winograd_gradient_workspace(p.N, p.C, p.H, p.W, p.K) if which == WINOGRAD else
        mk_depthwise_workspace(&p) if which == DEPTHWISE else mk_conv_gradient_workspace(&p))
    with nogil:
        if which == WINOGRAD:
            failed = mk_winograd_weight_gradient(to, gradient, of, scratch, p.N, p.C, p.H, p.W, p.K)
        elif which == DEPTHWISE:
            failed = mk_depthwise_weight_gradient(to, gradient, of, scratch, &p)
        else:
            failed = mk_conv_weight_gradient(to, gradient, of, scratch, &p)
        mk_give(scratch)
    done(failed)
