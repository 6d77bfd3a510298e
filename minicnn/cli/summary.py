"""Layers, shapes, parameters, multiply-adds and memory of a model, without computing anything."""

from __future__ import annotations

import argparse
from pathlib import Path

from minicnn import models
from minicnn.cli.output import print_json
from minicnn.errors import OptionError
from minicnn.nn.summary import summarize
from minicnn.train.evaluate import open_run

HELP = "layers, shapes, parameters and costs of a model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("model", metavar="MODEL", help=f"{', '.join(models.names())}, or a run directory")
    parser.add_argument("--input", metavar="C,H,W", help="shape of one image; default: the model's own")
    parser.add_argument("--classes", type=int, default=10, metavar="K", help="number of classes (10)")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="images at a time (1)")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    if args.batch_size < 1:
        raise OptionError(expected="--batch-size of at least 1", got=str(args.batch_size))
    if Path(args.model, "config.toml").exists():
        trained = open_run(args.model)
        model, shape = trained.model, tuple(trained.recorded.image_shape)
    else:
        shape = _shape(args.input) if args.input else models.default_shape(args.model)
        model = models.build(args.model, args.classes, shape)
    rows = summarize(model, (args.batch_size, *shape))
    if not args.json:
        print(rows)
        return 0
    names = ("parameters", "macs", "activation_bytes", "scratch_bytes")
    totals = {name: getattr(rows, name) for name in names}
    layers = [row._asdict() for row in rows]
    print_json({"model": args.model, "input": [args.batch_size, *shape], **totals, "layers": layers})
    return 0


def _shape(text: str) -> tuple[int, ...]:
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise OptionError(expected="--input as C,H,W such as 3,32,32", got=repr(text))
    return tuple(int(part) for part in parts)
