"""How figures are shown: tables for people, rows of Markdown, the roofline picture."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any

from minicnn.errors import BackendError

__all__ = ["kernel_rows", "markdown", "plot", "show", "step_rows"]

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
        if "refused" in found:
            rows.append([found["name"], found["refused"], *[""] * 6])
            continue
        mark = " *" if measured["busy"] and "extrapolated" not in found else ""
        spread = "" if "q1_s" not in found else f"{seconds(found['q1_s'])} - {seconds(found['q3_s'])}"
        rows.append(
            [
                found["name"],
                seconds(found["median_s"]) + mark,
                spread,
                number(found["gflops"]) if measured["operations"] else "-",
                number(found["gbytes_per_s"]),
                percent(found.get("roof_fraction")),
                size(found.get("scratch_bytes")),
                "-" if "error_rms" not in found else f"{found['error_rms']:.1e}",
            ]
        )
    return rows


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


def plot(path: str, levels: dict[str, float], measured: Sequence[dict[str, Any]]) -> None:
    """Draw the roofs, and every measured product under them.

    Parameters
    ----------
    path : str
        The picture; its ending chooses the format.
    levels : dict
        Copy bandwidth by level, in bytes a second.

    Raises
    ------
    BackendError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendError("matplotlib is not installed; pip install minicnn[viz]") from error
    products = [found for found in measured if found["operations"] and found["roof"]]
    peak = max((found["roof"]["peak_gflops"] for found in products), default=1.0)
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot(xscale="log", yscale="log")
    axes.set(xlabel="operations per byte", ylabel="GFLOP/s", title="Products under the measured roofs")
    span = [0.05, 1000.0]
    for name, bandwidth in levels.items():
        ridge = peak * 1e9 / bandwidth
        axes.plot([span[0], ridge], [span[0] * bandwidth / 1e9, peak], linewidth=1, label=f"copy, {name}")
    axes.plot(span, [peak, peak], color="black", linewidth=1, label=f"multiply-adds, {peak:.0f} GFLOP/s")
    points: dict[str, list[tuple[float, float]]] = {}
    for found in products:
        for candidate in found["candidates"]:
            if "gflops" in candidate and "extrapolated" not in candidate:
                points.setdefault(candidate["name"], []).append((found["intensity"], candidate["gflops"]))
    for name, pairs in points.items():
        axes.plot(*zip(*pairs, strict=True), "o", markersize=4, label=name)
    axes.legend(fontsize="small")
    figure.savefig(path)


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
