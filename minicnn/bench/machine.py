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
from minicnn.bench.roof import serving_level
from minicnn.core.threads import get_num_threads, processors

__all__ = ["blas", "cpu_name", "describe", "facts", "libraries", "warnings"]

SLOWS_BLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # variables that choose for OpenBLAS, mostly badly


def facts() -> dict[str, Any]:
    """Processor, threads, versions, day, as plain data."""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu_name(),
        "processors": processors(),
        "threads": get_num_threads(),
        "level": serving_level() or "no level",
        "blas": blas(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "minicnn": minicnn.__version__,
        "backend": backends.active().name,
    }


def describe(found: dict[str, Any]) -> str:
    """The same in a line."""
    used = [f"{library['name']} {library['version']} on {_threads(library)}" for library in found["blas"]]
    return (
        "{date}: {cpu}, {threads} of {processors} processors, kernels for {level}; minicnn {minicnn} "
        "({backend}), NumPy {numpy} with {libraries}, Python {python}".format(
            **found, libraries=", ".join(used) or "a BLAS whose threads are not known"
        )
    )


def _threads(library: dict[str, Any]) -> str:
    return f"{library['threads']} thread{'' if library['threads'] == 1 else 's'}"


def blas() -> list[dict[str, Any]]:
    """The BLAS libraries loaded, with the number of threads that each may use now."""
    return [library for library in libraries() if library["kind"] == "blas"]


def libraries() -> list[dict[str, Any]]:
    """BLAS and OpenMP libraries loaded, with their threads."""
    import threadpoolctl

    return [
        {
            "name": library["internal_api"],
            "version": library["version"] or "",
            "kind": library["user_api"],
            "kernels": library.get("architecture") or library["user_api"],
            "threads": library["num_threads"],
        }
        for library in threadpoolctl.threadpool_info()
    ]


def warnings() -> list[str]:
    """What makes NumPy's own figures worse than they could be."""
    return [
        f"{name}={os.environ[name]} is set: NumPy's products may be slower than they could be"
        for name in SLOWS_BLAS
        if os.environ.get(name)
    ]


def cpu_name() -> str:
    """The processor's name, where the system tells it."""
    if sys.platform == "linux":
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
