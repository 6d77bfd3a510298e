"""A finished run, read back: measured on a test set, or asked about images."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import models
from minicnn.core.fusion import fusing
from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor
from minicnn.data import DataLoader, sources
from minicnn.data.duplicates import image_hashes, overlaps
from minicnn.data.formats.files import opened
from minicnn.data.formats.images import decode_to, header
from minicnn.data.packing import Progress
from minicnn.data.sources import Source
from minicnn.errors import CheckpointError, FormatError, OptionError
from minicnn.io import load
from minicnn.nn import Module
from minicnn.nn import functional as F
from minicnn.train.checks import require_finite
from minicnn.train.computing import computing
from minicnn.train.config import Config
from minicnn.train.judgement import Judgement
from minicnn.train.losses import LOSSES
from minicnn.train.preprocess import plain
from minicnn.train.recorded import Recorded, read_learned, read_run
from minicnn.train.splits import test_set

__all__ = ["Run", "load_source", "measure", "note_opening", "open_run", "read_result"]

_BATCH = 256
_NAMED = 5  # classes in an error


def raise_it(error: Exception) -> None:
    """What is done about an error where nothing else is asked for."""
    raise error


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
        same_images = source.fingerprint == self.recorded.data_fingerprint
        own = same_images and source.classes == self.recorded.classes
        if not own and asked is None:
            raise OptionError(
                f"the images of this run, {self.config.data!r}, have changed since it was trained",
                hint="--data takes images that it has not seen",
            )
        if not own:
            source = _with_classes(source, self.recorded.classes)
        if list(source.image_shape) != list(self.recorded.image_shape):
            raise _other("images of shape", tuple(self.recorded.image_shape), source.image_shape)
        # Of a set that the model has learned from, the part set aside; of any other, all there is.
        transform = self._transform()
        other = source.test or source.train
        images = test_set(source, transform) if own else other.with_transform(transform)
        learned = None if own else read_learned(self.directory)
        if not own and learned is None:
            tell("the run does not say which images it learned from: these may be among them")
        elif learned is not None:
            for overlap in overlaps({"learned": learned, "measured": image_hashes(other)}):
                count = f"{len(overlap.images):,} of these {len(other):,} images"
                tell(f"the run has learned from {count}: on them it is better than on others")
        judged = measure(self.model, images, self.recorded.classes, self.config)
        if own:
            try:
                times = note_opening(self.directory, "evaluate", judged.report())
                often = f"measured {times} time{'s'[: times - 1]} now"
                tell(f"the run's own test images, {often}: test_set.jsonl has them all")
            except OSError as error:
                tell(f"cannot note in {self.directory} that its test set was measured: {error.strerror}")
        return judged

    def other_source(self, data: str, data_dir: str | None = None, *, skip_bad: bool = False) -> Source:
        """Another data set, its images brought to the shape that the model was trained on."""
        shape: Any = tuple(self.recorded.image_shape)
        return sources.load(data, data_dir, shape, classes=self.recorded.classes, skip_bad=skip_bad)

    def _source(self) -> Source:
        """The run's own data set."""
        try:
            return load_source(self.config, self.recorded.image_shape)
        except OptionError as error:
            raise OptionError(
                f"the images of this run, {self.config.data!r}, are not in {os.getcwd()}",
                hint="go to the folder where it was trained, or --data names another place",
            ) from error

    def predict(
        self, paths: Sequence[str | Path], *, tell: Callable[[str], object] = lambda line: None
    ) -> list[list[tuple[str, float]]]:
        """The classes with their probabilities for image files, the most probable first.

        Images are turned to the colours and the size the model was trained on, and then treated as
        the test images were. ``tell`` gets a line where images are of another size.

        Raises
        ------
        FormatError
            If a file is not an image.
        """
        return [pairs for _, pairs in self.predictions(paths, tell=tell)]

    def predictions(
        self,
        paths: Sequence[str | Path],
        *,
        refused: Callable[[FormatError], object] = raise_it,
        tell: Callable[[str], object] = lambda line: None,
    ) -> Iterator[tuple[str, list[tuple[str, float]]]]:
        """:meth:`predict` for any number of files, one after the other, each with its path.

        ``refused`` gets the error of each file that is not an image, and by default raises it.
        """
        others = 0
        for start in range(0, len(paths), _BATCH):
            names, images = [], []
            for path in paths[start : start + _BATCH]:
                try:
                    image, size = self._read(path)
                except FormatError as error:
                    refused(error)
                    continue
                names.append(os.fspath(path))
                images.append(image)
                if size != tuple(self.recorded.image_shape[1:]):
                    others += 1
                    if others == 1:
                        tell(f"{path}: {self._scaled(size)}")
            yield from zip(names, self._classified(images), strict=True)
        if others > 1:
            tell(f"{others - 1:,} more of other sizes, scaled likewise")

    def _read(self, path: str | Path) -> tuple[np.ndarray, tuple[int, int]]:
        """The pixels of an image file, as those of the training images were read, and the size it had."""
        with opened(path) as file:
            facts = header(file, path)
            file.seek(0)
            return decode_to(file, path, self.recorded.image_shape), (facts["height"], facts["width"])

    def _scaled(self, size: tuple[int, int]) -> str:
        """What happens to an image of another size, in words."""
        _, height, width = self.recorded.image_shape
        return f"{size[0]} x {size[1]} pixels; the middle is scaled to {height} x {width}"

    def _classified(self, images: Sequence[np.ndarray]) -> Iterator[list[tuple[str, float]]]:
        if not images:
            return
        transform = self._transform()
        batch = Tensor([transform(image).numpy() for image in images]).to(self.config.device)
        self.model.eval()
        with computing(self.config), no_grad(), fusing(self.config.compile):
            probabilities = F.softmax(self.model(batch), dim=1).cpu().tolist()
        for row in probabilities:
            pairs = zip(self.recorded.classes, row, strict=True)
            yield sorted(pairs, key=lambda pair: -pair[1])

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
    config, recorded = read_run(directory, **changes)
    weights = directory / "model.safetensors"
    if not weights.is_file():
        raise CheckpointError(
            f"{directory}: no model.safetensors: the run is not finished", hint="train with --resume"
        )
    model = models.build(config.model, len(recorded.classes), tuple(recorded.image_shape))
    model.load_state_dict(load(weights))
    return Run(directory, config, recorded, model.to(config.device).eval())


def load_source(
    config: Config,
    image_shape: Sequence[int] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Source:
    """The data set of a configuration.

    Parameters
    ----------
    config : Config
        Of the run.
    image_shape : (C, H, W), optional
        What the images of a run that starts from another are brought to, where no size is asked for: the
        shape of the other's.
    progress : callable
        See :func:`minicnn.data.packing.pack`.

    Raises
    ------
    OptionError
        If there is one class alone; also as :func:`minicnn.data.sources.load`.
    """
    size: Any = config.image_size or None
    if size is None and config.start_from and image_shape is not None:
        size = tuple(image_shape)
    source = sources.load(
        config.data, config.data_dir or None, size, skip_bad=config.skip_bad, progress=progress
    )
    if len(source.classes) < 2:
        text = f"{config.data}: only one class, {source.classes[0]!r}: there is nothing to tell apart"
        raise OptionError(text)
    return source


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
    """What a model comes to on a data set, in evaluation mode.

    Raises
    ------
    NonFiniteError
        If its loss is not finite: of such scores no measure says anything.
    """
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
    require_finite(metrics.loss, "test")
    return metrics


def _with_classes(source: Source, classes: Sequence[str]) -> Source:
    """The same images, their labels counted by these classes; those of arrays without names are numbers.

    Raises
    ------
    OptionError
        If an image is of none of these classes.
    """
    nameless = source.classes == [str(index) for index in range(len(source.classes))]
    if source.classes == list(classes) or (nameless and len(source.classes) <= len(classes)):
        return source
    unknown = [name for name in source.classes if name not in classes]
    if nameless:
        unknown = source.classes[len(classes) :]
    if unknown:
        named = ", ".join([*list(classes)[:_NAMED], *["..."][: len(classes) - _NAMED]])
        raise OptionError(
            f"{source.name}: class {unknown[0]!r} is none of the model's {len(classes)}: {named}",
            op="evaluate",
        )
    place = np.array([list(classes).index(name) for name in source.classes])

    def counted(images: Any) -> Any:
        if images is None:
            return None
        images = copy.copy(images)
        images.labels, images.classes = place[images.labels], list(classes)
        return images

    parts = {part: counted(getattr(source, part)) for part in ("train", "validation", "test")}
    return dataclasses.replace(source, classes=list(classes), **parts)


def _other(what: str, expected: Any, got: Any) -> OptionError:
    return OptionError(
        expected=f"{what} {expected}, as the model was trained for", got=str(got), op="evaluate"
    )
