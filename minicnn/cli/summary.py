"""Layers, shapes, parameters, multiply-adds, memory and expected time of a model, before it is run."""

from __future__ import annotations

import argparse
from pathlib import Path

from minicnn import models
from minicnn.bench.forecast import Forecast
from minicnn.bench.report import seconds
from minicnn.cli.arguments import shape, whole
from minicnn.cli.output import print_json
from minicnn.core.threads import get_num_threads
from minicnn.errors import BackendError, OptionError
from minicnn.nn import Module
from minicnn.nn.summary import summarize
from minicnn.train.evaluate import open_run

HELP = "layers, shapes, parameters and costs of a model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("model", metavar="MODEL", help=f"{', '.join(models.names())}, or a run directory")
    parser.add_argument(
        "--input", type=shape, metavar="C,H,W", help="shape of one image; default: the model's own"
    )
    parser.add_argument("--classes", type=whole(1, 10**6), metavar="K", help="number of classes (10)")
    parser.add_argument("--batch-size", type=whole(1), default=1, metavar="N", help="images at a time (1)")
    parser.add_argument(
        "--no-time", dest="time", action="store_false", help="do not measure this machine's roof for it"
    )


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    if Path(args.model, "config.toml").exists():
        if args.input or args.classes:
            raise OptionError("--input and --classes are those of the run", op="summary")
        trained = open_run(args.model)
        model, size = trained.model, tuple(trained.recorded.image_shape)
    else:
        size = args.input or models.default_shape(args.model)
        model = _build(args.model, args.classes or 10, size)
    forecast, note = _forecast() if args.time else (None, "")
    rows = summarize(model, (args.batch_size, *size), seconds_of=forecast.seconds if forecast else None)
    step = None if forecast is None else (rows.seconds or 0.0) + forecast.update(rows.parameters)
    if not args.json:
        print(rows)
        if step is not None:
            note = (
                f"expected time of a training step with Adam on {get_num_threads()} threads: {seconds(step)}"
            )
        if note:
            print(note)
        return 0
    names = ("parameters", "macs", "activation_bytes", "scratch_bytes")
    totals = {name: getattr(rows, name) for name in names}
    layers = [row._asdict() for row in rows]
    facts = {"model": args.model, "input": [args.batch_size, *size], **totals}
    print_json({**facts, "step_seconds": step, "layers": layers})
    return 0


def _forecast() -> tuple[Forecast | None, str]:
    """The roof of this machine, measured; or why there is none."""
    try:
        return Forecast(), ""
    except BackendError as error:
        return None, f"no expected time: {error}"


def _build(name: str, classes: int, size: tuple[int, ...]) -> Module:
    try:
        return models.build(name, classes, size)
    except MemoryError as error:
        raise OptionError(
            f"the parameters of {name} for {classes} classes and input {size} do not fit into the memory"
        ) from error
