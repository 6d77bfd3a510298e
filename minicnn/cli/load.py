"""Read one file and say what is in it: a way to see whether minicnn can read it, and why not."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.cli.output import print_json
from minicnn.train.config import Config, load_toml

HELP = "read one file and say what is in it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--kind", required=True, choices=sorted(_READERS), help="what the file is taken for")
    parser.add_argument("path", metavar="PATH", help="the file")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    facts = {"kind": args.kind, "path": args.path, **_READERS[args.kind](args.path)}
    if args.json:
        print_json(facts)
        return 0
    print(f"{args.path}: {args.kind}")
    for name, value in facts.items():
        if name not in ("kind", "path"):
            print(f"  {name}: {value}")
    return 0


def _array(array: np.ndarray) -> dict[str, Any]:
    facts: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    return facts | ({"min": array.min().item(), "max": array.max().item()} if array.size else {})


def _idx(path: str) -> dict[str, Any]:
    from minicnn.data.formats import read_idx

    return _array(read_idx(path))


def _cifar(path: str) -> dict[str, Any]:
    from minicnn.data.formats import read_cifar10

    images, labels = read_cifar10(path)
    return {"images": _array(images), "labels": _array(labels)}


def _image(path: str) -> dict[str, Any]:
    from minicnn.data.formats.images import image_header, open_image

    header = image_header(path)
    return {**header, **_array(np.asarray(open_image(path)))}


def _safetensors(path: str) -> dict[str, Any]:
    from minicnn.io.safetensors import load_file

    tensors, metadata = load_file(path)
    return {
        "tensors": {name: {"dtype": str(a.dtype), "shape": list(a.shape)} for name, a in tensors.items()},
        "metadata": sorted(metadata),
    }


def _config(path: str) -> dict[str, Any]:
    values = load_toml(path)
    values.pop("recorded", None)
    return {"options": Config.from_dict(values).to_dict()}


_READERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "idx": _idx,
    "cifar": _cifar,
    "image": _image,
    "safetensors": _safetensors,
    "config": _config,
}
