"""Stopping politely: a signal asks, and the training stops between two steps; before and after, at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

__all__ = ["Interrupted", "StopRequest", "raising"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_raised: list[int] = []  # signals that ended, or should have ended, the block of `raising`


class Interrupted(Exception):  # noqa: N818 - not an error: it was asked for
    """The training was asked to stop, and has saved its state.

    Parameters
    ----------
    number : int
        The signal, ``signal.SIGINT`` or ``signal.SIGTERM``.
    where : str
        The checkpoint it left, or an empty string.
    """

    def __init__(self, number: int, where: str = "") -> None:
        saved = f"; saved {where}, from which --resume goes on" if where else ""
        super().__init__(f"stopped by {signal.Signals(number).name}{saved}")
        self.exit_code = 128 + number


class StopRequest:
    """Notes SIGINT and SIGTERM while it is entered, instead of stopping at once.

    One that came before, within :func:`raising`, and was swallowed counts too; one that nobody has heeded at
    the end raises :class:`Interrupted`. A second SIGINT raises KeyboardInterrupt as usual. Outside the main
    thread, where Python allows no signal handlers, it does nothing.

    Attributes
    ----------
    signal : int or None
        The signal that came.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self.signal = None
        self._before = _handle(self._note)
        if self.signal is None and _raised:  # none came since
            self.signal = _raised[0]
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        _restore(self._before)
        number, self.signal = self.signal, None  # another training may start
        if number is not None and kind is None:
            raise Interrupted(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def raising() -> Iterator[None]:
    """Let SIGINT and SIGTERM end a block by an exception, so that it cleans up on its way.

    An exception that comes in a callback out of C is printed and forgotten, and what reads files may take it
    for damage. So the signal is noted too, and whatever the block comes to then, it ends interrupted.

    Raises
    ------
    KeyboardInterrupt, Interrupted
        At once, after SIGINT and SIGTERM; Interrupted at the end, if that was swallowed.
    """
    before = _handle(_raise)
    try:
        yield
        if _raised:
            raise Interrupted(_raised[0])
    except Exception as error:
        if _raised and not isinstance(error, Interrupted):
            raise Interrupted(_raised[0]) from error
        raise
    finally:
        _raised.clear()
        _restore(before)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    _raised.append(number)
    raise KeyboardInterrupt if number == signal.SIGINT else Interrupted(number)


def _handle(handler: Callable[[int, FrameType | None], Any]) -> dict[int, Any]:
    """Install a handler where Python allows it; gives those of before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number in _NUMBERS}


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
