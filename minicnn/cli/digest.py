"""Print the SHA-256 of a checkpoint's numbers: two runs are equal, bit for bit, if their digests are."""

from __future__ import annotations

import argparse

from minicnn.cli.output import print_json
from minicnn.io import checkpoint

HELP = "the SHA-256 of a checkpoint's numbers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("path", metavar="PATH", help="a checkpoint, a file of weights, or a run directory")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    path = checkpoint.find(args.path)
    digest = checkpoint.digest(path)
    print_json({"path": str(path), "digest": digest}) if args.json else print(digest)
    return 0
