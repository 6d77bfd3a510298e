"""What the figures were measured on."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from typing import Any

import numpy as np

import minicnn
from minicnn import backends
from minicnn.core.threads import get_num_threads, processors

__all__ = ["cpu_name", "describe", "facts", "warnings"]

SLOWS_BLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # variables that choose for OpenBLAS, mostly badly


def facts() -> dict[str, Any]:
    """Processor, threads, versions, day, as plain data."""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu_name(),
        "processors": processors(),
        "threads": get_num_threads(),
        "level": _level(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "minicnn": minicnn.__version__,
        "backend": backends.active().name,
    }


def describe(found: dict[str, Any]) -> str:
    """The same in a line."""
    return (
        "{date}: {cpu}, {threads} of {processors} processors, kernels for {level}; minicnn {minicnn} "
        "({backend}), NumPy {numpy}, Python {python}".format(**found)
    )


def warnings() -> list[str]:
    """What makes NumPy's own figures worse than they could be."""
    return [
        f"{name}={os.environ[name]} is set: NumPy's products may be slower than they could be"
        for name in SLOWS_BLAS
        if os.environ.get(name)
    ]


def _level() -> str:
    if backends.unavailable("native"):
        return "no level"
    import minicnn._native as native

    return str(native.level())


def cpu_name() -> str:
    """The processor's name, where the system tells it."""
    if sys.platform == "linux":
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
