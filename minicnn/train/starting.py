"""The weights of another training to begin with, in place of random ones: ``--start-from``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.data.duplicates import overlaps
from minicnn.errors import CheckpointError, OptionError
from minicnn.io import checkpoint, load
from minicnn.nn import Module
from minicnn.train.config import Config
from minicnn.train.recorded import Recorded, read_learned, read_run

__all__ = ["begin", "digest_of", "image_shape_of", "learned_before", "model_of"]


def model_of(start_from: str) -> str:
    """The model of the run to start from; empty where there is none, or nobody knows."""
    run = _run_of(start_from)
    return "" if run is None else read_run(run)[0].model


def image_shape_of(start_from: str) -> tuple[int, ...] | None:
    """The shape (C, H, W) of the images of the run to start from; None where there is none."""
    run = _run_of(start_from)
    return None if run is None else tuple(read_run(run)[1].image_shape)


def digest_of(start_from: str) -> str:
    """A fingerprint of the weights to start from; empty where they are random."""
    return checkpoint.digest(_weights(start_from)) if start_from else ""


def learned_before(start_from: str, recorded: Recorded) -> np.ndarray | None:
    """The hashes of all images that the weights to start from learned from; None where nobody knows."""
    run = _run_of(start_from)
    if run is None or list(read_run(run)[1].image_shape) != list(recorded.image_shape):
        return None
    return read_learned(run)


def begin(model: Module, config: Config, recorded: Recorded, hashes: Mapping[str, np.ndarray]) -> list[str]:
    """Give a new model the weights that ``config.start_from`` names, if any.

    The last layer stays as it is, at random, where its shape is another or the run to start from had other
    classes. All else has to fit.

    Parameters
    ----------
    model : Module
        As built for ``config``.
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
        If the run to start from is of another model, or its weights are not those of the digest.
    CheckpointError
        If the weights do not fit, or the run is not finished.
    FormatError
        If the file is damaged.
    """
    if not config.start_from:
        return []
    run, weights = _run_of(config.start_from), _weights(config.start_from)
    if checkpoint.digest(weights) != recorded.start_digest:
        raise OptionError(f"{config.start_from} has other weights than when this run was begun")
    past, known = (None, None) if run is None else read_run(run)
    if past is not None and past.model != config.model:
        raise OptionError(
            f"{config.start_from} is a run of {past.model}, this one would be of {config.model}",
            hint="leave out --model",
        )
    own = {name: value for name, value in model.state_dict().items() if name.startswith(_last_layer(model))}
    kept = (known is None or known.classes == recorded.classes) and all(
        name in weights and tuple(weights[name].shape) == tuple(value.shape) for name, value in own.items()
    )
    try:
        model.load_state_dict({**weights, **({} if kept else own)})
    except CheckpointError as error:
        raise CheckpointError(f"{config.start_from}: {error.message}", op="start-from") from error
    return [
        f"it begins with the weights of {config.start_from}; {_last_in_words(kept, known)}",
        *_learned_before(config, recorded, hashes),
    ]


def _run_of(start_from: str) -> Path | None:
    """The run directory that the weights are of; None for a file that lies in none, and for no weights.

    Raises
    ------
    OptionError
        If there is no such run or file.
    """
    path = Path(start_from)
    if start_from and not path.is_file() and not (path / "config.toml").is_file():
        raise OptionError(
            expected="a run directory or a .safetensors file", got=repr(start_from), op="option start-from"
        )
    if not start_from or path.is_dir():
        return path if start_from else None
    places = (path.parent, path.parent.parent)  # checkpoints lie in a folder of their own
    return next((place for place in places if (place / "config.toml").is_file()), None)


def _weights(start_from: str) -> Mapping[str, Any]:
    """Tensors by name, of a run, of a file of weights, or of a checkpoint."""
    path = Path(start_from)
    if path.is_dir():
        path = path / "model.safetensors"
        if not path.is_file():
            raise CheckpointError(f"{start_from}: no model.safetensors: the run is not finished")
    weights = load(path)
    if isinstance(weights, Mapping) and {"model", "optimizer"} <= weights.keys():
        weights = weights["model"]
    if not isinstance(weights, Mapping) or not all(hasattr(value, "shape") for value in weights.values()):
        raise CheckpointError(f"{path}: not the weights of a model")
    return weights


def _last_layer(model: Module) -> str:
    """How the names of the parameters of the last layer that has some begin."""
    layers = [name for name, layer in model.named_modules() if list(layer.parameters(recurse=False))]
    return f"{layers[-1]}." if layers[-1] else ""


def _last_in_words(kept: bool, known: Recorded | None) -> str:
    if not kept:
        return "the last layer, which is of other classes there, begins anew"
    return "of all layers" if known is not None else "of all layers, if its classes are these in this order"


def _learned_before(config: Config, recorded: Recorded, hashes: Mapping[str, np.ndarray]) -> Iterator[str]:
    """How many of the images to validate and to test on were learned from before."""
    run = _run_of(config.start_from)
    if run is None:
        return
    past, known = read_run(run)
    learned = learned_before(config.start_from, recorded)
    if learned is None:
        why = "they had another size, or it did not write it down"
        yield f"nobody can tell which images {run} learned from: {why}"
        return
    same_data = known.data_fingerprint == recorded.data_fingerprint
    split_elsewise = same_data and (past.seed, past.val_fraction) != (config.seed, config.val_fraction)
    for part, what in (("validation", "validate"), ("test", "test")):
        for overlap in overlaps({"learned": learned, part: hashes[part]}):
            count = f"{len(overlap.images):,} of the {len(hashes[part]):,} images"
            text = f"{run} learned from {count} to {what} on"
            if part == "validation" and split_elsewise:
                text += f": --seed {past.seed} --val-fraction {past.val_fraction} splits them as it did"
            yield text
