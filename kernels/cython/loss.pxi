cdef extern from "mk.h" nogil:
    int mk_cross_entropy_forward "mk->cross_entropy_forward"(
        float *loss, float *total, float *losses, float *weights, float *p, const float *x, const int64_t *target,
        const float *w, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index, float smoothing,
        int reduction) noexcept
    int mk_cross_entropy_backward "mk->cross_entropy_backward"(
        float *gx, const float *gy, const float *p, const int64_t *target, const float *w, float total,
        ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index, float smoothing,
        int reduction) noexcept
    int mk_nll_loss_forward "mk->nll_loss_forward"(
        float *loss, float *total, float *losses, float *weights, const float *x, const int64_t *target,
        const float *w, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index,
        int reduction) noexcept
    int mk_nll_loss_backward "mk->nll_loss_backward"(
        float *gx, const float *gy, const int64_t *target, const float *w, float total, ptrdiff_t outer,
        ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index, int reduction) noexcept


cdef int64_t *labels(cnp.ndarray array, ptrdiff_t n) except NULL:
    """The address of n labels, if they are int64 in one C-contiguous, aligned run."""
    if cnp.PyArray_TYPE(array) != cnp.NPY_INT64 or not cnp.PyArray_ISCARRAY_RO(array):
        raise ValueError("the kernel needs int64 labels in one C-contiguous, aligned run")
    if cnp.PyArray_SIZE(array) != n:
        raise ValueError(f"expected {n} labels, got {cnp.PyArray_SIZE(array)}")
    return <int64_t *>cnp.PyArray_DATA(array)


cdef Lines classes_of(cnp.ndarray x) except *:
    """The classes are dimension 1, or 0 of a single sample."""
    cdef Lines lines = lines_of(x, 1 if cnp.PyArray_NDIM(x) > 1 else 0)
    if lines.C == 0:
        raise ValueError("the kernel needs at least one class")
    return lines


# reduction: 0 none, 1 mean, 2 sum. losses and weights have a number for each label; loss and total are one.


def cross_entropy_forward(
    cnp.ndarray loss not None, cnp.ndarray total not None, cnp.ndarray losses not None,
    cnp.ndarray weights not None, cnp.ndarray p not None, cnp.ndarray x not None, cnp.ndarray target not None,
    w, int64_t ignore_index, float smoothing, int reduction,
):
    cdef Lines at = classes_of(x)
    cdef ptrdiff_t positions = at.outer * at.inner, n = positions * at.C
    cdef float *to[5]
    to[:] = [floats(loss, 1), floats(total, 1), floats(losses, positions), floats(weights, positions), floats(p, n)]
    cdef float *of = floats(x, n)
    cdef float *by_class = floats_or_null(w, at.C)
    cdef int64_t *label = labels(target, positions)
    cdef int failed
    with nogil:
        failed = mk_cross_entropy_forward(
            to[0], to[1], to[2], to[3], to[4], of, label, by_class, at.outer, at.C, at.inner, ignore_index,
            smoothing, reduction)
    done(failed)


def cross_entropy_backward(
    cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray p not None, cnp.ndarray target not None,
    w, float total, int64_t ignore_index, float smoothing, int reduction,
):
    cdef Lines at = classes_of(p)
    cdef ptrdiff_t positions = at.outer * at.inner, n = positions * at.C
    cdef float *to = floats(gx, n)
    cdef float *gradient = floats(gy, 1 if reduction else positions)
    cdef float *of = floats(p, n)
    cdef float *by_class = floats_or_null(w, at.C)
    cdef int64_t *label = labels(target, positions)
    cdef int failed
    with nogil:
        failed = mk_cross_entropy_backward(
            to, gradient, of, label, by_class, total, at.outer, at.C, at.inner, ignore_index, smoothing, reduction)
    done(failed)


def nll_loss_forward(
    cnp.ndarray loss not None, cnp.ndarray total not None, cnp.ndarray losses not None,
    cnp.ndarray weights not None, cnp.ndarray x not None, cnp.ndarray target not None,
    w, int64_t ignore_index, int reduction,
):
    cdef Lines at = classes_of(x)
    cdef ptrdiff_t positions = at.outer * at.inner
    cdef float *to[4]
    to[:] = [floats(loss, 1), floats(total, 1), floats(losses, positions), floats(weights, positions)]
    cdef float *of = floats(x, positions * at.C)
    cdef float *by_class = floats_or_null(w, at.C)
    cdef int64_t *label = labels(target, positions)
    cdef int failed
    with nogil:
        failed = mk_nll_loss_forward(
            to[0], to[1], to[2], to[3], of, label, by_class, at.outer, at.C, at.inner, ignore_index, reduction)
    done(failed)


def nll_loss_backward(
    cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray target not None,
    w, float total, int64_t ignore_index, int reduction,
):
    cdef Lines at = classes_of(gx)
    cdef ptrdiff_t positions = at.outer * at.inner
    cdef float *to = floats(gx, positions * at.C)
    cdef float *gradient = floats(gy, 1 if reduction else positions)
    cdef float *by_class = floats_or_null(w, at.C)
    cdef int64_t *label = labels(target, positions)
    cdef int failed
    with nogil:
        failed = mk_nll_loss_backward(
            to, gradient, label, by_class, total, at.outer, at.C, at.inner, ignore_index, reduction)
    done(failed)
