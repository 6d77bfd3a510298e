"""What a training run came to, as one HTML page without outside parts, and its curves as a picture."""

from __future__ import annotations

import base64
import io
import platform
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn.io import atomic
from minicnn.nn.summary import Summary
from minicnn.train import log
from minicnn.train.config import Config, load_toml
from minicnn.train.pictures import draw_calibration, draw_confusion, draw_curves

__all__ = ["missing", "write"]

_MOST_ROWS = 20  # of a confusion matrix in numbers


class Example(NamedTuple):
    """An image (H, W) or (H, W, 3) of uint8, and what it is."""

    pixels: np.ndarray
    caption: str


def missing() -> str | None:
    """Why there can be no report, in words; None if there can be one."""
    from importlib.util import find_spec

    lacking = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    return f"no report: {' and '.join(lacking)} not installed; pip install minicnn[viz]" if lacking else None


def write(
    run_dir: Path,
    result: dict[str, Any],
    test: dict[str, Any],
    layers: Summary,
    examples: Mapping[str, Sequence[Example]] | None = None,
) -> None:
    """Write ``report.html`` and ``curves.png`` of a finished run.

    Parameters
    ----------
    run_dir : Path
        Its ``config.toml`` and ``metrics.jsonl`` are read.
    result : dict
        What ``minicnn train --json`` prints.
    test : dict
        :meth:`Judgement.report` on the test set.
    layers : Summary
        The model's layers.
    examples : mapping of str to sequence of Example, optional
        Images, under these headings.
    """
    import jinja2
    import PIL

    import minicnn

    config = {k: v for k, v in load_toml(run_dir / "config.toml").items() if not isinstance(v, dict)}
    curves = draw_curves(log.read(run_dir / "metrics.jsonl"))
    atomic.write(run_dir / "curves.png", lambda file: curves.savefig(file, format="png", dpi=120))
    template = files("minicnn.train").joinpath("report.html").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template)
    text = page.render(
        title=f"{result['model']} on {Path(result['data']).name or result['data']}",
        result=result,
        test=test,
        curves=_svg(curves),
        confusion=_confusion(test),
        examples=examples or {},
        png=_image,
        most_frequent=max(map(sum, test["confusion"])) / max(test["count"], 1),
        calibration=_svg(draw_calibration(test["calibration_bins"], test["calibration_error"]))
        if test["count"]
        else None,
        layers=layers,
        config=config,
        usual=Config().to_dict(),
        versions={
            "minicnn": minicnn.__version__,
            "Python": platform.python_version(),
            "NumPy": np.__version__,
            "Pillow": PIL.__version__,
            "system": platform.platform(),
        },
        percent=lambda value: "-" if value is None else f"{value:.2%}",
        between=lambda ends: "-" if ends is None else f"{ends[0]:.2%} to {ends[1]:.2%}",
        number=lambda value: "-" if value is None else f"{value:.4f}",
    )
    atomic.write(run_dir / "report.html", text)


def _confusion(test: dict[str, Any]) -> dict[str, Any]:
    """The confusion matrix as rows of (count, shade in %), or as a picture where there are many classes."""
    names = list(test["classes"])
    if len(names) > _MOST_ROWS:
        return {"picture": _png(draw_confusion(np.array(test["confusion"]), names)), "rows": []}
    shaded = [[(n, round(100 * n / max(1, sum(row)))) for n in row] for row in test["confusion"]]
    return {"picture": None, "rows": list(zip(names, shaded, strict=True))}


def _svg(figure: Any) -> str:
    return _encoded(figure, "svg")


def _png(figure: Any) -> str:
    return _encoded(figure, "png", dpi=130)


def _image(pixels: np.ndarray) -> str:
    """An image as text for a ``data:`` address."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    return base64.b64encode(content.getvalue()).decode()


def _encoded(figure: Any, kind: str, **options: Any) -> str:
    """A figure as text for a ``data:`` address."""
    content = io.BytesIO()
    figure.savefig(content, format=kind, **options)
    return base64.b64encode(content.getvalue()).decode()
