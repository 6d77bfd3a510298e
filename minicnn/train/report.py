"""What a training run came to, as one HTML page without outside parts, and its curves as a picture."""

from __future__ import annotations

import base64
import io
import platform
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.io import atomic
from minicnn.nn.summary import Summary
from minicnn.train import log
from minicnn.train.config import load_toml

__all__ = ["missing", "write"]

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
.confusion td, .confusion th { text-align: center; border: 1px solid #eee }
img { max-width: 100% }
</style></head><body>
<h1>{{ title }}</h1>
<p>Test accuracy <b>{{ percent(test.accuracy) }}</b>, test loss {{ number(test.loss) }},
macro F1 {{ percent(test.macro_f1) }}, on {{ test.count }} images; {{ result.steps }} updates
in {{ result.seconds | round(1) }} s, {{ result.images_per_second | round | int }} images/s.</p>
<h2>Curves</h2>
<img alt="Loss and accuracy over the training" src="data:image/svg+xml;base64,{{ curves }}">
<h2>Confusion matrix</h2>
<p>Rows: true classes. Columns: predicted classes. Numbers of test images.</p>
<table class="confusion"><tr><th></th>{% for name in test.classes %}<th>{{ name }}</th>{% endfor %}</tr>
{% for name, row in rows %}<tr><th>{{ name }}</th>{% for count, shade in row %}
<td style="background: rgb(31 119 180 / {{ shade }}%)">{{ count }}</td>{% endfor %}</tr>
{% endfor %}</table>
<h2>Classes</h2>
<table><tr><th>class</th><th>precision</th><th>recall</th><th>F1</th><th>images</th></tr>
{% for name, c in test.classes.items() %}<tr><td>{{ name }}</td><td>{{ percent(c.precision) }}</td>
<td>{{ percent(c.recall) }}</td><td>{{ percent(c.f1) }}</td><td>{{ c.support }}</td></tr>
{% endfor %}</table>
<h2>Model</h2>
<pre>{{ layers }}</pre>
<h2>Configuration</h2>
<table>{% for name, value in config.items() %}<tr><td>{{ name }}</td><td>{{ value }}</td></tr>
{% endfor %}</table>
<h2>Versions</h2>
<table>{% for name, value in versions.items() %}<tr><td>{{ name }}</td><td>{{ value }}</td></tr>
{% endfor %}</table>
</body></html>
"""


def missing() -> str | None:
    """Why there can be no report, in words; None if there can be one."""
    from importlib.util import find_spec

    lacking = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    return f"no report: {' and '.join(lacking)} not installed; pip install minicnn[viz]" if lacking else None


def write(run_dir: Path, result: dict[str, Any], test: dict[str, Any], layers: Summary) -> None:
    """Write ``report.html`` and ``curves.png`` of a finished run.

    Parameters
    ----------
    run_dir : Path
        Its ``config.toml`` and ``metrics.jsonl`` are read.
    result : dict
        What ``minicnn train --json`` prints.
    test : dict
        :meth:`Metrics.report` on the test set.
    layers : Summary
        The model's layers.
    """
    import jinja2

    import minicnn

    figure = draw_curves(log.read(run_dir / "metrics.jsonl"))
    atomic.write(run_dir / "curves.png", lambda file: figure.savefig(file, format="png", dpi=120))
    svg = io.BytesIO()
    figure.savefig(svg, format="svg")
    largest = [max(1, max(row)) for row in test["confusion"]]
    shaded = [
        [(n, round(100 * n / m)) for n in row] for row, m in zip(test["confusion"], largest, strict=True)
    ]
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_PAGE)
    text = page.render(
        title=f"{result['model']} on {result['data']}",
        result=result,
        test=test,
        curves=base64.b64encode(svg.getvalue()).decode(),
        rows=list(zip(test["classes"], shaded, strict=True)),
        layers=layers,
        config={k: v for k, v in load_toml(run_dir / "config.toml").items() if not isinstance(v, dict)},
        versions={
            "minicnn": minicnn.__version__,
            "Python": platform.python_version(),
            "NumPy": np.__version__,
        },
        percent=lambda value: "-" if value is None else f"{value:.2%}",
        number=lambda value: "-" if value is None else f"{value:.4f}",
    )
    atomic.write(run_dir / "report.html", text)


def draw_curves(records: list[dict[str, Any]]) -> Any:
    """A matplotlib figure of loss and accuracy from the lines of ``metrics.jsonl``."""
    from matplotlib.figure import Figure

    steps = [r for r in records if "lr" in r]
    epochs = [r for r in records if "train_loss" in r]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([r["step"] for r in steps], [r["loss"] for r in steps], color="0.8", label="each update")
    for axes, measure, factor in ((left, "loss", 1), (right, "accuracy", 100)):
        for part, label in (("train", "training, mean of the epoch"), ("val", "validation")):
            points = [
                (r["step"], factor * r[f"{part}_{measure}"]) for r in epochs if f"{part}_{measure}" in r
            ]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=label)
        axes.set_xlabel("updates")
        axes.set_ylabel("loss" if measure == "loss" else "accuracy in %")
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend()
    return figure
