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
        g = sign * grad[k]
        if l2 != 0:  # 0 times an infinity is NaN
            g += l2 * p[k]
        p[k] -= lr * g


@parallel
def sgd_with_momentum(p, grad, b, lr, momentum, share, l2, sign, nesterov):
    """b <- momentum b + (1 - dampening) g,  p <- p - lr b,  or with Nesterov  p - lr (g + momentum b)."""
    for k in prange(p.size):
        g = sign * grad[k]
        if l2 != 0:
            g += l2 * p[k]
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
        g = sign * grad[k]
        if l2 != 0:
            g += l2 * p[k]
        m[k] += share1 * (g - m[k])
        v[k] = beta2 * v[k] + share2 * g * g
        square = v[k]
        if amsgrad:
            if u[k] > v[k] or u[k] != u[k]:  # larger, or NaN
                square = u[k]
            u[k] = square
        p[k] = decay * p[k] - lr * m[k] / (math.sqrt(square) / root + eps)


@sgd_update.overlay("numba")
def sgd_update_numba(xp, params, grads, momentum_buffers, *, lr, momentum, dampening, l2, nesterov, maximize):
    declined = unfit(params, grads, momentum_buffers)
    if declined:
        return declined
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        number = param.dtype.type
        step, decay, sign = number(lr), number(l2), number(-1 if maximize else 1)
        p, g = param.reshape(-1), one_run(grad).reshape(-1)
        if momentum_buffers is None:
            sgd(p, g, step, decay, sign)
        else:
            b, share = momentum_buffers[i].reshape(-1), number(1 - dampening[i])
            sgd_with_momentum(p, g, b, step, number(momentum), share, decay, sign, bool(nesterov))
    return None


@adam_update.overlay("numba")
def adam_update_numba(
    xp,
    params,
    grads,
    exp_avgs,
    exp_avg_sqs,
    max_exp_avg_sqs,
    *,
    lr,
    beta1,
    beta2,
    eps,
    l2,
    weight_decay,
    steps,
    maximize,
):
    declined = unfit(params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs)
    if declined:
        return declined
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        numbers = (
            lr / (1 - beta1 ** steps[i]),
            1 - lr * weight_decay,
            1 - beta1,
            beta2,
            1 - beta2,
            math.sqrt(1 - beta2 ** steps[i]),
            eps,
            l2,
            -1 if maximize else 1,
        )
        p, g = param.reshape(-1), one_run(grad).reshape(-1)
        m, v = exp_avgs[i].reshape(-1), exp_avg_sqs[i].reshape(-1)
        u = v[:0] if max_exp_avg_sqs is None else max_exp_avg_sqs[i].reshape(-1)
        adam(p, g, m, v, u, *map(param.dtype.type, numbers))
    return None


def unfit(params, grads, *state):
    """The reason to decline a step; it comes before any array is changed."""
    changed = [params, *(arrays for arrays in state if arrays is not None)]
    for of_one in zip(grads, *changed, strict=True):
        declined = not_one_float_type(*of_one)
        if declined:
            return declined
    if all(a.flags.carray for arrays in changed for a in arrays):
        return None
    return Declined("a parameter or its state is not in one run of memory")
