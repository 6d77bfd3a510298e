"""The weights of another training to begin with, in place of random ones: ``--start-from``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.data.duplicates import overlaps
from minicnn.data.pack import HASH_BYTES
from minicnn.errors import CheckpointError, OptionError
from minicnn.io import checkpoint, load
from minicnn.nn import Module
from minicnn.train.config import Config, load_toml
from minicnn.train.recorded import Recorded, read_learned, read_run

__all__ = ["Start", "begin"]


@dataclass(frozen=True)
class Start:
    """What a new model begins with: the weights of another training, or random ones.

    Nothing is read before it is asked for, and then once: a run that goes on has weights of its own, and
    those to start from may be gone.

    Parameters
    ----------
    path : str
        A run directory, a file of weights or a checkpoint; empty where the weights are random.
    """

    path: str = ""

    @cached_property
    def run(self) -> Path | None:
        """The run that the weights are of; None for a file that lies in none, and for random ones.

        Raises
        ------
        OptionError
            If there is no such run or file.
        """
        path = Path(self.path)
        if not self.path:
            return None
        if path.is_file():
            return next(filter(_is_run, _folders_of(path)), None)
        if not (path / "config.toml").is_file():
            raise OptionError(
                expected="a run directory or a .safetensors file", got=repr(self.path), op="option start-from"
            )
        return path

    @cached_property
    def facts(self) -> tuple[Config, Recorded] | None:
        """The configuration of that run, and what it learned about its data; None where there is no run."""
        return None if self.run is None else read_run(self.run)

    @property
    def model(self) -> str:
        """The model of that run; empty where nobody knows."""
        return "" if self.facts is None else self.facts[0].model

    @property
    def image_shape(self) -> list[int] | None:
        """(C, H, W) of the images of that run; None where nobody knows."""
        return None if self.facts is None else self.facts[1].image_shape

    @cached_property
    def weights(self) -> Mapping[str, Any]:
        """Tensors by name.

        Raises
        ------
        CheckpointError
            If the run is not finished, or the file holds something else.
        FormatError
            If it is damaged.
        """
        path = Path(self.path)
        if path.is_dir():
            path = path / "model.safetensors"
            if not path.is_file():
                raise CheckpointError(f"{self.path}: no model.safetensors: the run is not finished")
        weights = load(path)
        if isinstance(weights, Mapping) and {"model", "optimizer"} <= weights.keys():
            weights = weights["model"]
        if not isinstance(weights, Mapping) or not all(hasattr(value, "shape") for value in weights.values()):
            raise CheckpointError(f"{path}: not the weights of a model")
        return weights

    @cached_property
    def digest(self) -> str:
        """A fingerprint of the weights; empty where they are random."""
        return checkpoint.digest(self.weights) if self.path else ""

    def learned(self, recorded: Recorded) -> np.ndarray | None:
        """The hashes of all images that the weights learned from; None where nobody knows.

        Nobody knows either where those had another shape than the images of ``recorded``: scaled, the same
        photograph has other pixels.
        """
        if not self.path:
            return np.empty(0, f"V{HASH_BYTES}")
        if self.run is None or self.image_shape != list(recorded.image_shape):
            return None
        return read_learned(self.run)


def begin(
    model: Module, start: Start, config: Config, recorded: Recorded, hashes: Mapping[str, np.ndarray]
) -> list[str]:
    """Give a new model the weights to start from, if there are any.

    The last layer stays as it is, at random, where its shape is another or the run to start from had other
    classes. All else has to fit.

    Parameters
    ----------
    model : Module
        As built for ``config``.
    start : Start
        The weights.
    config : Config
        Of the run that begins.
    recorded : Recorded
        What that knows about its data, and the digest of the weights.
    hashes : mapping of str to array
        :func:`~minicnn.data.duplicates.image_hashes` of its images to validate and to test on.

    Returns
    -------
    list of str
        What a person should know, in lines: also how many images to validate and to test on were learned from
        before.

    Raises
    ------
    OptionError
        If the run to start from is of another model or of images of another shape, or its weights are not
        those of the digest.
    CheckpointError
        If the weights do not fit, or the run is not finished.
    FormatError
        If the file is damaged.
    """
    if not start.path:
        return []
    _refuse_other(start, config, recorded)
    own = {name: value for name, value in model.state_dict().items() if name.startswith(_last_layer(model))}
    same_classes = start.facts is None or start.facts[1].classes == recorded.classes
    kept = same_classes and all(
        name in start.weights and tuple(start.weights[name].shape) == tuple(value.shape)
        for name, value in own.items()
    )
    try:
        model.load_state_dict({**start.weights, **({} if kept else own)})
    except CheckpointError as error:
        raise CheckpointError(f"{start.path}: {error.message}", op="start-from") from error
    layers = _last_in_words(kept, start.facts is not None)
    return [
        f"it begins with the weights of {start.path}; {layers}",
        *_learned_before(start, config, recorded, hashes),
    ]


def _folders_of(file: Path) -> list[Path]:
    """Where the run may be that a file of weights belongs to: checkpoints lie in a folder of their own."""
    return [file.parent, *([file.parent.parent] if file.parent.name == "checkpoints" else [])]


def _is_run(folder: Path) -> bool:
    """Whether a folder is that of a run, and its ``config.toml`` not another program's, or only options."""
    path = folder / "config.toml"
    try:
        return path.is_file() and "recorded" in load_toml(path)
    except OptionError:
        return False


def _refuse_other(start: Start, config: Config, recorded: Recorded) -> None:
    if start.digest != recorded.start_digest:
        raise OptionError(f"{start.path} has other weights than when this run was begun")
    if start.facts is None:
        return
    past, known = start.facts
    if past.model != config.model:
        raise OptionError(
            f"{start.path} is a run of {past.model}, this one would be of {config.model}",
            hint="leave out --model",
        )
    if not config.image_size and list(known.image_shape) != list(recorded.image_shape):
        raise OptionError(
            f"{start.path} learned from images of shape {tuple(known.image_shape)}, "
            f"those of {config.data} are {tuple(recorded.image_shape)} and are not scaled",
            hint=f"--image-size {recorded.image_shape[1]} tries it nevertheless",
        )


def _last_layer(model: Module) -> str:
    """How the names of the parameters of the last layer that has some begin."""
    layers = [name for name, layer in model.named_modules() if list(layer.parameters(recurse=False))]
    return f"{layers[-1]}." if layers[-1] else ""


def _last_in_words(kept: bool, known: bool) -> str:
    if not kept:
        return "the last layer, which is of other classes there, begins anew"
    return "of all layers" if known else "of all layers, if its classes are these in this order"


def _learned_before(
    start: Start, config: Config, recorded: Recorded, hashes: Mapping[str, np.ndarray]
) -> Iterator[str]:
    """How many of the images to validate and to test on were learned from before."""
    learned = start.learned(recorded)
    if learned is None:
        why = (
            "it lies in no run" if start.run is None else "they had another size, or it did not write it down"
        )
        yield f"nobody can tell which images {start.run or start.path} learned from: {why}"
        return
    assert start.facts is not None  # or nobody could tell
    past, known = start.facts
    same_data = known.data_fingerprint == recorded.data_fingerprint
    split_elsewise = same_data and (past.seed, past.val_fraction) != (config.seed, config.val_fraction)
    for part, what in (("validation", "validate"), ("test", "test")):
        for overlap in overlaps({"learned": learned, part: hashes[part]}):
            count = f"{len(overlap.images):,} of the {len(hashes[part]):,} images"
            text = f"{start.run} learned from {count} to {what} on"
            if part == "validation" and split_elsewise:
                text += f": --seed {past.seed} --val-fraction {past.val_fraction} splits them as it did"
            yield text
