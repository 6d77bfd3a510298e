"""The console script. It stands outside the package, whose import can itself refuse the environment."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run ``minicnn.cli.main``; a bad ``MINICNN_BACKEND`` or ``MINICNN_NUM_THREADS`` is a wrong usage too."""
    try:
        from minicnn.cli import main as command
    except Exception as error:
        if type(error).__module__ != "minicnn.errors":  # which cannot be imported now
            raise
        print(f"minicnn: {error}", file=sys.stderr)
        return 2
    return command()
