"""Floor 6, the command line: one file per command."""

from minicnn.cli.main import main

__all__ = ["main"]
