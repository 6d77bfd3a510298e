"""Train a model. Without arguments: a small convolutional network on the bundled digits.

Options left out are chosen for the data set. CONFIG.toml holds the same options as `key = value`
lines; those on the command line come first. A run directory's config.toml is such a file.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from minicnn import models
from minicnn.cli.output import counting, print_json, tell
from minicnn.data.catalog import CATALOG
from minicnn.errors import OptionError
from minicnn.train.callbacks import progress
from minicnn.train.choices import OPTIMIZERS, SCHEDULES
from minicnn.train.config import Config, load_toml
from minicnn.train.directory import continued
from minicnn.train.losses import LOSSES
from minicnn.train.preprocess import AUGMENTATIONS
from minicnn.train.run import train

HELP = "train a model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    add_options(parser)
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out from its newest checkpoint"
    )


def add_options(parser: argparse.ArgumentParser, **helps: str) -> None:
    """CONFIG.toml, and one option per field of :class:`Config`; ``helps`` for those that differ."""
    parser.add_argument("config", nargs="?", metavar="CONFIG.toml", help="options as TOML")
    kinds: dict[str, dict[str, Any]] = {
        "str": {"type": str},
        "int": {"type": int},
        "float": {"type": float},
        "bool": {"action": argparse.BooleanOptionalAction},
    }
    for field in dataclasses.fields(Config):
        options = kinds[str(field.type)]
        if "type" in options:
            options = {**options, "metavar": field.name.upper()}
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            help=helps.get(field.name, field.metadata["help"] + _known(field.name)),
            **options,
        )


def _known(name: str) -> str:
    """The names that an option knows."""
    names = {
        "data": CATALOG,
        "model": models.names(),
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "loss": LOSSES,
        "augment": AUGMENTATIONS,
    }
    return f" ({', '.join(names[name])})" if name in names else ""


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    values = given(args)
    config = continued(values) if args.resume else Config.from_dict(values)
    watch: dict[str, Any] = {"callbacks": [progress()], "tell": tell, "progress": counting()}
    result = train(config, resume=args.resume, again=_images_before(args), **watch)
    if args.json:
        print_json(result)
        return 0
    accuracy, steps, updates = (result[name] for name in ("test_accuracy", "steps", "updates"))
    last = f", the last {updates} of them" if updates < steps else ""
    print(
        "no test images:" if accuracy is None else f"test accuracy {accuracy:.2%} after",
        f"{steps} updates{last}",
        "in {seconds:.1f} s ({images_per_second:,.0f} images/s while training, "
        "{loader_share:.0%} of it waiting for images); "
        "saved in {run}".format(**result),
    )
    return 0


def _images_before(args: argparse.Namespace) -> str:
    """The fingerprint of the images of the run whose file is given, to do it again; empty where none is."""
    recorded = {} if args.config is None else load_toml(args.config).get("recorded", {})
    return str(recorded.get("data_fingerprint", "")) if isinstance(recorded, dict) else ""


def _refuse_zeros(args: argparse.Namespace) -> None:
    """In a file 0 leaves the choice to the data set; who types it means something else."""
    for name in ("epochs", "batch_size", "lr"):
        if getattr(args, name, 1) <= 0:
            raise OptionError(f"--{name.replace('_', '-')} must be more than 0")


def _refuse_device(name: Any) -> None:
    """Meta tensors have no numbers to train with."""
    if isinstance(name, str) and name.partition(":")[0] not in ("cpu", "cuda"):
        raise OptionError(f"--device must be cpu or cuda, got {name!r}")


def given(args: argparse.Namespace) -> dict[str, Any]:
    """The options of the configuration file, and over them those of the command line.

    Raises
    ------
    OptionError
        If one of them cannot be; what :class:`Config` refuses comes on top.
    """
    _refuse_zeros(args)
    values = {} if args.config is None else load_toml(args.config)
    recorded = values.pop("recorded", None)
    if recorded is not None and not getattr(args, "resume", False):
        values.pop("out", None)  # the file of another run, to do it again elsewhere
    names = {field.name for field in dataclasses.fields(Config)}
    values |= {name: value for name, value in vars(args).items() if name in names}
    if any(isinstance(value, dict) for value in values.values()):
        raise OptionError(f"{args.config}: options stand at the top, not in tables")
    _refuse_device(values.get("device", "cpu"))
    return values
