"""A finished run, read back: measured on a test set, or asked about images."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicnn import models
from minicnn.core.fusion import fusing
from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor
from minicnn.data import DataLoader, Subset, stratified_split
from minicnn.data.formats import open_image
from minicnn.data.sources import Source
from minicnn.errors import CheckpointError, FormatError, OptionError
from minicnn.io import load
from minicnn.nn import Module
from minicnn.nn import functional as F
from minicnn.train.config import Config, load_toml
from minicnn.train.losses import LOSSES
from minicnn.train.metrics import Metrics
from minicnn.train.preprocess import fit_size, plain

__all__ = ["Recorded", "Run", "measure", "open_run", "read_result", "test_set"]

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

    def evaluate(self, source: Source | None = None) -> Metrics:
        """Measure on a test set, by default the run's own.

        Raises
        ------
        OptionError
            If images or classes are not those the model was trained for, or the run's own are gone.
        """
        source = source or self._source()
        if len(source.classes) != len(self.recorded.classes):
            raise _other("classes", len(self.recorded.classes), len(source.classes))
        if list(source.image_shape) != list(self.recorded.image_shape):
            raise _other("images of shape", tuple(self.recorded.image_shape), source.image_shape)
        return measure(self.model, test_set(source, self._transform()), self.recorded.classes, self.config)

    def _source(self) -> Source:
        """The run's own data set."""
        from minicnn.data import sources

        try:
            return sources.load(self.config.data, self.config.data_dir or None)
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
        channels, height, width = self.recorded.image_shape
        transform = self._transform()
        images = [open_image(path, "L" if channels == 1 else "RGB") for path in paths]
        for path, image in zip(paths, images, strict=True):
            if image.size != (width, height):
                size = f"{image.height} x {image.width}"
                tell(f"{path}: {size} pixels; the middle is scaled to {height} x {width}")
        fitting = [fit_size(image, height, width) for image in images]
        batch = Tensor([transform(image).numpy() for image in fitting]).to(self.config.device)
        self.model.eval()
        with no_grad(), fusing(self.config.compile):
            probabilities = F.softmax(self.model(batch), dim=1).cpu().tolist()
        named = [zip(self.recorded.classes, row, strict=True) for row in probabilities]
        return [sorted(pairs, key=lambda pair: -pair[1]) for pairs in named]

    def _transform(self) -> Any:
        return plain(self.recorded.mean, self.recorded.std)


def open_run(directory: str | Path) -> Run:
    """Read a run directory.

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
    config = Config.from_dict(values)
    weights = directory / "model.safetensors"
    if not weights.is_file():
        raise CheckpointError(
            f"{directory}: no model.safetensors: the run is not finished", hint="train with --resume"
        )
    model = models.build(config.model, len(recorded.classes), tuple(recorded.image_shape))
    model.load_state_dict(load(weights))
    return Run(directory, config, recorded, model.to(config.device).eval())


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


def measure(model: Module, dataset: Any, classes: Sequence[str], config: Config) -> Metrics:
    """Loss and counts of a model over a data set, in evaluation mode."""
    metrics = Metrics(classes)
    model.eval()
    with no_grad():
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
