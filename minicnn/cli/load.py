"""Read one file and say what is in it: a way to see whether minicnn can read it, and why not."""

from __future__ import annotations

import argparse
from typing import Any

from minicnn.cli.output import print_json
from minicnn.data.inspect import KINDS, guess, inspect, to_text
from minicnn.train.config import Config, load_toml

HELP = "read one file and say what is in it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    kinds = (*KINDS, "config")
    parser.add_argument(
        "--kind", choices=kinds, help="what the file is taken for; default: what it looks like"
    )
    parser.add_argument("path", metavar="PATH", help="the file")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    kind = args.kind or ("config" if args.path.endswith(".toml") else guess(args.path))
    facts = _config(args.path) if kind == "config" else inspect(kind, args.path)
    if args.json:
        print_json(facts)
    else:
        print(to_text(facts))
    return 0


def _config(path: str) -> dict[str, Any]:
    values = load_toml(path)
    values.pop("recorded", None)
    return {"kind": "config", "path": path, "options": Config.from_dict(values).to_dict()}
