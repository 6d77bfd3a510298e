"""An exponential moving average of the weights, which measures better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.nn import Module
from minicnn.train.callbacks import Callback

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer

__all__ = ["MovingAverage"]


class MovingAverage(Callback):
    """Keeps the average of a model's weights over its last updates; it is in force where one measures.

    After update number t, for each parameter and each buffer of floating-point numbers w::

        a ← d·a + (1 - d)·w,   d = min(decay, (1 + t) / (10 + t))

    so that the first updates are forgotten soon. Whole numbers are taken over as they are.

    Parameters
    ----------
    decay : float
        In [0, 1): the average is over some 1 / (1 - decay) updates.

    Raises
    ------
    OptionError
        If the decay is outside [0, 1).

    References
    ----------
    B. Polyak, A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.

    Examples
    --------
    >>> from minicnn import nn
    >>> model, average = nn.Linear(1, 1, bias=False), MovingAverage(0.5)
    >>> _ = model.weight.data.fill_(0.0)
    >>> average.update(model)
    >>> _ = model.weight.data.fill_(1.0)
    >>> average.update(model)
    >>> with average.in_force(model):
    ...     round(model.weight.item(), 4)
    0.8182
    >>> model.weight.item()
    1.0
    """

    name = "moving_average"

    def __init__(self, decay: float) -> None:
        if not 0 <= decay < 1:
            raise OptionError(expected="a decay in [0, 1)", got=str(decay), op="MovingAverage")
        self.decay = decay
        self.updates = 0
        self._averages: dict[str, Tensor] = {}

    def on_step(self, trainer: Trainer, record: dict[str, Any], images: int) -> None:
        self.update(trainer.model)

    def update(self, model: Module) -> None:
        """Take the present weights in."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, tensor in model.state_dict().items():
            value, average = tensor.array, self._averages.get(name)
            if average is None or value.dtype.kind != "f":
                self._averages[name] = Tensor.wrap(value.copy())
            else:
                average = self._averages[name] = average.to(tensor.device)  # a checkpoint's is on the CPU
                average.array += value.dtype.type(1 - decay) * (value - average.array)

    @contextmanager
    def in_force(self, model: Module) -> Iterator[None]:
        """The model with the averages for a block; before the first update it stays as it is."""
        if not self._averages:
            yield
            return
        own = _copied(model.state_dict())
        model.load_state_dict(self._averages)
        try:
            yield
        finally:
            model.load_state_dict(own)

    def put_into(self, model: Module) -> None:
        """Give the model the averages for good, if there are any."""
        if self._averages:
            model.load_state_dict(self._averages)

    def evaluating(self, trainer: Trainer) -> Any:
        return self.in_force(trainer.model)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "averages": _copied(self._averages)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates, self._averages = int(state["updates"]), _copied(state["averages"])


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: Tensor.wrap(tensor.array.copy()) for name, tensor in tensors.items()}
