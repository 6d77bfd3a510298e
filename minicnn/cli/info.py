"""Version, processor, threads, BLAS, and which backend serves which operation."""

from __future__ import annotations

import argparse
import platform
from typing import Any

import numpy as np

import minicnn
from minicnn import backends
from minicnn.bench.machine import cpu_name, libraries
from minicnn.cli.output import print_json, table
from minicnn.core.precision import get_conv_precision
from minicnn.core.threads import get_num_threads, processors

HELP = "version, processor, BLAS, backends"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments of its own."""


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    facts = gather()
    if args.json:
        print_json(facts)
        return 0
    print(f"minicnn {facts['version']}, Python {facts['python']}, NumPy {facts['numpy']}")
    print(f"processor: {facts['cpu']}, {facts['processors']} to use, {facts['threads']} threads")
    if facts["kernels"]:
        print(f"native kernels: {facts['kernels']}")
        print(f"convolutions: precision {facts['conv_precision']}, {facts['conv_algorithms']}")
    for library in facts["libraries"]:
        print("library: {name} {version} ({kernels}), {threads} threads".format(**library))
    print("\nbackends")
    for name, text in facts["backends"].items():
        print(f"  {name}: {text}")
    columns = list(next(iter(facts["operations"].values()), {}))
    rows = [[name, *(served[column] for column in columns)] for name, served in facts["operations"].items()]
    print(f"\n{table(['operation', *columns], rows)}")
    return 0


def gather() -> dict[str, Any]:
    """All facts as plain data."""
    return {
        "version": minicnn.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cpu": cpu_name(),
        "cpu_features": _cpu_features(),
        "processors": processors(),
        "threads": get_num_threads(),
        "kernels": backends.cpu_level(),
        "conv_precision": get_conv_precision(),
        "conv_algorithms": _conv_algorithms(),
        "libraries": libraries(),
        "backends": backends.status(),
        "operations": backends.table(),
    }


def _conv_algorithms() -> str | None:
    """Which algorithm of the native kernels serves which convolution; None without them."""
    if backends.unavailable("native"):
        return None
    from minicnn.backends.native.conv import rule

    return rule()


def _cpu_features() -> list[str]:
    """Vector instruction sets that NumPy found."""
    found = np.show_config(mode="dicts")["SIMD Extensions"]
    return [*found.get("baseline", []), *found.get("found", [])]
