"""Adam and AdamW (F5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from minicnn.core.tensor import Tensor
from minicnn.ops.update import adam_update
from minicnn.optim.optimizer import FRACTION, POSITIVE, Optimizer, buffers
from minicnn.optim.options import refuse_unsupported
from minicnn.typing import Array

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam: steps of about lr in every coordinate, whatever the scale of its gradient.

        g <- dL/dp + (weight_decay + l2) p
        m <- β₁ m + (1 - β₁) g,    v <- β₂ v + (1 - β₂) g²
        p <- p - lr m̂ / (√v̂ + eps),   m̂ = m / (1 - β₁ᵗ),   v̂ = v / (1 - β₂ᵗ)          (F5)

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups with options of their own.
    lr : float
        Learning rate, at least 0.
    betas : (float, float)
        β₁, β₂: decay rates of the means, each in [0, 1).
    eps : float
        Keeps the denominator away from 0.
    weight_decay, l2 : float
        Coefficient of L2 regularisation in the loss; in Adam the two mean the same and add up. Its
        gradient is divided by √v̂ like the rest, so it does not decay all weights alike: that is
        :class:`AdamW` (F6).
    amsgrad : bool
        Divide by the largest v so far.
    foreach, capturable, differentiable, fused : None or False
        PyTorch's; nothing to choose here.
    maximize : bool
        Climb instead of descend.
    decoupled_weight_decay : bool
        Let ``weight_decay`` act as in :class:`AdamW`.
    l1 : float
        L1 regularisation by a proximal step, p <- sign(p) max(|p| - lr l1, 0), after the update (F6).

    Raises
    ------
    OptionError
        If a value is out of its range.

    References
    ----------
    Kingma & Ba, "Adam: a method for stochastic optimization", 2015. See
    :data:`minicnn.ops.update.adam_update`.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> w = Tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = Adam([w], lr=0.25)
    >>> w.grad = Tensor([1000.0, -0.5])
    >>> optimizer.step()
    >>> w.tolist()
    [0.75, 1.25]
    """

    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {**Optimizer.ranges, "eps": POSITIVE}
    switches: ClassVar[tuple[str, ...]] = ("maximize", "amsgrad", "decoupled_weight_decay")
    kept: ClassVar[Mapping[str, str]] = {
        "step": "",
        "exp_avg": "",
        "exp_avg_sq": "",
        "max_exp_avg_sq": "amsgrad",
    }

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        refuse_unsupported(foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
            "l1": l1,
            "l2": l2,
        }
        super().__init__(params, defaults)

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options as plain numbers, see :meth:`Optimizer.checked`."""
        betas = options.get("betas")
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise self._refuse("betas to be two numbers", repr(betas))
        numbers = tuple(self._number(f"betas[{i}]", beta, *FRACTION) for i, beta in enumerate(betas))
        return {**super().checked(options), "betas": numbers}

    def update_all(
        self,
        arrays: list[Array],
        gradients: list[Array],
        states: list[dict[str, Any]],
        options: dict[str, Any],
    ) -> None:
        """One step of :data:`minicnn.ops.update.adam_update`."""
        for state in states:
            state["step"] = state.get("step", 0) + 1
        decay, decoupled = options["weight_decay"], options["decoupled_weight_decay"]
        adam_update(
            arrays,
            gradients,
            buffers(states, "exp_avg", arrays),
            buffers(states, "exp_avg_sq", arrays),
            buffers(states, "max_exp_avg_sq", arrays) if options["amsgrad"] else None,
            lr=options["lr"],
            beta1=options["betas"][0],
            beta2=options["betas"][1],
            eps=options["eps"],
            l2=options["l2"] + (0.0 if decoupled else decay),
            weight_decay=decay if decoupled else 0.0,
            steps=[state["step"] for state in states],
            maximize=options["maximize"],
        )


class AdamW(Adam):
    """Adam whose weight decay acts on the weights themselves, outside the means.

        p <- (1 - lr weight_decay) p,   then Adam's step on   g = dL/dp + l2 p          (F5, F6)

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, maximize, foreach, capturable, differentiable, fused, l1
        As in :class:`Adam`.
    weight_decay : float
        Decoupled decay: every weight shrinks by the same factor.
    l2 : float
        L2 regularisation in the loss, scaled by √v̂ like the gradient: what :class:`Adam` calls weight
        decay. Usually one of the two is 0.

    References
    ----------
    Loshchilov & Hutter, "Decoupled weight decay regularization", 2019.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> w = Tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = AdamW([w], lr=0.5, weight_decay=0.5)
    >>> w.grad = Tensor([0.0, 0.0])
    >>> optimizer.step()
    >>> w.tolist()
    [0.75, 0.75]
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
            l1=l1,
            l2=l2,
        )

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options as plain numbers; the decay stays decoupled whatever a loaded state says."""
        return {**super().checked(options), "decoupled_weight_decay": True}
