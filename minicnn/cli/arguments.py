"""Numbers on the command line: read and checked at once, so that argparse names the option."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

__all__ = ["add_computing", "computing", "shape", "whole"]

_MAX_SIDE = 2**16  # of an image, and as many channels


def whole(low: int, high: int = 2**31 - 1) -> Callable[[str], int]:
    """The ``type`` of an option that is a whole number from ``low`` to ``high``.

    Examples
    --------
    >>> whole(1, 9)("7")
    7
    """

    def read(text: str) -> int:
        number = _number(text)
        if number is None or not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {low} to {high}, got {text[:40]!r}"
            )
        return number

    return read


def shape(text: str) -> tuple[int, ...]:
    """The ``type`` of an option that is a shape such as ``3,32,32`` or ``3x32x32``.

    Examples
    --------
    >>> shape("3,32,32")
    (3, 32, 32)
    """
    sizes = [_number(part) for part in text.replace("x", ",").split(",")]
    if not all(size is not None and 1 <= size <= _MAX_SIDE for size in sizes):
        raise argparse.ArgumentTypeError(
            f"expected C,H,W such as 3,32,32, each from 1 to {_MAX_SIDE}, got {text[:40]!r}"
        )
    return tuple(size for size in sizes if size is not None)


def add_computing(parser: argparse.ArgumentParser) -> None:
    """What to compute with, for a run that has its own."""
    parser.add_argument("--threads", type=whole(1, 1024), help="default: as many as the run")
    parser.add_argument("--backend", help="numpy, native, ...; default: that of the run")


def computing(args: argparse.Namespace) -> dict[str, Any]:
    """Those of :func:`add_computing` that were given."""
    return {name: value for name in ("threads", "backend") if (value := getattr(args, name)) is not None}


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
