"""Ask a trained model about image files. They are treated as its test images were."""

from __future__ import annotations

import argparse

from minicnn.cli.arguments import add_computing, computing, whole
from minicnn.cli.output import print_json, tell
from minicnn.train.evaluate import open_run

HELP = "classes with probabilities for image files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("run_dir", metavar="RUN_DIR", help="what minicnn train wrote")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="PNG, JPEG, BMP or PPM files")
    parser.add_argument("--top", type=whole(1), metavar="K", help="how many classes to name (3; --json: all)")
    add_computing(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    results = open_run(args.run_dir, **computing(args)).predict(args.images, tell=tell)
    if args.json:
        classes = [[{"class": name, "probability": p} for name, p in pairs[: args.top]] for pairs in results]
        named = [{"image": path, "classes": found} for path, found in zip(args.images, classes, strict=True)]
        print_json({"predictions": named})
        return 0
    for path, pairs in zip(args.images, results, strict=True):
        print(f"{path}: " + ", ".join(f"{name} {p:.1%}" for name, p in pairs[: args.top or 3]))
    return 0
