"""Draws accuracy against time for the runs that ``train.py`` recorded, and prints their table in Markdown.

python examples/cifar10/figure.py examples/cifar10/runs.jsonl accuracy.png
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import Any

COLOURS = {"minicnn": "tab:blue", "torch": "tab:orange"}
NAMES = {"minicnn": "minicnn", "torch": "PyTorch"}
LABELS = {"minicnn": 7, "torch": -15}  # points above the end of a run


@dataclass
class Run:
    """What ``train.py`` wrote of a run that came to its end."""

    framework: str
    minutes: int
    epochs: list[dict[str, Any]]

    @property
    def last(self) -> dict[str, Any]:
        return self.epochs[-1]


def read(path: str) -> list[Run]:
    """The runs that came to their end."""
    runs: list[Run] = []
    going: dict[tuple[Any, ...], Run] = {}  # runs that write at the same time are told apart by these
    with open(path, encoding="utf-8") as file:
        for record in map(json.loads, file):
            key = tuple(record[name] for name in ("framework", "minutes", "seed"))
            if "recipe" in record:
                going[key] = Run(record["framework"], record["minutes"], [])
                runs.append(going[key])
            else:
                going[key].epochs.append(record)
    return [run for run in runs if run.epochs and "accuracy_with_mirror" in run.last]


def table(runs: list[Run]) -> str:
    """A row for each run."""
    rows = [
        "| budget | framework | epochs | seconds | seconds an epoch | accuracy | with the mirror image |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in sorted(runs, key=lambda run: (run.minutes, run.framework)):
        seconds, count = run.last["seconds"], len(run.epochs)
        rows.append(
            f"| {run.minutes} min | {NAMES[run.framework]} | {count} | {seconds:,.0f} | {seconds / count:.1f} "
            f"| {100 * run.last['accuracy']:.2f} % | {100 * run.last['accuracy_with_mirror']:.2f} % |"
        )
    return "\n".join(rows)


def draw(runs: list[Run], path: str) -> None:
    """Accuracy while training, and at the end of each run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    label = {"textcoords": "offset points", "ha": "center", "fontsize": 9}
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for run in runs:
        color = COLOURS[run.framework]
        minutes = [epoch["seconds"] / 60 for epoch in run.epochs]
        axes.plot(minutes, [100 * epoch["accuracy"] for epoch in run.epochs], color=color, alpha=0.45)
        end = (minutes[-1], 100 * run.last["accuracy_with_mirror"])
        axes.plot(*end, "o", color=color)
        axes.annotate(f"{end[1]:.1f} %", end, (0, LABELS[run.framework]), color=color, **label)
    for framework in sorted({run.framework for run in runs}):
        axes.plot([], [], "o-", color=COLOURS[framework], label=NAMES[framework])
    axes.set(xscale="log", xlabel="minutes of training", ylabel="accuracy on 5,000 images held out, %")
    axes.set(ylim=(75, 96))
    ticks = [1, 2, 5, 10, 30, 90]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", help="what train.py wrote with --out")
    parser.add_argument("picture", help="file to write")
    args = parser.parse_args()
    runs = read(args.runs)
    print(table(runs))
    draw(runs, args.picture)


if __name__ == "__main__":
    main()
