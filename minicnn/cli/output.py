"""What commands print: text for people, or one JSON object."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["counting", "finite", "print_json", "table", "tell", "tell_skipped"]


def print_json(value: Any) -> None:
    """Print a value as one line of JSON; what is not finite becomes null, as JSON has no word for it."""
    print(json.dumps(finite(value)))


def finite(value: Any) -> Any:
    """The value with None for numbers that are not finite, in dicts and lists too."""
    if isinstance(value, dict):
        return {str(key): finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns of text, the first to the left, the others to the right.

    Examples
    --------
    >>> print(table(["class", "F1"], [["cat", 0.5], ["hamster", 1]]))
    class     F1
    cat      0.5
    hamster    1
    """
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    texts = []
    for first, *others in lines:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)


def counting(every: float = 2.0) -> Callable[[str, int, int], None]:
    """What tells on standard error, every few seconds, how far a long piece of work is.

    Returns
    -------
    callable
        ``count(what, done, total)``; a total of 0 is unknown.
    """
    last = time.monotonic()

    def count(what: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            tell(f"{what}: {done:,}" + (f" of {total:,}" if total else ""))

    return count


def tell(text: str) -> None:
    """Write at most three lines to standard error."""
    print("\n".join(text.splitlines()[:3]), file=sys.stderr)


def tell_skipped(skipped: Sequence[tuple[str, str]], most: int = 5) -> None:
    """Tell which images were left out, and why: the first of them, and how many there are besides."""
    for name, reason in skipped[:most]:
        tell(f"left out: {name}: {reason}")
    if len(skipped) > most:
        tell(f"left out: {len(skipped) - most:,} more")
