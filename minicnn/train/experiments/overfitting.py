"""What helps against overfitting (article, section 6): seven ways on one small split, over several seeds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from minicnn import nn, optim
from minicnn.data.sources import Source
from minicnn.train.experiments.common import (
    Measured,
    Size,
    Split,
    holm,
    network,
    one_training,
    share,
    smaller,
    split_of,
    statistics_library,
    summary,
)
from minicnn.train.journal import Journal

__all__ = ["ARMS", "MORE", "SIZE", "Arm", "Overfitting", "compare_regularisers", "draw"]

SIZE = Size(train_images=200, val_images=500, epochs=60)
MORE = 4  # times as many images with more data
_RATE = 0.02  # of SGD with momentum


@dataclass(frozen=True)
class Arm:
    """One way.

    Attributes
    ----------
    l1, l2 : float
        Strengths of the L1 penalty (a proximal step, so weights become 0) and of L2 (added to the gradient).
    dropout : float
        The share of inputs of the dense layers that is dropped.
    augment : str
        As ``--augment``.
    more_data : bool
        Learn from the larger part.
    width : int
        Of the network.
    """

    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0
    augment: str = "none"
    more_data: bool = False
    width: int = 32


ARMS = {
    "none": Arm(),
    "L1": Arm(l1=2e-2),
    "L2": Arm(l2=3e-2),
    "dropout": Arm(dropout=0.5),
    "augmentation": Arm(augment="standard"),
    "more data": Arm(more_data=True),
    "smaller model": Arm(width=2),
}


@dataclass
class Overfitting:
    """What the experiment came to.

    Attributes
    ----------
    settings : dict
        Data, images, epochs, seeds.
    runs : dict
        For each way, one :class:`Measured` a seed.
    """

    settings: dict[str, Any]
    runs: dict[str, list[Measured]] = field(default_factory=dict)

    def table(self) -> list[dict[str, Any]]:
        """For each way: accuracies and their gap with intervals, and the p value that the gap is not smaller.

        The gap is training less validation accuracy, of the same seed, on labels of which as many are wrong.
        The p values are those of paired t tests against none, by Holm's rule for several tests.
        """
        gaps = {name: [m.train_accuracy - m.val_accuracy for m in runs] for name, runs in self.runs.items()}
        others = [name for name in gaps if name != "none"]
        chances = dict(zip(others, holm([smaller(gaps[name], gaps["none"]) for name in others]), strict=True))
        return [
            {
                "name": name,
                "train_accuracy": share([m.train_accuracy for m in runs])._asdict(),
                "val_accuracy": share([m.val_accuracy for m in runs])._asdict(),
                "clean_accuracy": share([m.clean_accuracy for m in runs])._asdict(),
                "val_loss": summary([m.val_loss for m in runs], least=0.0)._asdict(),
                "gap": summary(gaps[name], -1.0, 1.0)._asdict(),
                "p": chances.get(name, 1.0),
            }
            for name, runs in self.runs.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        runs = {name: [one._asdict() for one in runs] for name, runs in self.runs.items()}
        return {"settings": self.settings, "table": self.table(), "runs": runs}


def compare_regularisers(
    source: Source,
    size: Size = SIZE,
    *,
    noise: float = 0.2,
    journal: Journal | None = None,
    tell: Callable[[str], object] = lambda line: None,
) -> Overfitting:
    """Train a small network in seven ways on the same few images, and see how far it overfits.

    Parameters
    ----------
    source : Source
        The data; its test images stay sealed.
    size : Size
        More data are four times as many images.
    noise : float
        The share of wrong labels, so that there is something that must not be learned; among those to
        validate on too, so that the gap is of nothing but the images being others.
    journal : Journal, optional
        Keeps what each training came to.
    tell : callable
        Gets a line after each training.

    Returns
    -------
    Overfitting

    Raises
    ------
    OptionError
        If there are not so many images.
    """
    statistics_library()  # missing now rather than after hours
    split = split_of(source, size.train_images, MORE * size.train_images, size.val_images, noise)
    journal = journal or Journal()
    result = Overfitting({**size.settings(split), "more_images": len(split.more), "noise": noise})

    def trained(name: str, seed: int) -> dict[str, Any]:
        measured = _train(ARMS[name], split, seed, size.epochs)
        rates = f"training {measured.train_accuracy:.1%}, validation {measured.val_accuracy:.1%}"
        tell(f"{name}, seed {seed}: {rates}")
        return measured._asdict()

    for name in ARMS:
        kept = [
            journal.once(f"{name}, seed {seed}", functools.partial(trained, name, seed))
            for seed in range(size.seeds)
        ]
        result.runs[name] = [Measured(**one) for one in kept]
    return result


def _train(arm: Arm, split: Split, seed: int, epochs: int) -> Measured:
    indices = split.more if arm.more_data else split.few

    def model() -> nn.Module:
        return network(split.image_shape, len(split.classes), arm.width, arm.dropout)

    def optimizer(parameters: Any) -> optim.Optimizer:
        return optim.SGD(parameters, lr=_RATE, momentum=0.9, weight_decay=arm.l2, l1=arm.l1)

    # About as many updates for all: more data would be more training otherwise.
    epochs = max(1, round(epochs * len(split.few) / len(indices)))
    return one_training(model, optimizer, split, indices, seed=seed, epochs=epochs, augment=arm.augment)[1]


def draw(result: Overfitting) -> Any:
    """A matplotlib figure: accuracies of all ways with their intervals, and the gaps between them."""
    from matplotlib.figure import Figure

    table = result.table()
    names = [row["name"] for row in table]
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    places = list(range(len(names)))[::-1]
    for key, label, color in (
        ("train_accuracy", "training", "tab:orange"),
        ("val_accuracy", "validation", "tab:blue"),
        ("clean_accuracy", "validation, right labels", "tab:green"),
    ):
        _points(left, places, [row[key] for row in table], label, color)
    left.set(xlabel="accuracy in %", yticks=places, yticklabels=names)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    _points(right, places, [row["gap"] for row in table], "gap", "tab:red")
    for place, row in zip(places, table, strict=True):
        if row["name"] != "none":
            text = "p < 0.001" if row["p"] < 0.001 else f"p = {row['p']:.3f}"
            end = (100 * row["gap"]["high"], place)
            right.annotate(text, end, (6, -3), textcoords="offset points", fontsize=8)
    right.set(xlabel="training less validation accuracy, points")
    right.margins(x=0.25)
    facts = result.settings
    wrong = f"{facts['noise']:.0%} of the labels wrong"
    what = f"{facts['train_images']} images of {facts['data']}, {wrong}, {facts['epochs']} epochs: mean of"
    why = "seeds on one split with 95 % intervals; p: the gap is no smaller than with none"
    figure.suptitle(f"{what}\n{facts['seeds']} {why}", fontsize=9)
    return figure


def _points(
    axes: Any, places: Sequence[int], rows: Sequence[dict[str, float]], label: str, color: str
) -> None:
    means = [100 * row["mean"] for row in rows]
    below, above = ([100 * abs(row[end] - row["mean"]) for row in rows] for end in ("low", "high"))
    axes.errorbar(means, places, xerr=[below, above], fmt="o", color=color, label=label, capsize=3)
    axes.grid(alpha=0.3)
