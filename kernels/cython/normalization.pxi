cdef extern from "mk.h" nogil:
    ptrdiff_t mk_batch_norm_workspace "mk->batch_norm_workspace"(
        ptrdiff_t N, ptrdiff_t C, ptrdiff_t L) noexcept
    int mk_batch_norm_forward "mk->batch_norm_forward"(
        float *y, float *mean, float *var, const float *x, const float *w, const float *b, const float *z,
        float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps, int with_relu) noexcept
    int mk_batch_norm_backward "mk->batch_norm_backward"(
        float *gx, float *gw, float *gb, float *gz, const float *gy, const float *y, const float *x,
        const float *mean, const float *var, const float *w, const float *b, float *workspace, ptrdiff_t N,
        ptrdiff_t C, ptrdiff_t L, float eps, int nothing_added) noexcept
    int mk_batch_norm_inference_forward "mk->batch_norm_inference_forward"(
        float *y, const float *x, const float *mean, const float *var, const float *w, const float *b,
        ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps) noexcept
    int mk_batch_norm_inference_backward "mk->batch_norm_inference_backward"(
        float *gx, float *gw, float *gb, const float *gy, const float *x, const float *mean,
        const float *var, const float *w, float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L,
        float eps) noexcept
    int mk_group_norm_forward "mk->group_norm_forward"(
        float *y, float *mean, float *var, const float *x, const float *w, const float *b, ptrdiff_t N,
        ptrdiff_t C, ptrdiff_t L, ptrdiff_t G, float eps) noexcept
    ptrdiff_t mk_group_norm_workspace "mk->group_norm_workspace"(
        ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, ptrdiff_t G) noexcept
    int mk_group_norm_backward "mk->group_norm_backward"(
        float *gx, float *gw, float *gb, const float *gy, const float *x, const float *mean,
        const float *var, const float *w, float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L,
        ptrdiff_t G, float eps) noexcept


def batch_norm_workspace(ptrdiff_t N, ptrdiff_t C, ptrdiff_t L):
    """How many float32 numbers the kernels of batch normalization need for themselves."""
    return mk_batch_norm_workspace(N, C, L)


def batch_norm_forward(cnp.ndarray y not None, cnp.ndarray mean not None, cnp.ndarray var not None,
                       cnp.ndarray x not None, w, b, z, cnp.ndarray workspace not None, float eps,
                       ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, bint with_relu):
    """y = w * (x - mean) / sqrt(var + eps) + b [+ z], with the mean and the variance of each channel of x
    (N, C, L), then max(0, y) if wished"""
    cdef float *to = floats(y, N * C * L)
    cdef float *mean_to = floats(mean, C)
    cdef float *var_to = floats(var, C)
    cdef float *of = floats(x, N * C * L)
    cdef float *weight = floats_or_null(w, C)
    cdef float *bias = floats_or_null(b, C)
    cdef float *other = floats_or_null(z, N * C * L)
    cdef float *space = floats(workspace, mk_batch_norm_workspace(N, C, L))
    cdef int failed
    with nogil:
        failed = mk_batch_norm_forward(
            to, mean_to, var_to, of, weight, bias, other, space, N, C, L, eps, with_relu)
    done(failed)


def batch_norm_backward(gx, gw, gb, gz, cnp.ndarray gy not None, y, cnp.ndarray x not None,
                        cnp.ndarray mean not None, cnp.ndarray var not None, w, b, cnp.ndarray workspace not None,
                        float eps, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, bint nothing_added):
    """The gradients of x, w, b and of what was added that are not None; y: the result of the ReLU, if one was
    behind, of the normalization alone if nothing was added"""
    cdef float *to = floats_or_null(gx, N * C * L)
    cdef float *weight_to = floats_or_null(gw, C)
    cdef float *bias_to = floats_or_null(gb, C)
    cdef float *other_to = floats_or_null(gz, N * C * L)
    cdef float *gradient = floats(gy, N * C * L)
    cdef float *result = floats_or_null(y, N * C * L)
    cdef float *of = floats(x, N * C * L)
    cdef float *at = floats(mean, C)
    cdef float *spread = floats(var, C)
    cdef float *weight = floats_or_null(w, C)
    cdef float *bias = floats_or_null(b, C)
    cdef float *space = floats(workspace, mk_batch_norm_workspace(N, C, L))
    cdef int failed
    with nogil:
        failed = mk_batch_norm_backward(to, weight_to, bias_to, other_to, gradient, result, of, at, spread, weight,
                                        bias, space, N, C, L, eps, nothing_added)
    done(failed)


def batch_norm_inference_backward(gx, gw, gb, cnp.ndarray gy not None, cnp.ndarray x not None,
                                  cnp.ndarray mean not None, cnp.ndarray var not None, w,
                                  cnp.ndarray workspace not None, float eps, ptrdiff_t N, ptrdiff_t C,
                                  ptrdiff_t L):
    """The gradients of x, w and b that are not None, where the mean and the variance were given"""
    cdef float *to = floats_or_null(gx, N * C * L)
    cdef float *weight_to = floats_or_null(gw, C)
    cdef float *bias_to = floats_or_null(gb, C)
    cdef float *gradient = floats(gy, N * C * L)
    cdef float *of = floats(x, N * C * L)
    cdef float *at = floats(mean, C)
    cdef float *spread = floats(var, C)
    cdef float *weight = floats_or_null(w, C)
    cdef float *space = floats(workspace, mk_batch_norm_workspace(N, C, L))
    cdef int failed
    with nogil:
        failed = mk_batch_norm_inference_backward(
            to, weight_to, bias_to, gradient, of, at, spread, weight, space, N, C, L, eps)
    done(failed)


def batch_norm_inference_forward(cnp.ndarray y not None, cnp.ndarray x not None, cnp.ndarray mean not None,
                                 cnp.ndarray var not None, w, b, float eps, ptrdiff_t N, ptrdiff_t C,
                                 ptrdiff_t L):
    """y = w * (x - mean) / sqrt(var + eps) + b, for x (N, C, L)"""
    cdef float *to = floats(y, N * C * L)
    cdef float *of = floats(x, N * C * L)
    cdef float *at = floats(mean, C)
    cdef float *spread = floats(var, C)
    cdef float *weight = floats_or_null(w, C)
    cdef float *bias = floats_or_null(b, C)
    cdef int failed
    with nogil:
        failed = mk_batch_norm_inference_forward(to, of, at, spread, weight, bias, N, C, L, eps)
    done(failed)


def group_norm_forward(cnp.ndarray y not None, cnp.ndarray mean not None, cnp.ndarray var not None,
                       cnp.ndarray x not None, w, b, float eps, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L,
                       ptrdiff_t G):
    """y = w * (x - mean) / sqrt(var + eps) + b, with the statistics of each of G groups of channels"""
    cdef float *to = floats(y, N * C * L)
    cdef float *mean_to = floats(mean, N * G)
    cdef float *var_to = floats(var, N * G)
    cdef float *of = floats(x, N * C * L)
    cdef float *weight = floats_or_null(w, C)
    cdef float *bias = floats_or_null(b, C)
    cdef int failed
    with nogil:
        failed = mk_group_norm_forward(to, mean_to, var_to, of, weight, bias, N, C, L, G, eps)
    done(failed)


def group_norm_workspace(ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, ptrdiff_t G):
    """How many float32 numbers group_norm_backward needs for itself."""
    return mk_group_norm_workspace(N, C, L, G)


def group_norm_backward(gx, gw, gb, cnp.ndarray gy not None, cnp.ndarray x not None,
                        cnp.ndarray mean not None, cnp.ndarray var not None, w, cnp.ndarray workspace not None,
                        float eps, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, ptrdiff_t G):
    """The gradients of x, w and b that are not None"""
    cdef float *to = floats_or_null(gx, N * C * L)
    cdef float *weight_to = floats_or_null(gw, C)
    cdef float *bias_to = floats_or_null(gb, C)
    cdef float *gradient = floats(gy, N * C * L)
    cdef float *of = floats(x, N * C * L)
    cdef float *at = floats(mean, N * G)
    cdef float *spread = floats(var, N * G)
    cdef float *weight = floats_or_null(w, C)
    cdef float *space = floats(workspace, mk_group_norm_workspace(N, C, L, G))
    cdef int failed
    with nogil:
        failed = mk_group_norm_backward(
            to, weight_to, bias_to, gradient, of, at, spread, weight, space, N, C, L, G, eps)
    done(failed)
