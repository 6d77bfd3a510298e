"""Find a learning rate: a short training whose rate rises with each update; see where it learns.

Options are those of `minicnn train`; nothing is trained for good, and those on how long it takes,
on schedules, averages, validation and what is written do not count.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minicnn.cli import train as training
from minicnn.cli.arguments import whole
from minicnn.cli.output import counting, print_json, tell
from minicnn.errors import OptionError
from minicnn.io import atomic
from minicnn.train import report
from minicnn.train.config import Config
from minicnn.train.lr_finder import draw_rates
from minicnn.train.run import search_rate

HELP = "find a learning rate, with a picture"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments, and those of `train`."""
    training.add_options(parser)
    parser.add_argument("--steps", type=whole(30, 10**5), default=100, help="updates to try (100)")
    parser.add_argument("--plot", metavar="FILE", default="lr.png", help="the picture (lr.png)")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    if reason := report.missing():
        raise OptionError(f"no picture: {reason}")
    config = Config.from_dict(training.given(args))
    atomic.make_directory(Path(args.plot).parent)  # now rather than after the search
    found = search_rate(config, steps=args.steps, tell=tell, progress=counting())
    figure = draw_rates(found)
    atomic.write(args.plot, lambda file: figure.savefig(file, format="png", dpi=130))
    facts: dict[str, Any] = {
        "suggestion": found.suggestion,
        "clear": found.clear,
        "rates": found.rates.tolist(),
        "losses": found.losses.tolist(),
        "plot": args.plot,
    }
    if args.json:
        print_json(facts)
    else:
        print(f"--lr {found.suggestion:.2g}: a tenth of where the loss no longer falls; see {args.plot}")
        if not found.clear:
            print("it falls by little more than it varies: try more --steps, or a larger --batch-size")
    return 0
