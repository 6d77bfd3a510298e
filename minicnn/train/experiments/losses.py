"""Which loss with which optimiser (article, sections 3.4 and 6): chosen on validation images, tested once."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, TypeVar

from minicnn import optim
from minicnn.data import DataLoader
from minicnn.data.sources import Source
from minicnn.errors import NonFiniteError
from minicnn.train.experiments.common import (
    Measured,
    Size,
    Split,
    network,
    one_training,
    share,
    split_of,
    statistics_library,
)
from minicnn.train.journal import Journal
from minicnn.train.losses import LOSSES

__all__ = ["OPTIMISERS", "SIZE", "Losses", "compare_losses", "draw", "sweep"]

SIZE = Size(train_images=1000, val_images=400, epochs=15)


@dataclass(frozen=True)
class Optimiser:
    """How to make it, its rates to try, and whether each update sees all images."""

    make: Callable[[Any, float], optim.Optimizer]
    rates: tuple[float, ...]
    whole: bool = False


T = TypeVar("T")
_BEYOND = 3  # rates tried beyond an end
_RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
OPTIMISERS = {
    "GD": Optimiser(lambda p, lr: optim.SGD(p, lr=lr), _RATES, whole=True),
    "SGD": Optimiser(lambda p, lr: optim.SGD(p, lr=lr), _RATES),
    "momentum": Optimiser(lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9), tuple(r / 10 for r in _RATES)),
    "Adam": Optimiser(lambda p, lr: optim.Adam(p, lr=lr), tuple(r / 100 for r in _RATES)),
}


@dataclass
class Losses:
    """What the experiment came to.

    Attributes
    ----------
    settings : dict
        Data, images, epochs, seeds.
    sweep : dict
        For each (loss, optimiser), from the learning rate to the validation accuracy of one seed; NaN where
        the numbers did not stay finite.
    chosen : dict
        For each (loss, optimiser): the best rate, and the validation accuracies of all seeds with it.
    winner : dict
        The pair that was chosen, and the test accuracies of its models, measured once.
    """

    settings: dict[str, Any]
    sweep: dict[tuple[str, str], dict[float, float]] = field(default_factory=dict)
    chosen: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    winner: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""

        def named(pair: tuple[str, str]) -> dict[str, str]:
            return {"loss": pair[0], "optimiser": pair[1]}

        sweep = [
            {**named(pair), "rates": {str(rate): accuracy for rate, accuracy in rates.items()}}
            for pair, rates in self.sweep.items()
        ]
        chosen = [{**named(pair), **facts} for pair, facts in self.chosen.items()]
        return {"settings": self.settings, "sweep": sweep, "chosen": chosen, "winner": self.winner}


def compare_losses(
    source: Source,
    size: Size = SIZE,
    *,
    journal: Journal | None = None,
    tell: Callable[[str], object] = lambda line: None,
    opened: Callable[[dict[str, Any]], object] = lambda test: None,
) -> Losses:
    """Cross-entropy, mean absolute and mean squared error with four optimisers, each at its best rate.

    Every training sees the same number of images. The rate of a pair is the one with the best validation
    accuracy of seed 0 (:func:`sweep`); then the other seeds are trained with it. Only the winner's models,
    trained once more, see the test images.

    Parameters
    ----------
    source : Source
        The data.
    size : Size
        Seed 0, which chooses the rates, comes besides.
    journal : Journal, optional
        Keeps what each training came to.
    tell : callable
        Gets a line after each training.
    opened : callable
        Gets what the test images came to when they have been looked at: ``count``, ``accuracy``, ``loss``.

    Returns
    -------
    Losses

    Raises
    ------
    OptionError
        If there are not so many images.
    NonFiniteError
        If the numbers of no pair stayed finite.
    """
    statistics_library()  # missing now rather than after hours
    split = split_of(source, size.train_images, size.train_images, size.val_images)
    journal = journal or Journal()
    result = Losses(size.settings(split))

    def accuracy_of(loss: str, name: str, seed: int, rate: float) -> float:
        what = f"{loss}, {name}, rate {rate:g}, seed {seed}"

        def trained() -> float | None:
            measured = _train(split, loss, name, rate, seed, size.epochs)[1]
            if measured is None:
                return None
            tell(f"{what}: validation {measured.val_accuracy:.1%}")
            return measured.val_accuracy

        accuracy = journal.once(what, trained)
        return math.nan if accuracy is None else accuracy

    seeds = range(1, size.seeds + 1)
    for loss, name in itertools.product(LOSSES, OPTIMISERS):
        rates, best = sweep(functools.partial(accuracy_of, loss, name, 0), OPTIMISERS[name].rates)
        result.sweep[loss, name] = rates
        accuracies = [accuracy_of(loss, name, seed, best) for seed in seeds]
        facts = {"rate": best, "val_accuracies": accuracies, "val_accuracy": share(accuracies)._asdict()}
        result.chosen[loss, name] = facts
    loss, name = _best({pair: facts["val_accuracy"]["mean"] for pair, facts in result.chosen.items()})
    rate = result.chosen[loss, name]["rate"]
    if math.isnan(result.chosen[loss, name]["val_accuracy"]["mean"]):
        raise NonFiniteError("no training stayed finite", op="experiment losses")
    accuracies = journal.once("test", lambda: _tested(split, loss, name, rate, seeds, size.epochs, opened))
    facts = {"test_accuracies": accuracies, "test_accuracy": share(accuracies)._asdict()}
    result.winner = {"loss": loss, "optimiser": name, "rate": rate, **facts}
    return result


def _train(
    split: Split, loss: str, name: str, rate: float, seed: int, epochs: int
) -> tuple[Any, Measured | None]:
    """A training; None if its numbers did not stay finite."""
    optimiser = OPTIMISERS[name]
    try:
        return one_training(
            lambda: network(split.image_shape, len(split.classes), 16),
            lambda parameters: optimiser.make(parameters, rate),
            split,
            split.few,
            seed=seed,
            epochs=epochs,
            batch_size=0 if optimiser.whole else 32,
            loss=LOSSES[loss],
        )
    except NonFiniteError:
        return None, None


def _tested(
    split: Split,
    loss: str,
    name: str,
    rate: float,
    seeds: Sequence[int],
    epochs: int,
    opened: Callable[[dict[str, Any]], object],
) -> list[float]:
    """The test accuracies of the winner's models: trained anew, which gives the same to the bit."""
    trainers = [_train(split, loss, name, rate, seed, epochs)[0] for seed in seeds]
    test = DataLoader(split.test.open(), batch_size=256)
    measured = [trainer.evaluate(test) for trainer in trainers]
    accuracies, losses = ([getattr(one, what) for one in measured] for what in ("accuracy", "loss"))
    opened({"count": len(split.test), "accuracy": fmean(accuracies), "loss": fmean(losses)})
    return accuracies


def sweep(accuracy_of: Callable[[float], float], rates: Sequence[float]) -> tuple[dict[float, float], float]:
    """The accuracy with each learning rate, and the best rate.

    Where that is the largest or the smallest, up to three rates beyond it are tried too.

    Examples
    --------
    >>> sweep(lambda rate: -abs(rate - 90), (3.0, 10.0, 30.0))
    ({3.0: -87.0, 10.0: -80.0, 30.0: -60.0, 100.0: -10.0, 300.0: -210.0}, 100.0)
    """
    found = {rate: accuracy_of(rate) for rate in rates}
    best = _best(found)
    for _ in range(_BEYOND):
        if best not in (min(found), max(found)):
            break
        beyond = float(f"{best * 3.3 if best == max(found) else best / 3:.0e}")  # 1, 3, 10, 30, ...
        found[beyond] = accuracy_of(beyond)
        best = _best(found)
    return dict(sorted(found.items())), best


def _best(accuracies: dict[T, float]) -> T:
    """The key of the largest; what did not stay finite comes last."""
    return max(accuracies, key=lambda key: -math.inf if math.isnan(accuracies[key]) else accuracies[key])


def draw(result: Losses) -> Any:
    """A matplotlib figure: for each loss, validation accuracy over the learning rate for each optimiser."""
    from matplotlib.figure import Figure

    losses = list(dict.fromkeys(loss for loss, _ in result.sweep))
    figure = Figure(figsize=(11, 4), layout="constrained")
    for axes, loss in zip(figure.subplots(1, len(losses), sharey=True), losses, strict=True):
        for number, name in enumerate(OPTIMISERS):
            _line(axes, result, loss, name, f"C{number}")
        axes.set(xscale="log", title=loss.replace("_", " "), xlabel="learning rate")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("validation accuracy in %")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center")
    facts, winner = result.settings, result.winner
    accuracy = winner["test_accuracy"]
    what = f"{facts['train_images']} images of {facts['data']}, {facts['epochs']} epochs each"
    how = f"large points: mean of {facts['seeds']} seeds on one split with 95 % interval"
    best = f"{winner['loss'].replace('_', ' ')} with {winner['optimiser']} at {winner['rate']:g}"
    tested = f"test accuracy {accuracy['mean']:.2%} ({accuracy['low']:.2%} to {accuracy['high']:.2%})"
    figure.suptitle(f"{what}; {how}.\n{best}: {tested}", fontsize=9)
    return figure


def _line(axes: Any, result: Losses, loss: str, name: str, color: str) -> None:
    rates = result.sweep[loss, name]
    points = [(r, 100 * a) for r, a in rates.items() if not math.isnan(a)]
    axes.plot(
        [rate for rate, _ in points], [accuracy for _, accuracy in points], ".-", color=color, label=name
    )
    chosen = result.chosen[loss, name]
    mean = 100 * chosen["val_accuracy"]["mean"]
    error = [[mean - 100 * chosen["val_accuracy"]["low"]], [100 * chosen["val_accuracy"]["high"] - mean]]
    axes.errorbar([chosen["rate"]], [mean], yerr=error, fmt="o", color=color, capsize=3, markersize=7)
