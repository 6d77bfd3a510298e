"""Adagrad (F5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from minicnn.core.tensor import Tensor
from minicnn.ops.update import adagrad_update
from minicnn.optim.optimizer import POSITIVE, Optimizer, buffer
from minicnn.optim.options import refuse_unsupported
from minicnn.typing import Array

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Adagrad: coordinates that have moved little keep a large learning rate.

        g <- dL/dp + (weight_decay + l2) p
        s <- s + g²
        p <- p - lr / (1 + (t - 1) lr_decay) · g / (√s + eps)                           (F5)

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups with options of their own.
    lr : float
        Learning rate, at least 0.
    lr_decay : float
        How fast the learning rate falls with the number t of the step.
    weight_decay, l2 : float
        Coefficient of L2 regularisation; here the two mean the same and add up (F6).
    initial_accumulator_value : float
        s before the first step.
    eps : float
        Keeps the denominator away from 0.
    foreach, differentiable, fused : None or False
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
    Duchi, Hazan & Singer 2011. See :data:`minicnn.ops.update.adagrad_update`.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> w = Tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = Adagrad([w], lr=1.25, initial_accumulator_value=9.0)
    >>> w.grad = Tensor([4.0, 0.0])
    >>> optimizer.step()
    >>> w.tolist()
    [0.0, 1.0]
    """

    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Optimizer.ranges,
        "lr_decay": POSITIVE,
        "initial_accumulator_value": POSITIVE,
        "eps": POSITIVE,
    }
    kept: ClassVar[Mapping[str, str]] = {"step": "", "sum": ""}

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        refuse_unsupported(foreach=foreach, differentiable=differentiable, fused=fused)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
            "l1": l1,
            "l2": l2,
        }
        super().__init__(params, defaults)

    def update(self, array: Array, gradient: Array, state: dict[str, Any], options: dict[str, Any]) -> None:
        """One step of :data:`minicnn.ops.update.adagrad_update`."""
        state["step"] = state.get("step", 0) + 1
        adagrad_update(
            array,
            gradient,
            buffer(state, "sum", array, options["initial_accumulator_value"]),
            lr=options["lr"],
            lr_decay=options["lr_decay"],
            eps=options["eps"],
            l2=options["weight_decay"] + options["l2"],
            step=state["step"],
            maximize=options["maximize"],
        )
