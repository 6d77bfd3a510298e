"""RMSprop (F5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from minicnn.core.tensor import Tensor
from minicnn.ops.update import rmsprop_update
from minicnn.optim.optimizer import FRACTION, POSITIVE, Optimizer, buffer
from minicnn.optim.options import refuse_unsupported
from minicnn.typing import Array

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """RMSprop: the gradient divided by the root of its running mean square.

        g <- dL/dp + (weight_decay + l2) p
        v <- alpha v + (1 - alpha) g²
        p <- p - lr g / (√v + eps)                                                      (F5)

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups with options of their own.
    lr : float
        Learning rate, at least 0.
    alpha : float
        Decay rate of the mean, in [0, 1).
    eps : float
        Keeps the denominator away from 0.
    weight_decay, l2 : float
        Coefficient of L2 regularisation; here the two mean the same and add up (F6).
    momentum : float
        Sum the quotients up with this momentum.
    centered : bool
        Divide by the running standard deviation instead, √(v - m²).
    capturable, foreach, differentiable : None or False
        PyTorch's; nothing to choose here.
    maximize : bool
        Climb instead of descend.
    l1 : float
        L1 regularisation by a proximal step, p <- sign(p) max(|p| - lr l1, 0), after the update (F6).

    Raises
    ------
    OptionError
        If a value is out of its range.

    References
    ----------
    Tieleman & Hinton, lecture 6.5, 2012. See :data:`minicnn.ops.update.rmsprop_update`.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> w = Tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = RMSprop([w], lr=0.5, alpha=0.75)
    >>> w.grad = Tensor([100.0, -1.0])
    >>> optimizer.step()
    >>> w.tolist()
    [0.0, 2.0]
    """

    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Optimizer.ranges,
        "alpha": FRACTION,
        "eps": POSITIVE,
        "momentum": POSITIVE,
    }
    switches: ClassVar[tuple[str, ...]] = ("maximize", "centered")
    kept: ClassVar[Mapping[str, str]] = {
        "step": "",
        "square_avg": "",
        "grad_avg": "centered",
        "momentum_buffer": "momentum",
    }

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        refuse_unsupported(capturable=capturable, foreach=foreach, differentiable=differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "l1": l1,
            "l2": l2,
        }
        super().__init__(params, defaults)

    def update(self, array: Array, gradient: Array, state: dict[str, Any], options: dict[str, Any]) -> None:
        """One step of :data:`minicnn.ops.update.rmsprop_update`."""
        state["step"] = state.get("step", 0) + 1
        rmsprop_update(
            array,
            gradient,
            buffer(state, "square_avg", array),
            buffer(state, "grad_avg", array) if options["centered"] else None,
            buffer(state, "momentum_buffer", array) if options["momentum"] else None,
            lr=options["lr"],
            alpha=options["alpha"],
            eps=options["eps"],
            l2=options["weight_decay"] + options["l2"],
            momentum=options["momentum"],
            maximize=options["maximize"],
        )
