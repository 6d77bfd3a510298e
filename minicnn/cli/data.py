"""Download data sets known by name, pack images for training, and look at what a data set holds."""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

from minicnn.cli.arguments import whole
from minicnn.cli.output import counting, print_json, table
from minicnn.data import fetch, sources
from minicnn.data.catalog import CATALOG
from minicnn.data.duplicates import equal_images, image_hashes, overlaps, repeated
from minicnn.data.pack import PackedImages, open_pack, pixel_hashes
from minicnn.data.packing import pack
from minicnn.data.vision import ImageArrays
from minicnn.errors import FormatError, OptionError

HELP = "download, pack and check data sets"

_MOST_LINES = 20  # of images that occur more than once, and places of each; --json has all
_PACKED = "a folder of class folders, tar or Parquet files, or a Hugging Face data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("what", metavar="fetch|pack|check", choices=tuple(_ACTIONS))
    parser.add_argument(
        "source",
        metavar="NAME|SOURCE",
        help=f"fetch: {', '.join(fetch.FILES)}; check: what --data takes; pack: {_PACKED}",
    )
    parser.add_argument("out", metavar="OUT", nargs="?", help="pack: the folder to write, for --data")
    group = parser.add_argument_group("fetch")
    group.add_argument("--dir", help="the data folder; default: data")
    group.add_argument("--url-base", help="a folder on the web that has the files")
    group = parser.add_argument_group("pack, check")
    group.add_argument("--skip-bad", action="store_true", help="images that cannot be read are no error")
    group.add_argument("--image-size", type=whole(1, 8192), help="height and width; default: by the images")
    group.add_argument("--workers", type=whole(1, 256), default=0, help="pack: threads that decode (all)")
    group.add_argument("--data-dir", help="check: directory of a data set known by name")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    if (args.what == "pack") != (args.out is not None):
        raise OptionError("pack takes SOURCE and OUT, fetch and check one word", op="data")
    facts = _ACTIONS[args.what](args)
    if args.json:
        print_json(facts)
    else:
        print(_text(facts))
    return 3 if args.what == "check" and facts["skipped"] and not args.skip_bad else 0


def _fetch(args: argparse.Namespace) -> dict[str, Any]:
    folder = fetch.fetch(args.source, args.dir or "data", url_base=args.url_base, progress=counting())
    return {"data": args.source, "folder": str(folder)}


def _pack(args: argparse.Namespace) -> dict[str, Any]:
    records = sources.records(args.source)
    if records is None and not os.path.exists(args.source) and args.source not in CATALOG:
        raise OptionError(f"{args.source}: no such file or folder", op="data pack")
    if records is None:
        raise OptionError(expected=f"what can be packed: {_PACKED}", got=repr(args.source), op="data pack")
    options = {"image_size": args.image_size, "skip_bad": args.skip_bad, "workers": args.workers}
    pack(records, args.out, progress=counting(), **options)
    facts, _ = open_pack(args.out)
    shown = ("counts", "image_shape", "classes", "note", "skipped")
    return {"pack": args.out, **{name: facts[name] for name in shown}}


def _check(args: argparse.Namespace) -> dict[str, Any]:
    source = sources.load(args.source, args.data_dir, args.image_size, skip_bad=True, progress=counting())
    parts = {"training": source.train, "validation": source.validation, "test": source.test}
    there = {name: images for name, images in parts.items() if images is not None}
    for images in there.values():
        _refuse_changed(images)
    hashes = {name: image_hashes(images) for name, images in there.items()}
    counts = {name: images.labels for name, images in there.items()}
    return {
        "data": source.name,
        "fingerprint": source.fingerprint,
        "image_shape": list(source.image_shape),
        "images": {name: len(images) for name, images in there.items()},
        "classes": {
            label: {name: int((labels == index).sum()) for name, labels in counts.items()}
            for index, label in enumerate(source.classes)
        },
        "mean": list(source.mean),
        "std": list(source.std),
        "repeated": {name: repeated(part) for name, part in hashes.items()},
        "shared": {" and ".join(one.parts): len(one.images) for one in overlaps(hashes)},
        "equal": [
            [_facts(part, there[part], index) for part, index in places] for places in equal_images(hashes)
        ],
        "note": source.note,
        "skipped": [list(one) for one in source.skipped],
    }


def _refuse_changed(images: ImageArrays) -> None:
    """Compare the images of a pack with their hashes, by which everything else knows them."""
    if isinstance(images, PackedImages):
        pixels: Any = images.pixels
        wrong = np.flatnonzero((pixel_hashes(pixels) != images.hashes).any(axis=1))
        if len(wrong):
            name, path = images.names[wrong[0]], pixels.path
            raise FormatError(
                f"damaged: {len(wrong)} images are not those that were packed, as {name}", path=path
            )


def _facts(part: str, images: ImageArrays, index: int) -> dict[str, Any]:
    """Which image it is; one from a file has its name."""
    names = getattr(images, "names", None)
    name = str(index) if names is None else names[index]
    return {"part": part, "image": name, "class": images.classes[int(images.labels[index])]}


_ACTIONS = {"fetch": _fetch, "pack": _pack, "check": _check}


def _text(facts: dict[str, Any]) -> str:
    """What was done or found, for people."""
    lines = []
    for name, value in facts.items():
        if name == "classes" and isinstance(value, dict):
            parts = list(next(iter(value.values())))
            rows = [[label, *counts.values()] for label, counts in value.items()]
            lines.append(table(["class", *parts], rows))
        elif name == "equal":
            lines += _equal(value)
        elif name == "skipped":
            lines += [f"left out: {image}: {reason}" for image, reason in value]
        elif value not in ("", {}, []):
            lines.append(f"{name.replace('_', ' ')}: {_words(value)}")
    return "\n".join(lines)


def _equal(groups: list[list[dict[str, Any]]]) -> list[str]:
    """The images that occur more than once, those with different labels first."""

    def classes(group: list[dict[str, Any]]) -> int:
        return len({one["class"] for one in group})

    lines = []
    for group in sorted(groups, key=lambda group: (-classes(group), -len(group))):
        where = ", ".join(f"{one['image']} ({one['part']}, {one['class']})" for one in group[:_MOST_LINES])
        where += f" and {len(group) - _MOST_LINES:,} more" if len(group) > _MOST_LINES else ""
        lines.append(f"equal{', in different classes' if classes(group) > 1 else ''}: {where}")
    more = len(lines) - _MOST_LINES
    return lines[:_MOST_LINES] + ([f"and {more:,} more: --json names them all"] if more > 0 else [])


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count:,}" for name, count in value.items())
    if isinstance(value, list):
        return ", ".join(f"{one:.4f}" if isinstance(one, float) else str(one) for one in value)
    return str(value)
