"""Run one of the article's experiments: what helps against overfitting, or which loss with which optimiser.

Writes OUT/NAME.json with every figure and OUT/NAME.png.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.cli.arguments import whole
from minicnn.cli.output import counting, finite, print_json, table, tell
from minicnn.core.threads import use_threads
from minicnn.data import sources
from minicnn.errors import OptionError
from minicnn.io import atomic
from minicnn.train import report
from minicnn.train.experiments import losses, overfitting

HELP = "overfitting, or losses and optimisers, by experiment"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("what", metavar="overfitting|losses", choices=("overfitting", "losses"))
    parser.add_argument("--data", default="digits", help="what `minicnn train` takes; default: digits")
    parser.add_argument("--data-dir", help="directory of the data set's files")
    parser.add_argument("--train-images", type=whole(2), help="default: 200; losses: 1,000")
    parser.add_argument("--val-images", type=whole(2), help="default: 500; losses: 400")
    parser.add_argument("--seeds", type=whole(2, 1000), default=5, help="trainings of each way (5)")
    parser.add_argument("--epochs", type=whole(1), help="of each training; default: 60; losses: 15")
    parser.add_argument("--threads", type=whole(1, 1024), default=1, help="threads to compute with (1)")
    parser.add_argument("--out", default="experiments", help="the folder to write (experiments)")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    if reason := report.missing():
        raise OptionError(f"no picture: {reason}")
    source = sources.load(args.data, args.data_dir, progress=counting())
    options = {"train_images": args.train_images, "val_images": args.val_images, "epochs": args.epochs}
    options = {name: value for name, value in options.items() if value is not None}
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)  # now rather than after hours
    with use_threads(args.threads), np.errstate(all="ignore"):
        result, figure, lines = _WHAT[args.what](source, options | {"seeds": args.seeds})
    facts = finite(result.to_dict())
    atomic.write(out / f"{args.what}.json", json.dumps(facts, indent=1) + "\n")
    atomic.write(out / f"{args.what}.png", lambda file: figure.savefig(file, format="png", dpi=130))
    if args.json:
        print_json(facts)
    else:
        print(lines)
        print(f"\nwritten: {out / args.what}.json and .png")
    return 0


def _overfitting(source: sources.Source, options: dict[str, Any]) -> tuple[Any, Any, str]:
    if "train_images" in options:
        options = options | {"more_images": 4 * options["train_images"]}
    result = overfitting.compare_regularisers(source, tell=tell, **options)
    rows = [
        [
            row["name"],
            *(_percent(row[key]) for key in ("train_accuracy", "val_accuracy", "clean_accuracy", "gap")),
            f"{row['p']:.4f}",
        ]
        for row in result.table()
    ]
    return (
        result,
        overfitting.draw(result),
        table(["", "training", "validation", "right labels", "gap", "p"], rows),
    )


def _losses(source: sources.Source, options: dict[str, Any]) -> tuple[Any, Any, str]:
    result = losses.compare_losses(source, tell=tell, **options)
    rows = [
        [f"{loss}, {name}", f"{facts['rate']:g}", _percent(facts["val_accuracy"])]
        for (loss, name), facts in result.chosen.items()
    ]
    winner = result.winner
    text = table(["", "rate", "validation"], rows)
    return (
        result,
        losses.draw(result),
        (
            f"{text}\n\nchosen on validation images: {winner['loss']} with {winner['optimiser']}; "
            f"test accuracy {_percent(winner['test_accuracy'])}, the interval over seeds"
        ),
    )


def _percent(value: dict[str, float]) -> str:
    return f"{value['mean']:.1%} ({value['low']:.1%} to {value['high']:.1%})"


_WHAT: dict[str, Callable[..., tuple[Any, Any, str]]] = {"overfitting": _overfitting, "losses": _losses}
