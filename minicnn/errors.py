"""The errors of minicnn: each says what was expected, what came, and where.

Every class also inherits the built-in error a Python user would expect, so
``except ValueError`` catches a :class:`ShapeError`.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = [
    "MiniCNNError",
    "ShapeError",
    "DTypeError",
    "LabelError",
    "OptionError",
    "FormatError",
    "NonFiniteError",
    "CheckpointError",
    "GradError",
    "BackendError",
]


class MiniCNNError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    message : str, optional
        A whole sentence. Leave it out and give ``expected`` and ``got`` instead where both exist.
    expected, got : str, optional
        What must hold, and what came, each with its numbers.
    hint : str, optional
        What would probably mend it.
    op : str, optional
        The operation; filled in by :class:`minicnn.core.op.Op` for its own rules.

    Attributes
    ----------
    layer : str or None
        Qualified name and class of the innermost layer, such as ``"features.3: Conv2d"``.

    Examples
    --------
    >>> print(ShapeError(expected="w of shape (O, 3, KH, KW)", got="(16, 4, 3, 3)", op="conv2d"))
    conv2d: expected w of shape (O, 3, KH, KW), got (16, 4, 3, 3)
    """

    def __init__(
        self,
        message: str = "",
        *,
        expected: str | None = None,
        got: str | None = None,
        hint: str | None = None,
        op: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.got = got
        self.hint = hint
        self.op = op
        self.modules: list[Any] = []  # the layers it passed through, innermost first

    @property
    def layer(self) -> str | None:
        """Qualified name of the innermost layer, or None outside any layer."""
        if not self.modules:
            return None
        inner_to_outer = list(zip(self.modules, self.modules[1:], strict=False))
        path = [parent.name_of_child(child) for child, parent in inner_to_outer]
        name = ".".join(reversed(path))
        kind = type(self.modules[0]).__name__
        return f"{name}: {kind}" if name else kind

    def __str__(self) -> str:
        where = [part for part in (self.layer, self.op) if part]
        what = [self.message] if self.message else []
        if self.expected:
            what.append(f"expected {self.expected}, got {self.got}")
        text = ": ".join(where + ["; ".join(what)])
        return f"{text}; {self.hint}" if self.hint else text


class ShapeError(MiniCNNError, ValueError):
    """An array's shape does not fit."""


class DTypeError(MiniCNNError, TypeError):
    """An element type does not fit."""


class LabelError(MiniCNNError, ValueError):
    """A class label lies outside its range."""


class OptionError(MiniCNNError, ValueError):
    """An option has a value that is not allowed."""


class FormatError(MiniCNNError, ValueError):
    """A file is not what it should be.

    Parameters
    ----------
    message : str
        What is wrong.
    path : path-like, optional
        The file.
    offset : int, optional
        Byte position of the fault.
    """

    def __init__(
        self,
        message: str = "",
        *,
        path: str | os.PathLike[str] | None = None,
        offset: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = None if path is None else os.fspath(path)
        self.offset = offset

    def __str__(self) -> str:
        place = self.path or ""
        if self.offset is not None:
            place += f" (byte {self.offset})"
        return f"{place}: {super().__str__()}" if place else super().__str__()


class NonFiniteError(MiniCNNError, RuntimeError):
    """A NaN or an infinity appeared in the computation."""


class CheckpointError(MiniCNNError, RuntimeError):
    """A checkpoint is damaged, or belongs to another run."""


class GradError(MiniCNNError, RuntimeError):
    """A gradient was asked for that does not exist, or came out wrong."""


class BackendError(MiniCNNError, RuntimeError):
    """A backend is missing, or strict mode met a kernel that declined."""
