"""Measures how exact the convolutions are, and writes the table into docs/kernels.md.

python docs/make_kernels.py
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from minicnn import _native
from minicnn.ops.conv import conv2d

PAGE = Path(__file__).with_name("kernels.md")
SAME = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
PASSES = ("forward", "data", "weights")
ALGORITHMS = ("winograd", "direct")

# Numbers of both signs, whose rounding errors mostly cancel, and of one, whose errors do not.
DRAWS = {
    "normal": lambda rng, shape: rng.standard_normal(shape, dtype=np.float32),
    "positive": lambda rng, shape: abs(rng.standard_normal(shape, dtype=np.float32)),
    "constant": lambda rng, shape: np.full(shape, 0.1, np.float32),
}

# N, C, H, W, K: a layer of a small network, the deepest of large ones, and the longest sums: over channels in
# the two passes over images, over the tiles of all images in the weights' gradient.
SIZES = {
    "64 channels": (8, 64, 16, 16, 64),
    "512 channels": (2, 512, 14, 14, 512),
    "4,096 channels in": (2, 4096, 16, 16, 16),
    "4,096 channels out": (2, 16, 16, 16, 4096),
    "16,384 tiles": (16, 8, 128, 128, 8),
}

# The rows of the table: numbers and sizes.
ROWS = {size: ("normal", size) for size in SIZES} | {
    f"{size}, {draw}": (draw, size)
    for draw in ("positive", "constant")
    for size in ("512 channels", "4,096 channels in", "16,384 tiles")
}


def results(name: str, algorithm: str | None) -> dict[str, np.ndarray]:
    """All three passes over a row's numbers: by an algorithm of the kernels, or in float64 without."""
    draw, size = ROWS[name]
    n, c, h, w, k = SIZES[size]
    rng = np.random.default_rng(0)
    x, weight, gy = (DRAWS[draw](rng, s) for s in ((n, c, h, w), (k, c, 3, 3), (n, k, h, w)))
    if algorithm is None:
        x, weight, gy = (array.astype(np.float64) for array in (x, weight, gy))
        y, saved = conv2d.run([x, weight], conv2d.defaults | SAME)
        gx, gw = conv2d.run_backward(gy, saved, (True, True), conv2d.defaults | SAME)
        return dict(zip(PASSES, (y, gx, gw), strict=True))
    y, gx, gw = (np.empty_like(array) for array in (gy, x, weight))
    _native.conv_forward(y, x, weight, None, algorithm=algorithm, **SAME)
    _native.conv_backward_data(gx, gy, weight, algorithm=algorithm, **SAME)
    _native.conv_weight_gradient(gw, gy, x, algorithm=algorithm, **SAME)
    return dict(zip(PASSES, (y, gx, gw), strict=True))


def errors(name: str) -> list[float]:
    """By pass and algorithm: the root mean square of the error and its maximum, relative to the result's.

    Each is the largest of all CPU levels.
    """
    exact, before = results(name, None), _native.level()
    figures = []
    for level in _native.levels():
        _native.set_level(level)
        found = [results(name, algorithm) for algorithm in ALGORITHMS]
        figures.append(
            [error for name in PASSES for of in found for error in relative(of[name], exact[name])]
        )
    _native.set_level(before)
    return np.max(figures, axis=0).tolist()


def relative(found: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    """Root mean square and maximum of the error, each over that of the result."""
    error = found - exact
    return np.sqrt(np.mean(error**2) / np.mean(exact**2)), abs(error).max() / abs(exact).max()


def row(name: str) -> str:
    """A line of the table."""
    n, c, h, w, k = SIZES[ROWS[name][1]]
    cells = [f"{rms:.1e}, {most:.1e}" for rms, most in np.reshape(errors(name), (-1, 2))]
    return f"| {name} | {n}, {c}, {h}×{w} → {k} | {' | '.join(cells)} |"


def rows_of(page: str) -> dict[str, list[float]]:
    """By name: the figures that the page gives."""
    lines = re.findall(r"^\| ([^|]+) \| [^|]*→[^|]*\| (.*\de-\d.*) \|$", page, re.MULTILINE)
    return {name: [float(number) for number in re.findall(r"\d\.\de-\d+", cells)] for name, cells in lines}


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    table = "\n".join(map(row, ROWS))
    PAGE.write_text(
        re.sub(r"(?<=\|---\|\n)\| 64 channels.*?(?=\n\n)", table, page, flags=re.DOTALL), encoding="utf-8"
    )
