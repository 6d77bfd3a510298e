"""What a finished run leaves behind: its model, its result, and the report."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import backends
from minicnn.core.threads import get_num_threads
from minicnn.data import DataLoader, Subset
from minicnn.data.sources import Source
from minicnn.errors import FormatError
from minicnn.io import atomic, save
from minicnn.nn import Module
from minicnn.nn.summary import summarize
from minicnn.train import log, report
from minicnn.train.callbacks import Timer
from minicnn.train.config import Config
from minicnn.train.evaluate import measure, note_opening, read_result
from minicnn.train.parts import Parts
from minicnn.train.pictures import as_bytes
from minicnn.train.report import Example
from minicnn.train.trainer import Trainer

__all__ = ["timings", "withdraw", "write_model", "write_result"]


def withdraw(directory: Path) -> dict[str, Any]:
    """Remove the model and the result of an earlier end of a run that goes on; what the result said.

    So nobody takes them for those of the run while it trains, or when it is stopped. A damaged result says
    nothing.
    """
    try:
        result = read_result(directory)
    except FormatError:
        result = {}
    for name in ("result.json", "model.safetensors"):
        (directory / name).unlink(missing_ok=True)
    return result


def timings(before: dict[str, Any], timer: Timer, seconds: float, waited: float) -> dict[str, float]:
    """What was measured now or, where nothing was left to train, before."""
    now = {
        "seconds": seconds,
        "updates": timer.updates,  # fewer than the steps where it was resumed
        "images_per_second": timer.images_per_second,
        "loader_share": waited / timer.seconds if timer.seconds else 0.0,
    }
    return {name: value if timer.updates else before.get(name, value) for name, value in now.items()}


def write_model(config: Config, model: Module, source: Source, parts: Parts) -> dict[str, Any]:
    """Measure the model on the test images, and write it; gives :meth:`Judgement.report`."""
    test = measure(model, parts.test.open(), source.classes, config).report()
    note_opening(Path(config.out), "train", test)
    save(model.state_dict(), Path(config.out) / "model.safetensors")
    worst = [{**error, "name": _name(parts.test.open(), error["image"])} for error in test.get("worst", [])]
    return test | {"worst": worst}


def write_result(
    config: Config,
    trainer: Trainer,
    source: Source,
    parts: Parts,
    best: int | None,
    test: dict[str, Any],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Write the result, with some more facts, and the report; gives the result."""
    out = Path(config.out)
    result = _result(config, trainer, parts.validation, test, best) | facts
    result["shared_images"] = {" and ".join(one.parts): len(one.images) for one in parts.overlaps}
    atomic.write(out / "result.json", json.dumps(result | {"test": test}, indent=1) + "\n")
    if reason := report.missing():
        print(reason, file=sys.stderr)
        return result
    rows = summarize(trainer.model, (1, *source.image_shape))
    report.write(out, result, test, rows, _examples(source, parts, test))
    return result


def _result(
    config: Config, trainer: Trainer, validation: DataLoader | None, test: dict[str, Any], best: int | None
) -> dict[str, Any]:
    """What the training came to, apart from the time it took."""
    return {
        "test_accuracy": test["accuracy"],
        "test_loss": test["loss"],
        "val_accuracy": _val_accuracy(trainer, validation, best),
        "best_epoch": best,
        "macro_f1": test["macro_f1"],
        "epochs": trainer.epoch,
        "steps": trainer.step,
        "backend": backends.active().name,
        "threads": get_num_threads(),
        "run": config.out,
        "data": config.data,
        "model": config.model,
    }


def _val_accuracy(trainer: Trainer, validation: DataLoader | None, best: int | None) -> float | None:
    """On the validation part, for the final parameters."""
    if validation is None or trainer.run_dir is None:
        return None
    epochs = [r for r in log.read(trainer.run_dir / "metrics.jsonl") if "val_accuracy" in r]
    if best is not None:
        return next(r["val_accuracy"] for r in epochs if r["epoch"] == best)
    if epochs and epochs[-1]["step"] == trainer.step:
        return epochs[-1]["val_accuracy"]
    return trainer.evaluate(validation).accuracy


def _name(dataset: Any, index: int) -> str | None:
    """The file that an image comes from; None where it comes from an array."""
    while isinstance(dataset, Subset):
        dataset, index = dataset.dataset, int(dataset.indices[index])
    names = getattr(dataset, "names", None)
    return None if names is None else names[index]


def _examples(source: Source, parts: Parts, test: dict[str, Any]) -> dict[str, list[Example]]:
    """Training images as the model sees them, and the errors it was surest of."""
    mean, std = (np.array(values)[:, None, None] for values in parts.statistics)

    def example(image: Any, caption: str) -> Example:
        return Example(as_bytes(image.numpy() * std + mean), caption)

    train = parts.train.dataset
    spread = np.linspace(0, len(train) - 1, min(16, len(train))).astype(int)  # files are sorted by class
    samples = [train[i] for i in spread.tolist()]
    seen = [example(image, source.classes[label]) for image, label in samples]
    found = {"Training images, as the model sees them": seen}
    if errors := test.get("worst", []):
        found["Worst errors: test images that it was surest of"] = [
            example(parts.test[e["image"]][0], _caption(source.classes, e)) for e in errors
        ]
    return found


def _caption(classes: Sequence[str], error: dict[str, Any]) -> str:
    true, taken = classes[error["target"]], classes[error["prediction"]]
    name = f": {error['name']}" if error.get("name") else ""
    return f"{true}, taken for {taken}, {error['confidence']:.0%}{name}"
