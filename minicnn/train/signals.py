"""Stopping politely: a signal asks, and the training stops between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["Interrupted", "StopRequest"]


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
        saved = f"; saved {where}" if where else ""
        super().__init__(f"stopped by {signal.Signals(number).name}{saved}")
        self.exit_code = 128 + number


class StopRequest:
    """Notes SIGINT and SIGTERM while it is entered, instead of stopping at once.

    A second SIGINT raises KeyboardInterrupt as usual. Outside the main thread, where Python allows
    no signal handlers, it does nothing.

    Attributes
    ----------
    signal : int or None
        The signal that came.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.signal = None  # it has been heeded; another training may start

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
