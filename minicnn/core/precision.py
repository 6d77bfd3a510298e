"""How exact float32 convolutions have to be: whether a faster algorithm may cost digits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from minicnn.errors import OptionError

__all__ = ["PRECISIONS", "get_conv_precision", "set_conv_precision", "use_conv_precision"]

PRECISIONS = ("highest", "high")

_precision = "high"
_precision_here: ContextVar[str | None] = ContextVar("precision", default=None)  # of a block, in its thread


def set_conv_precision(precision: str) -> None:
    """Choose how exact float32 convolutions are, process-wide.

    ``MINICNN_CONV_PRECISION`` in the environment chooses at import.

    Parameters
    ----------
    precision : "high" or "highest"
        "high" (the default) lets compiled kernels use Winograd's algorithm for 3 x 3 convolutions: up to
        four times faster, with rounding errors up to 1e-5 of the largest result; sums too long for that are
        direct. "highest" sums directly everywhere: with errors some 5 to 20 times smaller for numbers of
        both signs; for numbers of one sign, neither loses more than 2e-6 (docs/kernels.md).

    Raises
    ------
    OptionError
        If it is neither.

    Examples
    --------
    >>> set_conv_precision("highest")
    >>> get_conv_precision()
    'highest'
    >>> set_conv_precision("high")
    """
    global _precision
    if precision not in PRECISIONS:
        raise OptionError(
            expected=f"a precision out of {', '.join(PRECISIONS)}",
            got=repr(precision),
            op="set_conv_precision",
        )
    _precision = precision


def get_conv_precision() -> str:
    """The precision in force, see :func:`set_conv_precision`."""
    return _precision_here.get() or _precision


@contextmanager
def use_conv_precision(precision: str) -> Iterator[None]:
    """A precision for a block in this thread, whatever :func:`set_conv_precision` says."""
    token = _precision_here.set(precision)
    try:
        yield
    finally:
        _precision_here.reset(token)


try:
    set_conv_precision(os.environ.get("MINICNN_CONV_PRECISION") or "high")
except OptionError as error:
    error.op = "MINICNN_CONV_PRECISION"
    raise
