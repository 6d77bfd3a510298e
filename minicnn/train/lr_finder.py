"""The learning-rate finder: a short training whose rate rises, to see from where to where it learns."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.core import random
from minicnn.core.fusion import fusing
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.nn import Module
from minicnn.nn.functional import cross_entropy
from minicnn.nn.utils import clip_grad_norm_
from minicnn.optim import Optimizer

__all__ = ["RateSearch", "draw_rates", "find_rate"]

_NEIGHBOURS = 5  # on each side, that losses are smoothed with
_DIVERGED = 4.0  # times the smallest
_LOST = 1.5  # times the first ones
_LEFT = 0.35  # of the noise, after the smoothing


@dataclass(frozen=True)
class RateSearch:
    """What :func:`find_rate` saw.

    Attributes
    ----------
    rates, losses, smoothed : (N,) arrays
        The learning rate of each update, the loss before it, and their mean with their
        neighbours.
    suggestion : float
        For the largest rate of a schedule: a tenth of the last one at which the smoothed loss is about as
        low as it gets before it diverges (within a tenth of its fall, or its noise).
    clear : bool
        Whether it falls by more than twice as much as losses differ from the smoothed ones.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float
    clear: bool


def find_rate(
    model: Module,
    optimizer: Optimizer,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    clip_norm: float = 0.0,
    compile: bool = True,
) -> RateSearch:
    """Train for a few updates with a rate that rises from each to the next, then put everything back.

        rate_t = low · (high / low)^(t / (steps - 1))

    It ends early where three losses in a row are four times the smallest, or one is not finite.

    Parameters
    ----------
    model : Module
        In the state to begin with; it is given back as it was, and so are its mode and the random state.
    optimizer : Optimizer
        Over the model's parameters; given back too.
    batches : iterable of (images, labels)
        Gone through again and again.
    loss : callable
        ``loss(scores, labels)``.
    low, high : float
        The rates of the first and the last update.
    steps : int
        How many updates, at least 10.
    clip_norm, compile
        As for :class:`~minicnn.train.Trainer`.

    Returns
    -------
    RateSearch

    Raises
    ------
    OptionError
        If 0 < low < high or steps >= 10 does not hold, there is no batch, or the loss diverges at once.

    References
    ----------
    L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn import nn, optim
    >>> _ = minicnn.manual_seed(0)
    >>> x = minicnn.randn(64, 4)
    >>> batch = x, (x[:, 0] > 0).to(minicnn.int64)
    >>> model = nn.Linear(4, 2)
    >>> found = find_rate(model, optim.SGD(model.parameters(), lr=1.0), [batch], steps=60)
    >>> 0.01 < found.suggestion < 10
    True
    """
    if not (0 < low < high < math.inf and steps >= 10):
        raise OptionError(
            expected="0 < low < high, and 10 steps or more", got=f"{low}, {high}, {steps}", op="find_rate"
        )
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    modes = [(module, module.training) for module in model.modules()]
    random_state = random.get_state()
    rates = low * (high / low) ** (np.arange(steps) / (steps - 1))
    try:
        with fusing(compile):
            losses = _rise(model.train(), optimizer, _again(batches), loss, rates, clip_norm)
    finally:
        model.load_state_dict(before[0])
        optimizer.load_state_dict(before[1])
        optimizer.zero_grad()
        for module, training in modes:
            module.training = training
        random.set_state(random_state)
    smoothed = _smoothed(losses)
    rates = rates[: len(losses)]
    edge, clear = _edge(rates, losses, smoothed)
    return RateSearch(rates, losses, smoothed, edge / 10, clear)


def _rise(
    model: Module,
    optimizer: Optimizer,
    batches: Iterator[Any],
    loss: Any,
    rates: np.ndarray,
    clip_norm: float,
) -> np.ndarray:
    """The losses, up to where they diverge."""
    losses: list[float] = []
    for rate, (images, labels) in zip(rates.tolist(), batches, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        value = loss(model(images), labels)
        losses.append(value.item())
        if not math.isfinite(losses[-1]) or min(losses[-3:]) > _DIVERGED * min(losses):
            losses.pop()
            break
        value.backward()
        if clip_norm:
            clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
    if len(losses) < 5:
        raise OptionError(
            "no learning rate was tried" if not losses else "the loss diverges at once",
            hint="give batches" if not losses else "a lower low may help",
            op="find_rate",
        )
    return np.array(losses)


def _again(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches, from the start whenever they end; nothing of nothing."""
    while True:
        batch = None
        for batch in batches:
            yield batch
        if batch is None:
            return


def _smoothed(losses: np.ndarray) -> np.ndarray:
    """A mean over neighbours on both sides, the nearer the more: it does not lag behind."""
    window = np.bartlett(2 * _NEIGHBOURS + 3)[1:-1]
    padded = np.pad(losses, _NEIGHBOURS, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def _edge(rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray) -> tuple[float, bool]:
    """The largest rate at which the loss is still as low as it gets, and whether it falls at all."""
    start = float(np.median(losses[: max(5, len(losses) // 10)]))
    lost = np.flatnonzero(smoothed > _LOST * start)  # what comes later is no learning, even where it falls
    valley = smoothed[: max(1, lost[0]) if len(lost) else None]
    fall, noise = start - valley.min(), float(np.std((losses - smoothed)[: len(valley)]))
    low = valley.min() + max(0.1 * fall, _LEFT * noise)
    return float(rates[np.flatnonzero(valley <= low)[-1]]), bool(fall > 2 * noise)


def draw_rates(found: RateSearch) -> Any:
    """A matplotlib figure of the loss over the learning rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, color="0.8", label="loss of each update")
    axes.plot(found.rates, found.smoothed, color="tab:blue", label="smoothed")
    axes.axvline(
        found.suggestion, color="tab:orange", linestyle="--", label=f"suggested: {found.suggestion:.2g}"
    )
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
    top = np.quantile(found.smoothed, 0.98) * 1.2
    axes.set_ylim(min(0, found.losses.min()), max(top, found.smoothed[0] * 1.1))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
