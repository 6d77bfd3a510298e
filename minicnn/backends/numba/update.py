"""Parameter updates (F5) as loops: all arrays are read and written once."""

from __future__ import annotations

import math

from numba import prange

from minicnn.backends.numba.arrays import not_one_float_type, one_run
from minicnn.backends.numba.parallel import parallel
from minicnn.core.dispatch import Declined
from minicnn.ops.update import adam_update, sgd_update

__all__ = ["adam", "sgd", "sgd_with_momentum"]

# Numbers come in the type of the arrays, or float32 would be computed as float64.


@parallel
def sgd(p, grad, lr, l2, sign):
    """p <- p - lr g,  g = ±grad + l2 p."""
    for k in prange(p.size):
        p[k] -= lr * (sign * grad[k] + l2 * p[k])


@parallel
def sgd_with_momentum(p, grad, b, lr, momentum, share, l2, sign, nesterov):
    """b <- momentum b + (1 - dampening) g,  p <- p - lr b,  or with Nesterov  p - lr (g + momentum b)."""
    for k in prange(p.size):
        g = sign * grad[k] + l2 * p[k]
        b[k] = momentum * b[k] + share * g
        p[k] -= lr * (g + momentum * b[k] if nesterov else b[k])


@parallel
def adam(p, grad, m, v, u, lr, decay, share1, beta2, share2, root, eps, l2, sign):
    """p <- decay p,  m <- m + (1 - beta1) (g - m),  v <- beta2 v + (1 - beta2) g²,
    p <- p - lr m / (√v / root + eps),  where lr and root hold the corrections of m̂ and v̂.

    With AMSGrad u <- max(u, v) stands in place of v; without it u has no elements.
    """
    amsgrad = u.size > 0
    for k in prange(p.size):
        g = sign * grad[k] + l2 * p[k]
        m[k] += share1 * (g - m[k])
        v[k] = beta2 * v[k] + share2 * g * g
        square = v[k]
        if amsgrad:
            square = max(u[k], v[k])
            u[k] = square
        p[k] = decay * p[k] - lr * m[k] / (math.sqrt(square) / root + eps)


@sgd_update.overlay("numba")
def sgd_update_numba(xp, param, grad, momentum_buffer, *, lr, momentum, dampening, l2, nesterov, maximize):
    declined = not_one_float_type(param, grad, momentum_buffer) or scattered(param, momentum_buffer)
    if declined:
        return declined
    number = param.dtype.type
    lr, l2, sign = number(lr), number(l2), number(-1 if maximize else 1)
    p, g = param.reshape(-1), one_run(grad).reshape(-1)
    if momentum_buffer is None:
        sgd(p, g, lr, l2, sign)
    else:
        b, share = momentum_buffer.reshape(-1), number(1 - dampening)
        sgd_with_momentum(p, g, b, lr, number(momentum), share, l2, sign, bool(nesterov))
    return None


@adam_update.overlay("numba")
def adam_update_numba(
    xp,
    param,
    grad,
    exp_avg,
    exp_avg_sq,
    max_exp_avg_sq,
    *,
    lr,
    beta1,
    beta2,
    eps,
    l2,
    weight_decay,
    step,
    maximize,
):
    state = (exp_avg, exp_avg_sq, max_exp_avg_sq)
    declined = not_one_float_type(param, grad, *state) or scattered(param, *state)
    if declined:
        return declined
    numbers = (
        lr / (1 - beta1**step),
        1 - lr * weight_decay,
        1 - beta1,
        beta2,
        1 - beta2,
        math.sqrt(1 - beta2**step),
        eps,
        l2,
        -1 if maximize else 1,
    )
    p, g = param.reshape(-1), one_run(grad).reshape(-1)
    m, v = exp_avg.reshape(-1), exp_avg_sq.reshape(-1)
    u = v[:0] if max_exp_avg_sq is None else max_exp_avg_sq.reshape(-1)
    adam(p, g, m, v, u, *map(param.dtype.type, numbers))
    return None


def scattered(*arrays):
    """The reason to decline arrays that cannot be changed in place as one run of memory."""
    if all(a is None or a.flags.carray for a in arrays):
        return None
    return Declined("a parameter or its state is not in one run of memory")
