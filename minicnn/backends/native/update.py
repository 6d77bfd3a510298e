"""Steps of optimisers, one call for all parameters; kernels/update.cpp."""

from __future__ import annotations

from minicnn import _native
from minicnn.core.dispatch import Declined
from minicnn.ops.update import adam_update, sgd_update

NOT_RUNS = Declined("an array is not of float32 in one run; the kernel is for those")


@sgd_update.overlay("native")
def sgd_update_native(
    xp, params, grads, momentum_buffers, *, lr, momentum, dampening, l2, nesterov, maximize
):
    served = _native.sgd_update(
        params, grads, momentum_buffers, lr, momentum, dampening, l2, nesterov, maximize
    )
    return None if served else NOT_RUNS


@adam_update.overlay("native")
def adam_update_native(
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
    if max_exp_avg_sqs is not None:
        return Declined("AMSGrad; the kernel is for Adam and AdamW")
    served = _native.adam_update(
        params, grads, exp_avgs, exp_avg_sqs, lr, beta1, beta2, eps, l2, weight_decay, steps, maximize
    )
    return None if served else NOT_RUNS
