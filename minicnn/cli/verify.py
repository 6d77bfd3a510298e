"""Check a checkpoint's integrity and say what it holds; of a run, that of its final weights too."""

from __future__ import annotations

import argparse
from pathlib import Path

from minicnn.cli.output import print_json
from minicnn.io import checkpoint

HELP = "check a checkpoint's integrity"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("path", metavar="PATH", help="a checkpoint, a file of weights, or a run directory")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    weights = Path(args.path) / "model.safetensors"
    paths = [checkpoint.find(args.path)] + ([weights] if weights.is_file() else [])
    found = [checkpoint.verify(path) for path in paths]
    if args.json:
        print_json(found[0])
        return 0
    for facts in found:
        when = ", step {step}, epoch {epoch}".format(**facts) if "step" in facts else ""
        finite = "" if facts["finite"] else ", some of them not finite"
        size = "{numbers:,} numbers in {tensors} tensors".format(**facts)
        print(f"{facts['path']}: good {facts['kind']}{when}, {size}{finite}")
    return 0
