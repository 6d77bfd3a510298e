"""The picture of what was measured: products under the roofs, other passes beside the copies."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from minicnn.bench.report import size
from minicnn.errors import BackendError, OptionError

__all__ = ["check", "plot"]

_BAR = 0.16  # inches, as all heights here
_MARKERS = {"forward": "o", "backward": "s", "backward-data": "<", "backward-weights": ">", "update": "D"}


def check(path: str) -> None:
    """Refuse a picture that could not be written after all the measuring.

    Raises
    ------
    BackendError
        If matplotlib is not installed.
    OptionError
        If its ending is no format of a picture, or its folder is not there.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendError("matplotlib is not installed; pip install minicnn[viz]") from error
    known = Figure().canvas.get_supported_filetypes()
    ending = os.path.splitext(path)[1].removeprefix(".").lower()
    if ending not in known:
        raise OptionError(expected=f"a picture: {', '.join(sorted(known))}", got=path, op="--plot")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise OptionError(f"--plot {path}: there is no such folder")


def plot(path: str, roofs: dict[str, Any], measured: Sequence[dict[str, Any]]) -> None:
    """Draw passes with counted operations as points under a roofline, the others as bars.

    What was not timed (extrapolated, refused) is not drawn. A black mark is the roof of that pass alone,
    from the rates of the memory that its numbers have room in.

    Parameters
    ----------
    path : str
        The picture; its ending chooses the format.
    roofs : dict
        "level", "peak_gflops", "best_level", "best_peak_gflops": CPU levels of the kernels and of all
        else, and their multiply-adds; "copy_gbytes_per_s" by level of the memory.
    measured : sequence of dict
        See :func:`minicnn.bench.kernels.measure_pass`.

    Raises
    ------
    BackendError
        If matplotlib is not installed, or there is nothing to draw.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendError("matplotlib is not installed; pip install minicnn[viz]") from error
    drawn = [found for found in measured if found["roof"] and _timed(found)]
    products = [found for found in drawn if found["operations"]]
    others = [found for found in drawn if not found["operations"]]
    if not drawn:
        raise BackendError("there is nothing to draw: all figures were refused")
    names = list(dict.fromkeys(c["name"] for found in drawn for c in _timed(found)))
    colors = {name: f"C{i % 10}" for i, name in enumerate(names)}
    bars = 1.3 + _BAR * sum(len(_timed(found)) + 1 for found in others)
    heights = ([6.0] if products else []) + ([bars] if others else [])
    figure = Figure(figsize=(10, sum(heights)), layout="constrained")
    panels = list(figure.subplots(len(heights), height_ratios=heights, squeeze=False)[:, 0])
    if products:
        _roofline(panels[0], roofs, products, colors)
    if others:
        _bars(panels[-1], roofs, others, colors)
    figure.legend(handles=_legend(colors, products), loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=120)


def _timed(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [c for c in found["candidates"] if "median_s" in c and not c["extrapolated"]]


def _legend(colors: dict[str, str], products: list[dict[str, Any]]) -> list[Any]:
    from matplotlib.lines import Line2D

    found = [Line2D([], [], color=color, linewidth=6, label=name) for name, color in colors.items()]
    for name in dict.fromkeys(made["pass"] for made in products):
        found.append(Line2D([], [], color="0.4", marker=_MARKERS[name], linestyle="", label=name))
    return [*found, Line2D([], [], color="black", linewidth=2, label="roof of this pass alone")]


def _roofline(axes: Any, roofs: dict[str, Any], products: list[dict[str, Any]], colors: Any) -> None:
    peak, copies = roofs["peak_gflops"], roofs["copy_gbytes_per_s"]
    peaks = {roofs["best_level"]: roofs["best_peak_gflops"], roofs["level"]: peak}
    intensities = [found["intensity"] for found in products]
    speeds = [c["gflops"] for found in products for c in _timed(found)]
    left = min(min(intensities) / 2, peak / max(copies.values()) / 8)
    right = 3 * max(*intensities, peak / min(copies.values()))
    bottom = min(min(speeds) / 2, 2 * left * min(copies.values()))
    axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(bottom, 2 * max(*speeds, *peaks.values())))
    axes.set(xlabel="operations per byte", ylabel="GFLOP/s")
    axes.set(title="products under the roofs of this machine (black: memory that has room for the numbers)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    axes.grid(alpha=0.25)
    for level, height in peaks.items():
        axes.plot([left, right], [height, height], color="black", linewidth=1)
        text = f"multiply-adds of {level or 'NumPy'}, {height:.0f} GFLOP/s"
        axes.text(left * 1.1, height * 1.05, text, fontsize="small")
    for name, copy in copies.items():
        color = "black" if any(found["data_in"] == name for found in products) else "0.6"
        axes.plot([left, peak / copy], [left * copy, peak], color=color, linewidth=1)
        x = max(left, bottom / copy) * 1.1
        slope = {"rotation": math.degrees(math.atan(copy)), "rotation_mode": "anchor"}
        text = f"{name}, copies {copy:.0f} GB/s"
        axes.text(
            x, x * copy * 1.08, text, color=color, fontsize="small", transform_rotates_text=True, **slope
        )
    for found in products:
        for candidate in _timed(found):
            axes.plot(
                found["intensity"],
                candidate["gflops"],
                _MARKERS[found["pass"]],
                color=colors[candidate["name"]],
                markersize=6,
                alpha=0.8,
            )
        bound = found["operations"] / found["roof"]["seconds"] / 1e9
        axes.plot(found["intensity"], bound, "_", color="black", markersize=14, markeredgewidth=2)


def _bars(axes: Any, roofs: dict[str, Any], others: list[dict[str, Any]], colors: Any) -> None:
    at = 0
    ticks, labels = [], []
    for found in others:
        timed = _timed(found)
        for place, candidate in enumerate(timed, at):
            axes.barh(place, candidate["gbytes_per_s"], color=colors[candidate["name"]], height=0.85)
        bound = found["bytes"] / found["roof"]["seconds"] / 1e9
        axes.plot([bound, bound], [at - 0.5, at + len(timed) - 0.5], color="black", linewidth=2)
        ticks.append(at + (len(timed) - 1) / 2)
        labels.append(f"{found['case']}\n{found['pass']}, {size(found['bytes'])} in {found['data_in']}")
        at += len(timed) + 1
    copies = roofs["copy_gbytes_per_s"]
    for copy in copies.values():
        axes.axvline(copy, color="0.5", linewidth=1, linestyle="--", zorder=0)
    axes.set(xlim=(0, None), ylim=(at - 1, -1), yticks=ticks, xlabel="GB/s, read and written")
    axes.set_title("passes that only move numbers, beside copies (dashed)")
    axes.set_yticklabels(labels, fontsize="small")
    top = axes.secondary_xaxis("top")
    top.set_xticks(list(copies.values()), list(copies), fontsize="small")
