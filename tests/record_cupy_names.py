"""Writes tests/ops/cupy_names.txt: the names that CuPy's namespace has. Run it where CuPy is installed."""

from pathlib import Path
from types import ModuleType

import cupy

TARGET = Path(__file__).parent / "ops" / "cupy_names.txt"
SUBMODULES = ("fft", "lib", "lib.stride_tricks", "linalg", "random")


def public(value: object, prefix: str = "") -> list[str]:
    """The names of functions, types and constants; submodules are listed on their own."""
    names = [name for name in dir(value) if not name.startswith("_")]
    return [prefix + name for name in names if not isinstance(getattr(value, name, None), ModuleType)]


def names() -> list[str]:
    found = public(cupy) + public(cupy.ndarray, "ndarray.")
    for path in SUBMODULES:
        module = cupy
        for part in path.split("."):
            module = getattr(module, part)
        found += public(module, f"{path}.")
    return sorted(name for name in found if not name.endswith("annotations"))  # of `from __future__`


if __name__ == "__main__":
    TARGET.write_text(f"# CuPy {cupy.__version__}\n" + "\n".join(names()) + "\n", encoding="utf-8")
