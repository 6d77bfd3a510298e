"""Parameter updates (F5) and regularisation (F6): kernels that change arrays in place.

They have no derivative, so each is a :class:`minicnn.core.dispatch.Kernel`, not an operation. The
classes of :mod:`minicnn.optim` check all values and own the state; nothing is checked here.

All start from the same direction, with g the gradient of the loss, p the parameter and l2 the
coefficient of L2 regularisation, l2/2 ||p||²:

    g <- g + l2 p            (F6; g <- -g + l2 p to maximise)

Hyper-parameters are Python floats, so float32 arrays stay float32. SGD and Adam update many parameters in
one call: there are often dozens, most of them small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicnn.core.dispatch import kernel
from minicnn.typing import Array, ArrayModule

__all__ = ["adagrad_update", "adam_update", "l1_proximal", "rmsprop_update", "sgd_update"]


def regularized(param: Array, grad: Array, l2: float, maximize: bool) -> Array:
    """±grad + l2 param: the gradient of what is minimised (F6). ``grad`` is left as it is."""
    if maximize:
        grad = -grad
    return grad + l2 * param if l2 else grad


@kernel
def sgd_update(
    xp: ArrayModule,
    params: Sequence[Array],
    grads: Sequence[Array],
    momentum_buffers: Sequence[Array] | None,
    *,
    lr: float,
    momentum: float,
    dampening: Sequence[float],
    l2: float,
    nesterov: bool,
    maximize: bool,
) -> None:
    """One step of stochastic gradient descent, with momentum where there are buffers.

        p <- p - lr g                                 (F5) plain
        b <- momentum b + (1 - dampening) g           (F5) with momentum
        p <- p - lr b                                 heavy ball
        p <- p - lr (g + momentum b)                  Nesterov

    Gradient descent is the same rule with the whole set as the batch.

    Parameters
    ----------
    params, grads : lists of arrays
        For each parameter p, changed in place, and dL/dp of the same shape.
    momentum_buffers : list of arrays, or None
        For each parameter b, changed in place; zeros before the first step.
    lr, momentum, l2 : float
        Learning rate, momentum in [0, 1), and the L2 coefficient.
    dampening : list of float
        For each parameter the dampening of its momentum.
    nesterov, maximize : bool
        Look ahead along the new buffer; climb instead of descend.

    Notes
    -----
    PyTorch sets b to g at the first step whatever the dampening: pass ``dampening=0`` there.
    Oracle: minicnn.oracles.optim.sgd.

    References
    ----------
    Robbins & Monro, "A stochastic approximation method", 1951. Polyak, "Some methods of speeding up
    the convergence of iteration methods", 1964. Nesterov 1983, in the form of Sutskever et al., "On
    the importance of initialization and momentum in deep learning", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([1.0, 2.0])
    >>> sgd_update([p], [np.array([0.5, 0.0])], None, lr=0.5, momentum=0.0, dampening=[0.0], l2=1.0,
    ...            nesterov=False, maximize=False)
    >>> p.tolist()
    [0.25, 1.0]
    """
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        g = regularized(param, grad, l2, maximize)
        if momentum_buffers is not None:
            b = momentum_buffers[i]
            b *= momentum
            b += (1 - dampening[i]) * g
            g = g + momentum * b if nesterov else b
        param -= lr * g


@kernel
def adam_update(
    xp: ArrayModule,
    params: Sequence[Array],
    grads: Sequence[Array],
    exp_avgs: Sequence[Array],
    exp_avg_sqs: Sequence[Array],
    max_exp_avg_sqs: Sequence[Array] | None,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    l2: float,
    weight_decay: float,
    steps: Sequence[int],
    maximize: bool,
) -> None:
    """One step of Adam, AdamW or AMSGrad.

        p <- (1 - lr weight_decay) p                  decoupled decay (AdamW)
        m <- beta1 m + (1 - beta1) g                  (F5) mean of the gradient
        v <- beta2 v + (1 - beta2) g²                      mean of its square
        u <- max(u, v), used in place of v            AMSGrad only
        p <- p - lr m̂ / (√v̂ + eps),   m̂ = m / (1 - beta1^t),   v̂ = v / (1 - beta2^t)

    Parameters
    ----------
    params, grads : lists of arrays
        For each parameter p, changed in place, and dL/dp of the same shape.
    exp_avgs, exp_avg_sqs : lists of arrays
        For each parameter m and v, changed in place; zeros before the first step.
    max_exp_avg_sqs : list of arrays, or None
        For each parameter u, changed in place; None without AMSGrad.
    lr, beta1, beta2, eps : float
        Learning rate, decay rates of the means in [0, 1), and a small number against division by 0.
    l2 : float
        L2 in the loss: goes through m and v, so it is scaled like the gradient (Adam's own
        "weight decay"). 0 in AdamW.
    weight_decay : float
        Decay outside the means, as AdamW does it. 0 in Adam.
    steps : list of int
        For each parameter t, the number of this step, from 1.
    maximize : bool
        Climb instead of descend.

    Notes
    -----
    Oracle: minicnn.oracles.optim.adam.

    References
    ----------
    Kingma & Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1. Loshchilov &
    Hutter, "Decoupled weight decay regularization", 2019, algorithm 2. Reddi et al., "On the
    convergence of Adam and beyond", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> p, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adam_update([p], [np.array([4.0])], [m], [v], None, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8, l2=0.0,
    ...             weight_decay=0.0, steps=[1], maximize=False)
    >>> round(float(p[0]), 6)  # the first step has the length lr, whatever the gradient
    0.9
    """
    for i, (p, grad, m, v) in enumerate(zip(params, grads, exp_avgs, exp_avg_sqs, strict=True)):
        g = regularized(p, grad, l2, maximize)
        if weight_decay:
            p *= 1 - lr * weight_decay
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * g * g
        u = v if max_exp_avg_sqs is None else xp.maximum(max_exp_avg_sqs[i], v, out=max_exp_avg_sqs[i])
        denominator = xp.sqrt(u) / math.sqrt(1 - beta2 ** steps[i]) + eps
        p -= lr / (1 - beta1 ** steps[i]) * m / denominator


@kernel
def rmsprop_update(
    xp: ArrayModule,
    param: Array,
    grad: Array,
    square_avg: Array,
    grad_avg: Array | None,
    momentum_buffer: Array | None,
    *,
    lr: float,
    alpha: float,
    eps: float,
    l2: float,
    momentum: float,
    maximize: bool,
) -> None:
    """One step of RMSprop: the gradient over the root of its running mean square.

        v <- alpha v + (1 - alpha) g²
        m <- alpha m + (1 - alpha) g                  centred only
        d  = g / (√v + eps)   or   g / (√(v - m²) + eps)
        p <- p - lr d                                 without momentum
        b <- momentum b + d,   p <- p - lr b          with momentum

    Parameters
    ----------
    param, grad : arrays of one shape
        p, changed in place, and dL/dp.
    square_avg : array
        v, changed in place; zeros before the first step.
    grad_avg : array or None
        m, changed in place; None unless centred.
    momentum_buffer : array or None
        b, changed in place; None without momentum.
    lr, alpha, eps, l2, momentum : float
        Learning rate, decay rate of the means in [0, 1), a small number against division by 0, the
        L2 coefficient, and momentum.
    maximize : bool
        Climb instead of descend.

    Notes
    -----
    v - m² is a variance; where rounding makes it negative it counts as 0 (PyTorch gives NaN).
    Oracle: minicnn.oracles.optim.rmsprop.

    References
    ----------
    Tieleman & Hinton, Coursera "Neural networks for machine learning", lecture 6.5, 2012. Graves,
    "Generating sequences with recurrent neural networks", 2013 (centred).

    Examples
    --------
    >>> import numpy as np
    >>> p, v = np.array([1.0]), np.zeros(1)
    >>> rmsprop_update(p, np.array([4.0]), v, None, None, lr=0.1, alpha=0.75, eps=0.0, l2=0.0,
    ...                momentum=0.0, maximize=False)
    >>> p.tolist(), v.tolist()
    ([0.8], [4.0])
    """
    g = regularized(param, grad, l2, maximize)
    square_avg *= alpha
    square_avg += (1 - alpha) * g * g
    mean_square = square_avg
    if grad_avg is not None:
        grad_avg += (1 - alpha) * (g - grad_avg)
        mean_square = xp.maximum(square_avg - grad_avg * grad_avg, 0.0)
    direction = g / (xp.sqrt(mean_square) + eps)
    if momentum_buffer is not None:
        momentum_buffer *= momentum
        momentum_buffer += direction
        direction = momentum_buffer
    param -= lr * direction


@kernel
def adagrad_update(
    xp: ArrayModule,
    param: Array,
    grad: Array,
    state_sum: Array,
    *,
    lr: float,
    lr_decay: float,
    eps: float,
    l2: float,
    step: int,
    maximize: bool,
) -> None:
    """One step of Adagrad: the gradient over the root of the sum of its squares so far.

        s <- s + g²
        p <- p - lr / (1 + (t - 1) lr_decay) · g / (√s + eps)

    Parameters
    ----------
    param, grad : arrays of one shape
        p, changed in place, and dL/dp.
    state_sum : array
        s, changed in place; the initial value before the first step.
    lr, lr_decay, eps, l2 : float
        Learning rate, its decay per step, a small number against division by 0, and the L2 coefficient.
    step : int
        t, the number of this step, from 1.
    maximize : bool
        Climb instead of descend.

    Notes
    -----
    Oracle: minicnn.oracles.optim.adagrad.

    References
    ----------
    Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", 2011.

    Examples
    --------
    >>> import numpy as np
    >>> p, s = np.array([1.0]), np.zeros(1)
    >>> adagrad_update(p, np.array([4.0]), s, lr=0.5, lr_decay=0.0, eps=0.0, l2=0.0, step=1, maximize=False)
    >>> p.tolist(), s.tolist()
    ([0.5], [16.0])
    """
    g = regularized(param, grad, l2, maximize)
    state_sum += g * g
    param -= lr / (1 + (step - 1) * lr_decay) * g / (xp.sqrt(state_sum) + eps)


@kernel
def l1_proximal(xp: ArrayModule, param: Array, *, threshold: float) -> None:
    """L1 regularisation as a proximal step, the soft threshold (F6).

        p <- sign(p) max(|p| - threshold, 0) = argmin_q  threshold ||q||₁ + 1/2 ||q - p||²

    Every entry that lies within the threshold becomes exactly 0. Adding l1 sign(p) to the gradient
    instead would make entries jump around 0 for ever.

    Parameters
    ----------
    param : array
        p, changed in place.
    threshold : float
        lr · l1, at least 0.

    Notes
    -----
    Oracle: minicnn.oracles.optim.soft_threshold.

    References
    ----------
    Tibshirani, "Regression shrinkage and selection via the lasso", 1996. Parikh & Boyd, "Proximal
    algorithms", 2014, section 6.5.2.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([1.0, -0.25, 0.5])
    >>> l1_proximal(p, threshold=0.5)
    >>> p.tolist()
    [0.5, 0.0, 0.0]
    """
    param -= xp.clip(param, -threshold, threshold)
