"""Search for good options on validation images: --search lr=1e-3:1e-1:log --search optimizer=sgd,adam.

Other options are those of `minicnn train`. Writes OUT/best.toml, which `minicnn train` takes, OUT/trials.json
and OUT/trials.png. Each trial is written into OUT/tune.trainings.json when it ends: the same command goes on
where it was stopped, with more --trials too. The test set is not looked at.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from minicnn.cli import train as training
from minicnn.cli.arguments import whole
from minicnn.cli.output import counting, finite, print_json, tell, tell_skipped
from minicnn.errors import OptionError
from minicnn.io import atomic
from minicnn.train import report
from minicnn.train.config import Config, dump_toml
from minicnn.train.evaluate import load_source
from minicnn.train.journal import held
from minicnn.train.recipes import resolved
from minicnn.train.search import draw, parse_space, search
from minicnn.train.starting import Start

HELP = "search for good options"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments, and those of `train`."""
    training.add_options(parser, out="the folder to write (tuned)")
    parser.add_argument(
        "--search", action="append", default=[], metavar="OPTION=VALUES", help="may come often"
    )
    parser.add_argument("--trials", type=whole(1, 10**5), default=20, help="trainings (20)")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    if reason := report.missing():
        raise OptionError(f"no picture: {reason}")
    values = training.given(args)
    out = Path(values.pop("out", "") or "tuned")  # the file of a search before holds an empty one
    config, space = Config.from_dict(values), parse_space(args.search)
    start = Start(config.start_from)
    source = load_source(config, start.image_shape, counting())
    tell_skipped(source.skipped)
    atomic.make_directory(out)  # now rather than after hours
    settings = {"data_fingerprint": source.fingerprint, "search": args.search}
    settings["start_digest"] = start.digest
    settings |= resolved(config, source, start.model).decisive()
    with held(out / "tune.trainings.json", settings, tell) as journal:
        found = search(config, space, trials=args.trials, journal=journal, tell=tell, progress=counting())
    facts = {"val_accuracy": found.accuracy, "best": found.best.to_dict(), "trials": found.trials}
    atomic.write(out / "best.toml", dump_toml(found.best.to_dict()))
    atomic.write(out / "trials.json", json.dumps(finite(facts), indent=1) + "\n")
    figure = draw(found)
    atomic.write(out / "trials.png", lambda file: figure.savefig(file, format="png", dpi=130))
    if args.json:
        print_json(facts)
        return 0
    chosen = ", ".join(f"--{name.replace('_', '-')} {getattr(found.best, name)}" for name in space)
    print(f"best validation accuracy {found.accuracy:.2%}: {chosen}")
    print(f"train with it: minicnn train {out / 'best.toml'}")
    return 0
