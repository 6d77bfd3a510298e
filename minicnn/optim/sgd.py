"""Stochastic gradient descent (F5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from minicnn.core.tensor import Tensor
from minicnn.ops.update import sgd_update
from minicnn.optim.optimizer import POSITIVE, Optimizer, buffers
from minicnn.optim.options import refuse_unsupported
from minicnn.typing import Array

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

        g <- dL/dp + (weight_decay + l2) p
        b <- momentum b + (1 - dampening) g
        p <- p - lr b,   or with Nesterov's momentum   p <- p - lr (g + momentum b)     (F5)

    Plain gradient descent is the same rule with the whole training set as one batch.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups with options of their own.
    lr : float
        Learning rate, at least 0.
    momentum : float
        0 for none; usually 0.9.
    dampening : float
        Share of the gradient that does not enter the momentum (the first one enters whole).
    weight_decay, l2 : float
        Coefficient of L2 regularisation; in SGD the two mean the same and add up (F6).
    nesterov : bool
        Nesterov's momentum; needs momentum > 0 and dampening = 0.
    maximize : bool
        Climb instead of descend.
    foreach, differentiable, fused : None or False
        PyTorch's; nothing to choose here.
    l1 : float
        L1 regularisation by a proximal step, p <- sign(p) max(|p| - lr l1, 0), after the update (F6).

    Raises
    ------
    OptionError
        If a value is out of its range.

    References
    ----------
    Robbins & Monro 1951; Polyak 1964; Nesterov 1983 and Sutskever et al. 2013. See
    :data:`minicnn.ops.update.sgd_update`.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> w = Tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.5)
    >>> w.grad = Tensor([1.0, 2.0])
    >>> optimizer.step()
    >>> w.tolist()
    [0.5, -3.0]
    """

    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Optimizer.ranges,
        "momentum": POSITIVE,
        "dampening": POSITIVE,
    }
    switches: ClassVar[tuple[str, ...]] = ("maximize", "nesterov")
    kept: ClassVar[Mapping[str, str]] = {"momentum_buffer": "momentum"}

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        refuse_unsupported(foreach=foreach, differentiable=differentiable, fused=fused)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "l1": l1,
            "l2": l2,
        }
        super().__init__(params, defaults)

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options as plain numbers, see :meth:`Optimizer.checked`."""
        numbers = super().checked(options)
        if numbers["nesterov"] and not (numbers["momentum"] > 0 and numbers["dampening"] == 0):
            got = f"momentum={numbers['momentum']:g}, dampening={numbers['dampening']:g}"
            raise self._refuse("momentum > 0 and dampening = 0 for Nesterov's momentum", got)
        return numbers

    def update_all(
        self,
        arrays: list[Array],
        gradients: list[Array],
        states: list[dict[str, Any]],
        options: dict[str, Any],
    ) -> None:
        """One step of :data:`minicnn.ops.update.sgd_update`."""
        dampening = [options["dampening"] if state else 0.0 for state in states]
        sgd_update(
            arrays,
            gradients,
            buffers(states, "momentum_buffer", arrays) if options["momentum"] else None,
            lr=options["lr"],
            momentum=options["momentum"],
            dampening=dampening,
            l2=options["weight_decay"] + options["l2"],
            nesterov=options["nesterov"],
            maximize=options["maximize"],
        )
