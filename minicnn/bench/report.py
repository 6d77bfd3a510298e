"""How figures are shown: tables for people, rows of Markdown, the roofline picture."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["ESTIMATED", "kernel_rows", "markdown", "notes", "roof_of", "show", "step_rows"]

ESTIMATED = "~ estimated: timed on a small part of the work and scaled up"
KERNEL_HEAD = (
    "computed by",
    "median",
    "quartiles",
    "GFLOP/s",
    "GB/s",
    "of roof",
    "scratch",
    "error rms",
)
STEP_HEAD = (
    "network",
    "framework",
    "batch",
    "threads",
    "median",
    "min",
    "p10",
    "images/s",
    "GFLOP/s",
    "of FMA peak",
    "memory",
    "faults/step",
    "own, other CPUs",
    "time over minicnn's",
)


def kernel_rows(measured: dict[str, Any]) -> list[list[str]]:
    """The cells of one pass, one row per candidate, under :data:`KERNEL_HEAD`."""
    rows = []
    for found in measured["candidates"]:
        reason = _without_figures(found)
        if reason:
            rows.append([found["name"], reason.partition(":")[0], *[""] * 6])
            continue
        about = "~" if found["extrapolated"] else ""
        mark = " *" if measured["busy"] and not found["extrapolated"] else ""
        spread = "" if "q1_s" not in found else f"{seconds(found['q1_s'])} - {seconds(found['q3_s'])}"
        rows.append(
            [
                found["name"],
                about + seconds(found["median_s"]) + mark,
                spread,
                about + number(found["gflops"]) if measured["operations"] else "-",
                about + number(found["gbytes_per_s"]),
                percent(found.get("roof_fraction")),
                size(found.get("scratch_bytes")),
                "-" if "error_rms" not in found else f"{found['error_rms']:.1e}",
            ]
        )
    return rows


def roof_of(measured: dict[str, Any]) -> str:
    """The roof of a pass, as a rate: its own, by the memory that its numbers have room in."""
    if not measured["roof"]:
        return ""
    work, unit = (
        (measured["operations"], "GFLOP/s") if measured["operations"] else (measured["bytes"], "GB/s")
    )
    return f", roof {number(work / measured['roof']['seconds'] / 1e9)} {unit}"


def notes(measured: dict[str, Any]) -> list[str]:
    """Why candidates of a pass have no figures, or more than all of the roof, a line each."""
    found = measured["candidates"]
    reasons = ((one["name"], _without_figures(one)) for one in found)
    lines = [f"{name} {reason}" for name, reason in reasons if reason]
    above = [one["name"] for one in found if (one.get("roof_fraction") or 0) > 1.05]
    if above:
        lines.append(f"{', '.join(above)}: above the roof of the formula by doing fewer multiplications")
    return lines


def _without_figures(found: dict[str, Any]) -> str | None:
    """Why a candidate has no figures."""
    return f"declined: {found['declined']}" if "declined" in found else found.get("refused")


def step_rows(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The cells of networks' steps, under :data:`STEP_HEAD`."""
    cells = []
    for row in rows:
        head = [row["model"], row["framework"], str(row["batch"]), str(row["threads"])]
        reason = row.get("missing") or row.get("refused")
        if reason:
            cells.append([*head, reason, *[""] * (len(STEP_HEAD) - 5)])
            continue
        ratio = row.get("ratio")
        cells.append(
            [
                *head,
                seconds(row["median_s"]) + (" *" if row["busy"] else ""),
                seconds(row["min_s"]),
                seconds(row["p10_s"]),
                number(row["images_per_s"]),
                number(row["gflops"]),
                percent(row["peak_fraction"]),
                size(row["peak_rss_bytes"]),
                number(row["page_faults_per_step"]),
                f"{row['own_cpus']:.2f}, {row['other_cpus']:.2f}",
                "" if ratio is None else "{} ({} - {})".format(*map(number, ratio.values())),
            ]
        )
    return cells


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], as_markdown: bool) -> None:
    """Print a table on standard output."""
    if as_markdown:
        print(f"\n{title}\n\n{markdown(head, rows)}")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for i, name in enumerate(head):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 200
    Console(width=width, markup=False, highlight=False).print(table)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as rows of Markdown.

    Examples
    --------
    >>> print(markdown(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [list(head), *map(list, rows)]
    texts = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([texts[0], "|" + "---|" * len(head), *texts[1:]])


# -- figures in words ------------------------------------------------------------------------------


def seconds(value: float) -> str:
    """A time with three digits: 1.23 ms."""
    units = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
    unit = next((name for name, scale in units.items() if value >= scale), "µs")
    return f"{number(value / units[unit])} {unit}"


def number(value: float) -> str:
    """Three digits: 0.123, 1.23, 123, 12,345."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percent(fraction: float | None) -> str:
    """A fraction as percent."""
    return "-" if fraction is None else f"{100 * fraction:.3g} %"


def size(count: int | None) -> str:
    """Bytes with a unit."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} GiB"
