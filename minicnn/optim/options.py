"""Options of PyTorch's optimisers that have no meaning here."""

from __future__ import annotations

from typing import Any

from minicnn.errors import OptionError

__all__ = ["refuse_unsupported"]


def refuse_unsupported(**options: Any) -> None:
    """PyTorch's options that choose among its own implementations: only None and False pass.

    Raises
    ------
    OptionError
        If one is set.
    """
    for name, value in options.items():
        if value:
            raise OptionError(
                expected=f"{name} to be None or False",
                got=repr(value),
                hint="it chooses among PyTorch's own implementations and changes no result; leave it out",
            )
