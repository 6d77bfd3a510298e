ctypedef int (*pair_forward)(
    float *y, const float *x, const float *target, ptrdiff_t n, int reduction, float delta
) noexcept nogil
ctypedef int (*pair_backward)(
    float *gx, const float *gy, const float *x, const float *target, ptrdiff_t n, int reduction, float delta
) noexcept nogil

cdef extern from "mk.h" nogil:
    pair_forward mk_l1_loss_forward "mk->l1_loss_forward"
    pair_backward mk_l1_loss_backward "mk->l1_loss_backward"
    pair_forward mk_mse_loss_forward "mk->mse_loss_forward"
    pair_backward mk_mse_loss_backward "mk->mse_loss_backward"
    pair_forward mk_huber_loss_forward "mk->huber_loss_forward"
    pair_backward mk_huber_loss_backward "mk->huber_loss_backward"
    int mk_bce_forward "mk->bce_forward"(
        float *y, const float *x, const float *target, const float *w, const float *pos_weight, ptrdiff_t n,
        int reduction) noexcept
    int mk_bce_backward "mk->bce_backward"(
        float *gx, const float *gy, const float *x, const float *target, const float *w, const float *pos_weight,
        ptrdiff_t n, int reduction) noexcept
    int mk_bce_target_backward "mk->bce_target_backward"(
        float *gt, const float *gy, const float *x, const float *w, const float *pos_weight, ptrdiff_t n,
        int reduction) noexcept


cdef int losses_forward(
    pair_forward kernel, cnp.ndarray y, cnp.ndarray x, cnp.ndarray target, int reduction, float delta
) except -1:
    cdef ptrdiff_t n = cnp.PyArray_SIZE(x)
    cdef float *to = floats(y, 1 if reduction else n)
    cdef float *of = floats(x, n)
    cdef float *other = floats(target, n)
    cdef int failed
    with nogil:
        failed = kernel(to, of, other, n, reduction, delta)
    return done(failed)


cdef int losses_backward(
    pair_backward kernel, cnp.ndarray gx, cnp.ndarray gy, cnp.ndarray x, cnp.ndarray target, int reduction,
    float delta
) except -1:
    cdef ptrdiff_t n = cnp.PyArray_SIZE(x)
    cdef float *to = floats(gx, n)
    cdef float *gradient = floats(gy, 1 if reduction else n)
    cdef float *of = floats(x, n)
    cdef float *other = floats(target, n)
    cdef int failed
    with nogil:
        failed = kernel(to, gradient, of, other, n, reduction, delta)
    return done(failed)


# reduction: 0 none, 1 mean, 2 sum


def l1_loss_forward(
    cnp.ndarray y not None, cnp.ndarray x not None, cnp.ndarray target not None, int reduction
):
    losses_forward(mk_l1_loss_forward, y, x, target, reduction, 0)


def l1_loss_backward(
    cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray x not None, cnp.ndarray target not None,
    int reduction
):
    losses_backward(mk_l1_loss_backward, gx, gy, x, target, reduction, 0)


def mse_loss_forward(
    cnp.ndarray y not None, cnp.ndarray x not None, cnp.ndarray target not None, int reduction
):
    losses_forward(mk_mse_loss_forward, y, x, target, reduction, 0)


def mse_loss_backward(
    cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray x not None, cnp.ndarray target not None,
    int reduction
):
    losses_backward(mk_mse_loss_backward, gx, gy, x, target, reduction, 0)


def huber_loss_forward(
    cnp.ndarray y not None, cnp.ndarray x not None, cnp.ndarray target not None, int reduction, float delta
):
    losses_forward(mk_huber_loss_forward, y, x, target, reduction, delta)


def huber_loss_backward(
    cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray x not None, cnp.ndarray target not None,
    int reduction, float delta
):
    losses_backward(mk_huber_loss_backward, gx, gy, x, target, reduction, delta)


def bce_forward(
    cnp.ndarray y not None, cnp.ndarray x not None, cnp.ndarray target not None, w, pos_weight, int reduction
):
    cdef ptrdiff_t n = cnp.PyArray_SIZE(x)
    cdef float *to = floats(y, 1 if reduction else n)
    cdef float *of = floats(x, n)
    cdef float *other = floats(target, n)
    cdef float *weight = floats_or_null(w, n)
    cdef float *of_yes = floats_or_null(pos_weight, n)
    cdef int failed
    with nogil:
        failed = mk_bce_forward(to, of, other, weight, of_yes, n, reduction)
    done(failed)


def bce_backward(
    cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray x not None, cnp.ndarray target not None,
    w, pos_weight, int reduction
):
    cdef ptrdiff_t n = cnp.PyArray_SIZE(x)
    cdef float *to = floats(gx, n)
    cdef float *gradient = floats(gy, 1 if reduction else n)
    cdef float *of = floats(x, n)
    cdef float *other = floats(target, n)
    cdef float *weight = floats_or_null(w, n)
    cdef float *of_yes = floats_or_null(pos_weight, n)
    cdef int failed
    with nogil:
        failed = mk_bce_backward(to, gradient, of, other, weight, of_yes, n, reduction)
    done(failed)


def bce_target_backward(
    cnp.ndarray gt not None, cnp.ndarray gy not None, cnp.ndarray x not None, w, pos_weight, int reduction
):
    cdef ptrdiff_t n = cnp.PyArray_SIZE(x)
    cdef float *to = floats(gt, n)
    cdef float *gradient = floats(gy, 1 if reduction else n)
    cdef float *of = floats(x, n)
    cdef float *weight = floats_or_null(w, n)
    cdef float *of_yes = floats_or_null(pos_weight, n)
    cdef int failed
    with nogil:
        failed = mk_bce_target_backward(to, gradient, of, weight, of_yes, n, reduction)
    done(failed)
