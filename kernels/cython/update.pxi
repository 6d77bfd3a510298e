from libc.math cimport pow, sqrt
from libc.stdlib cimport free, malloc

cdef extern from "mk.h" nogil:
    ctypedef struct mk_parameter:
        float *param
        const float *grad
        float *state[2]
        ptrdiff_t first, length
        float factor[2]
    int mk_sgd_update "mk->sgd_update"(const mk_parameter *table, ptrdiff_t count, float lr, float momentum,
                                       float l2, int nesterov, int maximize) noexcept
    int mk_adam_update "mk->adam_update"(const mk_parameter *table, ptrdiff_t count, float fresh1, float beta2,
                                         float fresh2, float eps, float l2, float keep, int maximize) noexcept


cdef float *numbers(cnp.ndarray array, ptrdiff_t n, bint change) noexcept:
    """The address of n float32 numbers in one run, to be changed or read; NULL if they are not that."""
    if cnp.PyArray_TYPE(array) != cnp.NPY_FLOAT32 or cnp.PyArray_SIZE(array) != n:
        return NULL
    if not (cnp.PyArray_ISCARRAY(array) if change else cnp.PyArray_ISCARRAY_RO(array)):
        return NULL
    return <float *>cnp.PyArray_DATA(array)


cdef class Table:
    """What the kernels know of parameters, and whether they can take them."""

    cdef mk_parameter *rows
    cdef ptrdiff_t count
    cdef readonly bint fits

    def __cinit__(self, list params not None, list grads not None, list first, list second):
        cdef ptrdiff_t i, n, total = 0
        cdef mk_parameter *row
        self.count = len(params)
        for other in (grads, first, second):
            if other is not None and len(other) != self.count:
                raise ValueError(f"expected lists of {self.count} arrays, got one of {len(other)}")
        self.rows = <mk_parameter *>malloc((self.count + 1) * sizeof(mk_parameter))
        if self.rows == NULL:
            raise MemoryError("no memory for the table of parameters")
        self.fits = True
        for i in range(self.count):
            row = self.rows + i
            n = cnp.PyArray_SIZE(<cnp.ndarray?>params[i])
            row.first = total
            row.length = n
            row.param = numbers(params[i], n, True)
            row.grad = numbers(<cnp.ndarray?>grads[i], n, False)
            row.state[0] = numbers(<cnp.ndarray?>first[i], n, True) if first is not None else NULL
            row.state[1] = numbers(<cnp.ndarray?>second[i], n, True) if second is not None else NULL
            total += n
            if (row.param == NULL or row.grad == NULL or (first is not None and row.state[0] == NULL)
                    or (second is not None and row.state[1] == NULL)):
                self.fits = False

    def __dealloc__(self):
        free(self.rows)


def sgd_update(list params, list grads, list momentum_buffers, double lr, double momentum, list dampening,
               double l2, bint nesterov, bint maximize):
    """One step of SGD; False, and nothing done, if not all arrays are float32 in runs."""
    cdef Table table = Table(params, grads, momentum_buffers, None)
    cdef ptrdiff_t i
    cdef int failed
    if not table.fits:
        return False
    for i in range(table.count):
        table.rows[i].factor[0] = 1 - <double>dampening[i]
    with nogil:
        failed = mk_sgd_update(table.rows, table.count, lr, momentum, l2, nesterov, maximize)
    done(failed)
    return True


def adam_update(list params, list grads, list exp_avgs not None, list exp_avg_sqs not None, double lr,
                double beta1, double beta2, double eps, double l2, double weight_decay, list steps, bint maximize):
    """One step of Adam or AdamW; False, and nothing done, if not all arrays are float32 in runs."""
    cdef Table table = Table(params, grads, exp_avgs, exp_avg_sqs)
    cdef ptrdiff_t i
    cdef double rate = 0, root = 0
    cdef int failed
    if not table.fits:
        return False
    for i in range(table.count):
        if i == 0 or steps[i] != steps[i - 1]:
            rate = lr / (1 - pow(beta1, <double>steps[i]))
            root = 1 / sqrt(1 - pow(beta2, <double>steps[i]))
        table.rows[i].factor[0] = rate
        table.rows[i].factor[1] = root
    with nogil:
        failed = mk_adam_update(table.rows, table.count, 1 - beta1, beta2, 1 - beta2, eps, l2,
                                1 - lr * weight_decay, maximize)
    done(failed)
    return True
