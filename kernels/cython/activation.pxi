# Functions of each element: MK_MAP in mk.h. Their parameters are named as the operations' attributes.

ctypedef int (*map_forward)(float *y, const float *x, ptrdiff_t n, float a, float b) noexcept nogil
ctypedef int (*map_backward)(
    float *gx, const float *gy, const float *saved, ptrdiff_t n, float a, float b
) noexcept nogil

cdef extern from "mk.h" nogil:
    map_forward mk_relu_forward "mk->relu_forward"
    map_backward mk_relu_backward "mk->relu_backward"
    map_forward mk_leaky_relu_forward "mk->leaky_relu_forward"
    map_backward mk_leaky_relu_backward "mk->leaky_relu_backward"
    map_forward mk_hardtanh_forward "mk->hardtanh_forward"
    map_backward mk_hardtanh_backward "mk->hardtanh_backward"
    map_forward mk_elu_forward "mk->elu_forward"
    map_backward mk_elu_backward "mk->elu_backward"
    map_forward mk_sigmoid_forward "mk->sigmoid_forward"
    map_backward mk_sigmoid_backward "mk->sigmoid_backward"
    map_forward mk_tanh_forward "mk->tanh_forward"
    map_backward mk_tanh_backward "mk->tanh_backward"
    map_forward mk_softplus_forward "mk->softplus_forward"
    map_backward mk_softplus_backward "mk->softplus_backward"
    map_forward mk_silu_forward "mk->silu_forward"
    map_backward mk_silu_backward "mk->silu_backward"
    map_forward mk_gelu_forward "mk->gelu_forward"
    map_backward mk_gelu_backward "mk->gelu_backward"
    map_forward mk_gelu_tanh_forward "mk->gelu_tanh_forward"
    map_backward mk_gelu_tanh_backward "mk->gelu_tanh_backward"
    map_forward mk_exp_forward "mk->exp_forward"
    map_backward mk_exp_backward "mk->exp_backward"
    map_forward mk_log_forward "mk->log_forward"
    map_backward mk_log_backward "mk->log_backward"


cdef int forward(map_forward kernel, cnp.ndarray y, cnp.ndarray x, float a, float b) except -1:
    cdef ptrdiff_t n = cnp.PyArray_SIZE(y)
    cdef float *to = floats(y, n)
    cdef float *of = floats(x, n)
    cdef int failed
    with nogil:
        failed = kernel(to, of, n, a, b)
    return done(failed)


cdef int backward(
    map_backward kernel, cnp.ndarray gx, cnp.ndarray gy, cnp.ndarray saved, float a, float b
) except -1:
    cdef ptrdiff_t n = cnp.PyArray_SIZE(gx)
    cdef float *to = floats(gx, n)
    cdef float *gradient = floats(gy, n)
    cdef float *of = floats(saved, n)
    cdef int failed
    with nogil:
        failed = kernel(to, gradient, of, n, a, b)
    return done(failed)


def relu_forward(cnp.ndarray y not None, cnp.ndarray x not None):
    forward(mk_relu_forward, y, x, 0, 0)


def relu_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray y not None):
    backward(mk_relu_backward, gx, gy, y, 0, 0)


def leaky_relu_forward(cnp.ndarray y not None, cnp.ndarray x not None, float negative_slope):
    forward(mk_leaky_relu_forward, y, x, negative_slope, 0)


def leaky_relu_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray x not None, float negative_slope):
    backward(mk_leaky_relu_backward, gx, gy, x, negative_slope, 0)


def hardtanh_forward(cnp.ndarray y not None, cnp.ndarray x not None, float min_val, float max_val):
    forward(mk_hardtanh_forward, y, x, min_val, max_val)


def hardtanh_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray x not None, float min_val, float max_val):
    backward(mk_hardtanh_backward, gx, gy, x, min_val, max_val)


def elu_forward(cnp.ndarray y not None, cnp.ndarray x not None, float alpha):
    forward(mk_elu_forward, y, x, alpha, 0)


def elu_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray x not None, float alpha):
    backward(mk_elu_backward, gx, gy, x, alpha, 0)


def sigmoid_forward(cnp.ndarray y not None, cnp.ndarray x not None):
    forward(mk_sigmoid_forward, y, x, 0, 0)


def sigmoid_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray y not None):
    backward(mk_sigmoid_backward, gx, gy, y, 0, 0)


def tanh_forward(cnp.ndarray y not None, cnp.ndarray x not None):
    forward(mk_tanh_forward, y, x, 0, 0)


def tanh_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray y not None):
    backward(mk_tanh_backward, gx, gy, y, 0, 0)


def softplus_forward(cnp.ndarray y not None, cnp.ndarray x not None, float beta, float threshold):
    forward(mk_softplus_forward, y, x, beta, threshold)


def softplus_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray x not None, float beta, float threshold):
    backward(mk_softplus_backward, gx, gy, x, beta, threshold)


def silu_forward(cnp.ndarray y not None, cnp.ndarray x not None):
    forward(mk_silu_forward, y, x, 0, 0)


def silu_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray x not None):
    backward(mk_silu_backward, gx, gy, x, 0, 0)


def gelu_forward(cnp.ndarray y not None, cnp.ndarray x not None, str approximate):
    forward(mk_gelu_tanh_forward if approximate == "tanh" else mk_gelu_forward, y, x, 0, 0)


def gelu_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray x not None, str approximate):
    backward(mk_gelu_tanh_backward if approximate == "tanh" else mk_gelu_backward, gx, gy, x, 0, 0)


def exp_forward(cnp.ndarray y not None, cnp.ndarray x not None):
    forward(mk_exp_forward, y, x, 0, 0)


def exp_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray y not None):
    backward(mk_exp_backward, gx, gy, y, 0, 0)


def log_forward(cnp.ndarray y not None, cnp.ndarray x not None):
    forward(mk_log_forward, y, x, 0, 0)


def log_backward(cnp.ndarray gx not None, cnp.ndarray gy not None, cnp.ndarray x not None):
    backward(mk_log_backward, gx, gy, x, 0, 0)
