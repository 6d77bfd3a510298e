"""What people would rather look at: curves, calibration, errors and examples as matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["as_bytes", "draw_calibration", "draw_confusion", "draw_curves"]


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def draw_curves(records: list[dict[str, Any]]) -> Any:
    """Loss and accuracy, from the lines of ``metrics.jsonl``."""
    steps = [r for r in records if "lr" in r]
    epochs = [r for r in records if "train_loss" in r]
    figure = _figure(10, 4)
    left, right = figure.subplots(1, 2)
    left.plot([r["step"] for r in steps], [r["loss"] for r in steps], color="0.8", label="each update")
    for axes, measure, factor in ((left, "loss", 1), (right, "accuracy", 100)):
        for part, label, color in (
            ("train", "training, mean of the epoch", "C0"),
            ("val", "validation", "C1"),
        ):
            points = [
                (r["step"], factor * r[f"{part}_{measure}"]) for r in epochs if f"{part}_{measure}" in r
            ]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=label, color=color)
        axes.set_xlabel("updates")
        axes.set_ylabel("loss" if measure == "loss" else "accuracy in %")
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend()
    return figure


def draw_calibration(bins: Sequence[Sequence[float]], error: float) -> Any:
    """A reliability diagram: how often the model is right when it is so sure.

    Parameters
    ----------
    bins : rows of (images, sum of their confidences, how many of them are right)
        See :class:`~minicnn.train.judgement.Judgement`.
    error : float
        The expected calibration error.
    """
    figure = _figure(5, 4.7)
    axes = figure.subplots()
    counts, sure, right = np.asarray(bins, np.float64).T
    filled = counts > 0
    share = np.divide(right, counts, out=np.zeros_like(right), where=filled)
    confidence = np.divide(sure, counts, out=np.zeros_like(sure), where=filled)
    width = 1 / len(counts)
    middles = (np.arange(len(counts)) + 0.5) * width
    axes.bar(middles[filled], share[filled], width * 0.95, color="tab:blue", alpha=0.6, label="right")
    axes.plot(confidence[filled], share[filled], "o", color="tab:blue", markersize=4)
    axes.plot([0, 1], [0, 1], "--", color="0.4", label="as sure as right")
    for middle, height, count in zip(middles[filled], share[filled], counts[filled], strict=True):
        axes.text(middle, height + 0.01, f"{int(count)}", ha="center", fontsize=8, color="0.3")
    axes.set(xlim=(0, 1), ylim=(0, 1.08), xlabel="confidence", ylabel="share that is right")
    axes.set_title(f"expected calibration error {error:.3f}; numbers: images", fontsize=10)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def draw_confusion(confusion: np.ndarray, classes: Sequence[str]) -> Any:
    """The confusion matrix of many classes, each row divided by its sum."""
    side = min(4 + 0.12 * len(classes), 14)
    figure = _figure(side, side)
    axes = figure.subplots()
    rows = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(rows, cmap="Blues", vmin=0, vmax=1)
    places = np.arange(len(classes))
    size = max(3, min(9, 400 / len(classes)))
    axes.set_xticks(places, classes, rotation=90, fontsize=size)
    axes.set_yticks(places, classes, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true")
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
    return figure


def as_bytes(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) of numbers from 0 to 1 as bytes (H, W) or (H, W, 3)."""
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
