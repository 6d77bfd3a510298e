"""What commands print: text for people, or one JSON object."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["print_json", "tell", "table"]


def print_json(value: Any) -> None:
    """Print a value as one line of JSON; what is not finite becomes null, as JSON has no word for it."""
    print(json.dumps(_finite(value)))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
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


def tell(text: str) -> None:
    """Write at most three lines to standard error."""
    print("\n".join(text.splitlines()[:3]), file=sys.stderr)
