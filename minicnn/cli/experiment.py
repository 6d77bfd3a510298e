"""Run one of the article's experiments: what helps against overfitting, or which loss with which optimiser.

Writes OUT/NAME.json with every figure and OUT/NAME.png; that the test images were looked at, into
OUT/test_set.jsonl. Each training is written into
OUT/NAME.trainings.json when it ends: the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import backends
from minicnn.cli.arguments import whole
from minicnn.cli.output import counting, finite, print_json, table, tell, tell_skipped
from minicnn.core.threads import use_threads
from minicnn.data import sources
from minicnn.errors import OptionError
from minicnn.io import atomic
from minicnn.train import report
from minicnn.train.evaluate import note_opening
from minicnn.train.experiments import losses, overfitting
from minicnn.train.experiments.common import Size
from minicnn.train.journal import held
from minicnn.train.splits import split_test

_FEW = 5

HELP = "overfitting, or losses and optimisers, by experiment"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("what", metavar="overfitting|losses", choices=("overfitting", "losses"))
    parser.add_argument("--data", default="digits", help="what `minicnn train` takes; default: digits")
    parser.add_argument("--data-dir", help="directory of the data set's files")
    parser.add_argument("--skip-bad", action="store_true", help="leave out images that cannot be read")
    parser.add_argument("--train-images", type=whole(2), help="200; losses: 1,000; fewer of a small set")
    parser.add_argument("--val-images", type=whole(2), help="500; losses: 400; fewer of a small set")
    parser.add_argument("--seeds", type=whole(2, 1000), help="trainings of each way (5)")
    parser.add_argument("--epochs", type=whole(1), help="of each training; default: 60; losses: 15")
    parser.add_argument("--threads", type=whole(1, 1024), default=1, help="threads to compute with (1)")
    parser.add_argument("--out", default="experiments", help="the folder to write (experiments)")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    if reason := report.missing():
        raise OptionError(f"no picture: {reason}")
    source = sources.load(args.data, args.data_dir, skip_bad=args.skip_bad, progress=counting())
    tell_skipped(source.skipped)
    compare, usual, draw, text_of = _WHAT[args.what]
    size = _size(args, usual, len(split_test(source)[0]))
    out = Path(args.out)
    atomic.make_directory(out)  # now rather than after hours
    with use_threads(args.threads), np.errstate(all="ignore"):
        settings = {
            "data_fingerprint": source.fingerprint,
            "backend": backends.active().name,
            **dataclasses.asdict(size),
        }
        with held(out / f"{args.what}.trainings.json", settings, tell) as journal:
            if size.seeds < _FEW:
                tell(f"{size.seeds} seeds give wide intervals: {_FEW} or more are usual")
            notes = {}
            if args.what == "losses":
                notes["opened"] = functools.partial(note_opening, out, "experiment losses")
            result = compare(source, size, journal=journal, tell=tell, **notes)
    figure = draw(result)
    facts = finite(result.to_dict())
    atomic.write(out / f"{args.what}.json", json.dumps(facts, indent=1) + "\n")
    atomic.write(out / f"{args.what}.png", lambda file: figure.savefig(file, format="png", dpi=130))
    if args.json:
        print_json(facts)
    else:
        print(text_of(result))
        print(f"\nwritten: {out / args.what}.json and .png")
    return 0


def _size(args: argparse.Namespace, usual: Size, images: int) -> Size:
    """What was asked for, and for the rest the usual, or as much of it as there are images for."""
    times = overfitting.MORE if args.what == "overfitting" else 1
    if times * usual.train_images + usual.val_images > images:
        usual = dataclasses.replace(
            usual,
            train_images=min(usual.train_images, images // (2 * times)),
            val_images=min(usual.val_images, images // 3),
        )
        sizes = f"{usual.train_images} to learn from, {usual.val_images} to validate on"
        tell(f"{images:,} images are not enough for the usual size: {sizes}")
    options = {field.name: getattr(args, field.name) for field in dataclasses.fields(usual)}
    return dataclasses.replace(usual, **{name: value for name, value in options.items() if value is not None})


def _gaps(result: overfitting.Overfitting) -> str:
    rows = [
        [
            row["name"],
            *(_percent(row[key]) for key in ("train_accuracy", "val_accuracy", "clean_accuracy", "gap")),
            f"{row['p']:.4f}",
        ]
        for row in result.table()
    ]
    return (
        f"{table(['', 'training', 'validation', 'right labels', 'gap', 'p'], rows)}\n\n"
        "gap: training less validation accuracy; right labels: on validation images without the wrong ones;\n"
        "p: that the gap is no smaller than with none (paired t tests, Holm's rule)"
    )


def _chosen(result: losses.Losses) -> str:
    rows = [
        [f"{loss}, {name}", f"{facts['rate']:g}", _percent(facts["val_accuracy"])]
        for (loss, name), facts in result.chosen.items()
    ]
    winner = result.winner
    return (
        f"{table(['', 'rate', 'validation'], rows)}\n\n"
        f"chosen on validation images: {winner['loss']} with {winner['optimiser']}; "
        f"test accuracy {_percent(winner['test_accuracy'])}, the interval over seeds"
    )


def _percent(value: dict[str, float]) -> str:
    return f"{value['mean']:.1%} ({value['low']:.1%} to {value['high']:.1%})"


_WHAT: dict[str, tuple[Callable[..., Any], Size, Callable[..., Any], Callable[..., str]]] = {
    "overfitting": (overfitting.compare_regularisers, overfitting.SIZE, overfitting.draw, _gaps),
    "losses": (losses.compare_losses, losses.SIZE, losses.draw, _chosen),
}
