"""A Ctrl-C while the command ``minicnn`` still loads its libraries: one line, and exit code 130.

``minicnn/__init__.py`` imports this first, as loading takes long enough to be interrupted. Programs that
import minicnn keep their own handlers; the command's own take over in :mod:`minicnn.train.signals`.
"""

import os
import signal
import sys
import threading


def _end(number: int, frame: object) -> None:
    os.write(2, b"minicnn: interrupted\n")
    os._exit(130)  # nothing is open yet, and an exception could be swallowed by what is being imported


def _is_command() -> bool:
    """Whether this process is ``minicnn``, or ``python -m minicnn``, whose first word is still ``-m`` now."""
    first = (getattr(sys, "argv", None) or [""])[0]
    if first == "-m":
        return "minicnn" in sys.orig_argv
    return os.path.basename(first) in ("minicnn", "minicnn.exe")


if _is_command() and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, _end)
