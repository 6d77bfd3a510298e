"""Every row of the operation table, and every compiled kernel."""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

from minicnn.core import dispatch
from minicnn.testing import cases
from minicnn.testing.spec import OpCase

__all__ = ["kernels", "op_registry"]


@functools.cache
def op_registry() -> dict[str, OpCase]:
    """All rows by name: function, samples, calls to refuse, oracle, where linear, where not smooth.

    Raises
    ------
    ValueError
        If two rows have the same name.

    Examples
    --------
    >>> op_registry()["relu"].kinks != ""
    True
    """
    rows: dict[str, OpCase] = {}
    for family in sorted(module.name for module in pkgutil.iter_modules(cases.__path__)):
        for case in import_module(f"{cases.__name__}.{family}").CASES:
            if case.name in rows:
                raise ValueError(f"two rows of the operation table are called {case.name!r}")
            rows[case.name] = case
    return rows


def kernels() -> dict[str, dict[str, Callable[..., Any]]]:
    """Every compiled kernel by operation and backend, callable on arrays.

    Returns
    -------
    dict
        ``kernels()["relu"]["native"](x)`` gives what the reference gives, ``(y, saved)``, or
        :class:`~minicnn.core.dispatch.Declined`. Backends that are not loaded are left out.

    Examples
    --------
    >>> all(callable(kernel) for by_backend in kernels().values() for kernel in by_backend.values())
    True
    """
    loaded = dispatch.backends()
    return {
        name: {
            backend: functools.partial(overlay, loaded[backend].xp)
            for backend, overlay in kernel.overlays.items()
            if backend in loaded
        }
        for name, kernel in dispatch.kernels.items()
        if kernel.overlays
    }
