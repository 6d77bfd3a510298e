"""Ask a trained model about image files. They are treated as its test images were.

A file that is not an image is named on standard error, the others are answered, and the exit code
is 3. Where a path is not there, or a folder has no images, nothing is answered.
"""

from __future__ import annotations

import argparse
from typing import Any

from minicnn.cli.arguments import add_computing, computing, whole
from minicnn.cli.output import print_json, tell
from minicnn.data.formats.files import files_named
from minicnn.data.formats.images import EXTENSIONS
from minicnn.errors import FormatError
from minicnn.train.evaluate import open_run

HELP = "classes with probabilities for image files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("run_dir", metavar="RUN_DIR", help="what minicnn train wrote")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image files, or folders of such")
    parser.add_argument("--top", type=whole(1), metavar="K", help="how many classes to name (3; --json: all)")
    parser.add_argument("--skip-bad", action="store_true", help="files that are no images are no error")
    add_computing(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    trained = open_run(args.run_dir, **computing(args))
    files, others = files_named(args.images, EXTENSIONS)
    if others:
        tell(f"left out: {others:,} files of the folders whose names do not end in {', '.join(EXTENSIONS)}")
    skipped: list[str] = []

    def refused(error: FormatError) -> None:
        skipped.append(str(error))
        tell(f"left out: {error}")

    answers: list[dict[str, Any]] = []
    for path, pairs in trained.predictions(files, refused=refused, tell=tell):
        if args.json:
            classes = [{"class": name, "probability": p} for name, p in pairs[: args.top]]
            answers.append({"image": path, "classes": classes})
        else:
            print(f"{path}: " + ", ".join(f"{name} {p:.1%}" for name, p in pairs[: args.top or 3]))
    if args.json:
        print_json({"predictions": answers, "skipped": skipped})
    return 3 if skipped and not args.skip_bad else 0
