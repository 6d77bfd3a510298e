"""Measure a trained model on its test set, or on another set of the same kind."""

from __future__ import annotations

import argparse
import time
from typing import Any

from minicnn.cli.arguments import add_computing, computing
from minicnn.cli.output import print_json, table, tell, tell_skipped
from minicnn.errors import OptionError
from minicnn.train.evaluate import Run, open_run, read_result
from minicnn.train.judgement import Judgement

HELP = "accuracy, precision, recall, F1 and confusion matrix on a test set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("run_dir", metavar="RUN_DIR", help="what minicnn train wrote")
    parser.add_argument("--data", help="another data set, by name or path; default: that of the run")
    parser.add_argument("--data-dir", help="directory of the data set's files; default: that of the run")
    parser.add_argument("--skip-bad", action="store_true", help="leave out what cannot be read in --data")
    add_computing(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    if args.skip_bad and not (args.data or args.data_dir):
        raise OptionError("--skip-bad is for --data: the run's own images are read as it read them")
    trained = open_run(args.run_dir, **computing(args))
    source = None
    if args.data or args.data_dir:
        config = trained.config
        data, data_dir = args.data or config.data, args.data_dir or config.data_dir or None
        source = trained.other_source(data, data_dir, skip_bad=args.skip_bad)
        tell_skipped(source.skipped)
    started = time.perf_counter()
    metrics = trained.evaluate(source, tell=tell)
    if args.json:
        print_json(_facts(trained, metrics, time.perf_counter() - started))
        return 0
    if not metrics.count:
        print("no test images: nothing to measure")
        return 0
    columns = (metrics.precision, metrics.recall, metrics.f1)
    rows = [
        [name, *(f"{column[i]:.2%}" for column in columns), metrics.support[i]]
        for i, name in enumerate(metrics.classes)
    ]
    rows.append(["macro average", *(f"{metrics.macro(column):.2%}" for column in columns), metrics.count])
    rows.append(["micro average", *(f"{metrics.accuracy:.2%}" for _ in columns), metrics.count])
    facts = metrics.report()
    print(f"accuracy {_with_interval(facts, 'accuracy')}, loss {metrics.loss:.4f}, on {metrics.count} images")
    if facts["top5_accuracy"] is not None:
        print(f"top-5 accuracy {_with_interval(facts, 'top5_accuracy')}")
    print(f"macro F1 {_with_interval(facts, 'macro_f1')}")
    if facts["intervals_note"]:
        print(facts["intervals_note"])
    by_chance = f"a calibrated model's stays below {facts['calibration_error_by_chance']:.4f}"
    print(f"calibration error {metrics.calibration_error:.4f} ({by_chance} in 95 % of such sets)\n")
    print(table(["class", "precision", "recall", "F1", "images"], rows))
    print("\nconfusion matrix (rows: true, columns: predicted)\n")
    counts = zip(metrics.classes, metrics.confusion.tolist(), strict=True)
    print(table(["", *metrics.classes], [[name, *row] for name, row in counts]))
    return 0


def _with_interval(facts: dict[str, Any], name: str) -> str:
    low, high = facts["intervals"][name]
    return f"{facts[name]:.2%} (95 % interval {low:.2%} to {high:.2%})"


def _facts(trained: Run, metrics: Judgement, seconds: float) -> dict[str, Any]:
    """What was measured now, and what the training left: null where its result is not there."""
    before, now = read_result(trained.directory), metrics.report()
    return {
        "test_accuracy": now["accuracy"],
        "test_loss": now["loss"],
        **{name: before.get(name) for name in ("val_accuracy", "epochs", "steps", "digest")},
        "seconds": seconds,
        "images_per_second": metrics.count / seconds,
        "backend": trained.config.backend,
        "threads": trained.config.threads,
        **now,
    }
