"""A finished run, read back: measured on a test set, or asked about images."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import models
from minicnn.core.fusion import fusing
from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor
from minicnn.data import DataLoader, Subset, sources, stratified_split
from minicnn.data.formats.files import opened
from minicnn.data.formats.images import decode_to, image_header
from minicnn.data.packing import Progress
from minicnn.data.sources import Source
from minicnn.errors import CheckpointError, FormatError, OptionError
from minicnn.io import load
from minicnn.nn import Module
from minicnn.nn import functional as F
from minicnn.train.computing import computing
from minicnn.train.config import Config, load_toml
from minicnn.train.judgement import Judgement
from minicnn.train.losses import LOSSES
from minicnn.train.preprocess import plain

__all__ = ["Recorded", "Run", "load_source", "measure", "note_opening", "open_run", "read_result", "test_set"]

HELD_OUT = 0.1  # of the training images, as a test set where the data have none
_BATCH = 256


@dataclass(frozen=True)
class Recorded:
    """What a run learned about its data, and needs again to treat other images the same way.

    Attributes
    ----------
    classes : list of str
    image_shape : (C, H, W)
    mean, std : list of float, one number per channel
        Of the training images, from 0 to 1.
    data_fingerprint : str
        SHA-256 of the data set.
    version : str
        Of minicnn.
    """

    classes: list[str]
    image_shape: list[int]
    mean: list[float]
    std: list[float]
    data_fingerprint: str
    version: str


@dataclass(frozen=True)
class Run:
    """A run directory with its trained model."""

    directory: Path
    config: Config
    recorded: Recorded
    model: Module

    def evaluate(
        self, source: Source | None = None, *, tell: Callable[[str], object] = lambda line: None
    ) -> Judgement:
        """Measure on a test set, by default the run's own; that is noted, see :func:`note_opening`.

        ``tell`` gets a line where the run's own has been measured before.

        Raises
        ------
        OptionError
            If images or classes are not those the model was trained for, or the run's own are gone or have
            changed: what was set aside to test on cannot be told from what was trained on then.
        """
        asked, source = source, source or self._source()
        own = source.fingerprint == self.recorded.data_fingerprint
        if not own and asked is None:
            raise OptionError(
                f"the images of this run, {self.config.data!r}, have changed since it was trained",
                hint="--data takes images that it has not seen",
            )
        if not own and source.name == self.config.data:
            tell(f"{source.name} has changed since the run: the figures are of images that it may have seen")
        if len(source.classes) != len(self.recorded.classes):
            raise _other("classes", len(self.recorded.classes), len(source.classes))
        if list(source.image_shape) != list(self.recorded.image_shape):
            raise _other("images of shape", tuple(self.recorded.image_shape), source.image_shape)
        # Of a set that the model has learned from, the part set aside; of any other, all there is.
        transform = self._transform()
        images = (
            test_set(source, transform) if own else (source.test or source.train).with_transform(transform)
        )
        judged = measure(self.model, images, self.recorded.classes, self.config)
        if own:
            try:
                times = note_opening(self.directory, "evaluate", judged.report())
                tell(
                    f"the run's own test images, measured for the {times}. time: test_set.jsonl has them all"
                )
            except OSError as error:
                tell(f"cannot note in {self.directory} that its test set was measured: {error.strerror}")
        return judged

    def other_source(self, data: str, data_dir: str | None = None) -> Source:
        """Another data set, its images brought to the shape that the model was trained on."""
        shape: Any = tuple(self.recorded.image_shape)
        return sources.load(data, data_dir, shape, classes=self.recorded.classes)

    def _source(self) -> Source:
        """The run's own data set."""
        try:
            return load_source(self.config)
        except OptionError as error:
            raise OptionError(
                f"the images of this run, {self.config.data!r}, are gone", hint="--data names another place"
            ) from error

    def predict(
        self, paths: Sequence[str | Path], *, tell: Callable[[str], object] = lambda line: None
    ) -> list[list[tuple[str, float]]]:
        """The classes with their probabilities for image files, the most probable first.

        Images are turned to the colours and the size the model was trained on, and then treated as
        the test images were. ``tell`` gets a line for each image of another size.

        Raises
        ------
        FormatError
            If a file is not an image.
        """
        transform = self._transform()
        images = [self._read(path, tell) for path in paths]
        batch = Tensor([transform(image).numpy() for image in images]).to(self.config.device)
        self.model.eval()
        with computing(self.config), no_grad(), fusing(self.config.compile):
            probabilities = F.softmax(self.model(batch), dim=1).cpu().tolist()
        named = [zip(self.recorded.classes, row, strict=True) for row in probabilities]
        return [sorted(pairs, key=lambda pair: -pair[1]) for pairs in named]

    def _read(self, path: str | Path, tell: Callable[[str], object]) -> np.ndarray:
        """The pixels of an image file, as those of the training images were read."""
        _, height, width = self.recorded.image_shape
        facts = image_header(path)
        if (facts["height"], facts["width"]) != (height, width):
            size = f"{facts['height']} x {facts['width']}"
            tell(f"{path}: {size} pixels; the middle is scaled to {height} x {width}")
        with opened(path) as file:
            return decode_to(file, path, self.recorded.image_shape)

    def _transform(self) -> Any:
        return plain(self.recorded.mean, self.recorded.std)


def open_run(directory: str | Path, **changes: Any) -> Run:
    """Read a run directory.

    Parameters
    ----------
    directory : path-like
    changes
        Options in place of those of the run, such as ``threads`` and ``backend`` to compute with.

    Raises
    ------
    OptionError
        If it is not one, or its configuration is bad.
    CheckpointError
        If it holds no finished model, or one that does not fit its configuration.
    FormatError
        If the model's file is damaged.
    """
    directory = Path(directory)
    if not (directory / "config.toml").is_file():
        raise OptionError(f"{directory}: not a run directory (no config.toml)")
    values = load_toml(directory / "config.toml")
    try:
        recorded = Recorded(**values.pop("recorded"))
    except (KeyError, TypeError) as error:
        raise OptionError(f"{directory}: its config.toml does not say what the data were like") from error
    config = Config.from_dict(values | changes)
    weights = directory / "model.safetensors"
    if not weights.is_file():
        raise CheckpointError(
            f"{directory}: no model.safetensors: the run is not finished", hint="train with --resume"
        )
    model = models.build(config.model, len(recorded.classes), tuple(recorded.image_shape))
    model.load_state_dict(load(weights))
    return Run(directory, config, recorded, model.to(config.device).eval())


def load_source(config: Config, progress: Progress = lambda what, done, total: None) -> Source:
    """The data set of a configuration."""
    size = config.image_size or None
    return sources.load(
        config.data, config.data_dir or None, size, skip_bad=config.skip_bad, progress=progress
    )


def read_result(directory: Path) -> dict[str, Any]:
    """What a finished run wrote into ``result.json``; empty if it is not there.

    Raises
    ------
    FormatError
        If the file is damaged.
    """
    path = directory / "result.json"
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise FormatError("damaged: it holds no result of a run", path=path) from error


def test_set(source: Source, transform: Any) -> Any:
    """The images to test on: the data's own test set, or a tenth of each class set aside for it."""
    if source.test is not None:
        return source.test.with_transform(transform)
    return Subset(source.train.with_transform(transform), split_test(source)[1])


def split_test(source: Source) -> tuple[Any, Any]:
    """Indices of the training images to learn from, and of those set aside to test on; always the same."""
    return stratified_split(source.train.targets, HELD_OUT, seed=0)


def note_opening(directory: Path, by: str, test: dict[str, Any]) -> int:
    """Write down that the run's own test set was opened, by what and to what result; how often it has been.

    Who looks at test images again and again, and changes something in between, measures on images that they
    chose by: the figure is too good.
    """
    path = directory / "test_set.jsonl"
    line = {"by": by, "images": test["count"], "accuracy": test["accuracy"], "loss": test["loss"]}
    with open(path, "a+", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.seek(0)
        return len(file.readlines())


def measure(model: Module, dataset: Any, classes: Sequence[str], config: Config) -> Judgement:
    """What a model comes to on a data set, in evaluation mode."""
    metrics = Judgement(classes)
    model.eval()
    with computing(config), no_grad():
        for images, labels in DataLoader(
            dataset, batch_size=_BATCH, num_workers=config.workers, seed=config.seed
        ):
            images, labels = images.to(config.device), labels.to(config.device)
            with fusing(config.compile):
                scores = model(images)
            metrics.update(labels, scores, LOSSES[config.loss](scores, labels).item())
    return metrics


def _other(what: str, expected: Any, got: Any) -> OptionError:
    return OptionError(
        expected=f"{what} {expected}, as the model was trained for", got=str(got), op="evaluate"
    )
