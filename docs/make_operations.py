"""Writes docs/operations.md: every operation with its formula, file, oracle and kinks.

python docs/make_operations.py
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import minicnn
from minicnn.ops import update
from minicnn.testing import OpCase, op_registry

PACKAGE = Path(minicnn.__file__).parent
HEAD = """# Operations

Made by `docs/make_operations.py` from the docstrings and the operation table; a test keeps it true.
Files are in `minicnn/`. Each file has the forward and the backward of an operation next to each other;
the oracle is the same formula in literal loops. F1 to F6 are the article's formulas (3.1 to 3.4 and 6).

| operation | what it computes | file | oracle | not smooth at, and the derivative there |
|---|---|---|---|---|
"""


def place(function: object) -> str:
    """The file of a function, within the package."""
    path = Path(inspect.getsourcefile(inspect.unwrap(function))).relative_to(PACKAGE)  # type: ignore
    return f"`{path.as_posix()}`"


def cells(*texts: str) -> str:
    """One line of a table."""
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def summary(function: object) -> str:
    """The first paragraph of a docstring, in one line."""
    words = re.sub(r"\s+", " ", (inspect.getdoc(function) or "").split("\n\n")[0])
    return re.sub(r":\w+:`[\w.]*?(\w+)`|``(.*?)``", r"`\1\2`", words).rstrip(".")


def row(case: OpCase) -> str:
    """The line of an operation."""
    name = case.oracle.__name__
    oracle = "that of its parts" if name == "<lambda>" else f"{place(case.oracle)} `{name}`"
    return cells(f"`{case.name}`", summary(case.function), place(case.function), oracle, case.kinks)


def text() -> str:
    """The whole page."""
    rows = [row(case) for case in op_registry().values() if "," not in case.name]
    rules = [getattr(update, name) for name in update.__all__]
    rows += [cells(f"`{rule.name}`", summary(rule), place(rule), "`oracles/optim.py`", "") for rule in rules]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("operations.md").write_text(text(), encoding="utf-8")
