"""Draws accuracy against time for the runs that ``train.py`` recorded, and prints their table in Markdown.

python examples/cifar10/figure.py examples/cifar10/runs.jsonl accuracy.png
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from typing import Any

COLOURS = {"minicnn": "tab:blue", "torch": "tab:orange"}
NAMES = {"minicnn": "minicnn", "torch": "PyTorch"}


def read(path: str) -> dict[tuple[str, int, int], list[dict[str, Any]]]:
    """The epochs of each run: by framework, minutes and seed."""
    runs: dict[tuple[str, int, int], list[dict[str, Any]]] = defaultdict(list)
    with open(path, encoding="utf-8") as file:
        for line in file:
            epoch = json.loads(line)
            runs[epoch["framework"], epoch["minutes"], epoch["seed"]].append(epoch)
    return runs


def table(runs: dict[tuple[str, int, int], list[dict[str, Any]]]) -> str:
    """A row for each run."""
    rows = [
        "| budget | framework | epochs | seconds | seconds an epoch | accuracy | with the mirror image |",
        "|---|---|---|---|---|---|---|",
    ]
    for (framework, minutes, _), epochs in sorted(runs.items(), key=lambda item: (item[0][1], item[0][0])):
        last = epochs[-1]
        rows.append(
            f"| {minutes} min | {NAMES[framework]} | {len(epochs)} | {last['seconds']:,.0f} "
            f"| {last['seconds'] / len(epochs):.1f} | {last['accuracy']:.2%} | {last['accuracy_with_mirror']:.2%} |"
        )
    return "\n".join(rows)


def draw(runs: dict[tuple[str, int, int], list[dict[str, Any]]], path: str) -> None:
    """Accuracy while training, and at the end of each run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for (framework, minutes, _), epochs in runs.items():
        x, y = ([epoch[name] for epoch in epochs] for name in ("seconds", "accuracy"))
        axes.plot([s / 60 for s in x], [100 * a for a in y], color=COLOURS[framework], alpha=0.45)
        end = (x[-1] / 60, 100 * epochs[-1]["accuracy_with_mirror"])
        axes.plot(*end, "o", color=COLOURS[framework])
        text = f"{end[1]:.1f} %, {minutes} min"
        axes.annotate(text, end, xytext=(0, 7), textcoords="offset points", ha="right", fontsize=9)
    for framework in sorted({framework for framework, _, _ in runs}):
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
