"""Update rules as scalar loops: one parameter, its gradients in time, its values after each step.

Each function follows its source's own algorithm, line by line, on Python floats. All take the
options of F6: ``l2`` adds l2·p to the gradient, ``l1`` soft-thresholds after the step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["adagrad", "adam", "adamw", "rmsprop", "sgd", "soft_threshold"]


def soft_threshold(p: float, threshold: float) -> float:
    """F6: the value q that minimises threshold·|q| + (q - p)²/2."""
    if p > threshold:
        return p - threshold
    if p < -threshold:
        return p + threshold
    return 0.0


def sgd(
    p: float,
    gradients: Sequence[float],
    *,
    lr: float = 1e-3,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
) -> list[float]:
    """F5: (stochastic) gradient descent; Polyak's and Nesterov's momentum.

    The buffer starts as the first gradient, undamped.
    """
    values = []
    velocity = None
    for gradient in gradients:
        g = -gradient if maximize else gradient
        g = g + weight_decay * p + l2 * p
        velocity = g if velocity is None else momentum * velocity + (1.0 - dampening) * g
        if momentum == 0.0:
            p = p - lr * g
        elif nesterov:
            p = p - lr * (g + momentum * velocity)
        else:
            p = p - lr * velocity
        p = soft_threshold(p, lr * l1)
        values.append(p)
    return values


def adam(
    p: float,
    gradients: Sequence[float],
    *,
    lr: float = 1e-3,
    betas: Sequence[float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    maximize: bool = False,
    decoupled_weight_decay: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
) -> list[float]:
    """F5: Kingma & Ba 2015, algorithm 1; with decoupled decay Loshchilov & Hutter 2019, algorithm 2."""
    values = []
    m = 0.0
    v = 0.0
    v_hat_max = 0.0
    beta1_to_t = 1.0
    beta2_to_t = 1.0
    for gradient in gradients:
        g = -gradient if maximize else gradient
        g = g + l2 * p
        if not decoupled_weight_decay:
            g = g + weight_decay * p
        m = betas[0] * m + (1.0 - betas[0]) * g
        v = betas[1] * v + (1.0 - betas[1]) * g * g
        v_hat_max = max(v_hat_max, v)
        beta1_to_t = beta1_to_t * betas[0]
        beta2_to_t = beta2_to_t * betas[1]
        m_hat = m / (1.0 - beta1_to_t)
        v_hat = (v_hat_max if amsgrad else v) / (1.0 - beta2_to_t)
        decay = lr * weight_decay * p if decoupled_weight_decay else 0.0
        p = p - lr * m_hat / (math.sqrt(v_hat) + eps) - decay
        p = soft_threshold(p, lr * l1)
        values.append(p)
    return values


def adamw(
    p: float,
    gradients: Sequence[float],
    *,
    lr: float = 1e-3,
    betas: Sequence[float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    maximize: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
) -> list[float]:
    """Loshchilov & Hutter 2019, algorithm 2: :func:`adam` with decoupled decay of 0.01."""
    return adam(
        p,
        gradients,
        lr=lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        amsgrad=amsgrad,
        maximize=maximize,
        decoupled_weight_decay=True,
        l1=l1,
        l2=l2,
    )


def rmsprop(
    p: float,
    gradients: Sequence[float],
    *,
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    maximize: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
) -> list[float]:
    """Tieleman & Hinton 2012; centred as in Graves 2013 (with eps outside the root)."""
    values = []
    mean_square = 0.0
    mean = 0.0
    velocity = 0.0
    for gradient in gradients:
        g = -gradient if maximize else gradient
        g = g + weight_decay * p + l2 * p
        mean_square = alpha * mean_square + (1.0 - alpha) * g * g
        mean = alpha * mean + (1.0 - alpha) * g
        variance = max(mean_square - mean * mean, 0.0) if centered else mean_square
        velocity = momentum * velocity + g / (math.sqrt(variance) + eps)
        p = p - lr * velocity
        p = soft_threshold(p, lr * l1)
        values.append(p)
    return values


def adagrad(
    p: float,
    gradients: Sequence[float],
    *,
    lr: float = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    maximize: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
) -> list[float]:
    """Duchi, Hazan & Singer 2011, diagonal form."""
    values = []
    total = initial_accumulator_value
    for t, gradient in enumerate(gradients, start=1):
        g = -gradient if maximize else gradient
        g = g + weight_decay * p + l2 * p
        total = total + g * g
        rate = lr / (1.0 + (t - 1) * lr_decay)
        p = p - rate * g / (math.sqrt(total) + eps)
        p = soft_threshold(p, lr * l1)
        values.append(p)
    return values
