"""What ``minicnn train`` does: from a configuration to a run directory with a trained model."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minicnn
from minicnn import backends, models, optim
from minicnn.core.random import manual_seed
from minicnn.core.threads import get_num_threads, set_num_threads
from minicnn.data import DataLoader, Subset, check_fitted, statistics, stratified_split
from minicnn.data.duplicates import Overlap, image_hashes, overlaps
from minicnn.data.packing import Progress
from minicnn.data.sources import Source
from minicnn.errors import OptionError
from minicnn.io import atomic, checkpoint, save
from minicnn.nn import Module
from minicnn.nn.summary import summarize
from minicnn.train import log, report
from minicnn.train.callbacks import Callback, Timer
from minicnn.train.choices import OPTIMIZERS, SCHEDULES
from minicnn.train.config import Config
from minicnn.train.directory import claimed, write_config
from minicnn.train.evaluate import Recorded, load_source, measure, read_result, split_test, test_set
from minicnn.train.losses import LOSSES
from minicnn.train.preprocess import augmented, plain
from minicnn.train.recipes import chosen, resolved
from minicnn.train.trainer import Trainer

__all__ = ["train"]


def train(
    config: Config,
    *,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    tell: Callable[[str], object] = lambda line: None,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Train, validate, test, and write the run directory.

    Parameters
    ----------
    config : Config
        What to do; what it leaves open is chosen for the data set.
    resume : bool
        Go on with the run in ``config.out`` from its newest checkpoint, or from its start before the first.
    callbacks : sequence of Callback
        Told of the progress.
    tell : callable
        Gets, line by line, what will be trained on what, and what has been chosen.
    progress : callable
        See :func:`minicnn.data.packing.pack`.

    Returns
    -------
    dict
        ``test_accuracy, test_loss, val_accuracy, epochs, steps, seconds, images_per_second,
        loader_share, digest, backend, threads, macro_f1, shared_images, run, data, model``; also written
        to ``result.json``. Measures are None where there are no images to take them on.

    Raises
    ------
    OptionError
        If the configuration is impossible, or ``out`` holds another run, other files, none to resume, or one
        that another process is training.
    FormatError
        If the data are damaged or missing.
    NonFiniteError, Interrupted, OSError
        As :meth:`Trainer.fit`.
    """
    started = time.perf_counter()
    source = load_source(config, progress=progress)
    if len(source.classes) < 2:
        raise OptionError(
            f"{config.data}: only one class, {source.classes[0]!r}: there is nothing to tell apart"
        )
    given, config = config, resolved(config, source)
    # The watch on the numbers takes the place of NumPy's warnings.
    with _threads(config.threads), backends.use_backend(config.backend), np.errstate(all="ignore"):
        parts = _parts(source, config)
        shape, version = list(source.image_shape), minicnn.__version__
        recorded = Recorded(list(source.classes), shape, *parts.statistics, source.fingerprint, version)
        manual_seed(config.seed)
        model = _model(config, source)
        with claimed(config, recorded, resume) as config:
            tell(_opening(config.model, model, parts, recorded))
            if source.note:
                tell(source.note)
            for overlap in parts.overlaps:
                tell(str(overlap))
            if source.skipped:
                tell(_left_out(source.skipped, Path(config.out)))
            if left := chosen(given, config):
                tell(f"chosen for these data: {left}")
            timer = Timer()
            trainer = _trainer(config, model, parts, recorded, [timer, *callbacks])
            if resume:
                trainer.resume()
            write_config(config, recorded)
            trainer.fit(parts.train, parts.validation, epochs=config.epochs, max_steps=config.max_steps)
            test = measure(model, parts.test, source.classes, config).report()
            result = _result(config, trainer, parts.validation, test)
            result["shared_images"] = {" and ".join(one.parts): len(one.images) for one in parts.overlaps}
            share = trainer.loading.seconds / timer.seconds if timer.seconds else 0.0
            result |= _timings(Path(config.out), timer, time.perf_counter() - started, share)
            _finish(config, model, source, result, test)
    return result


def _opening(name: str, model: Module, parts: _Parts, recorded: Recorded) -> str:
    """What is trained on what, in a line."""
    channels, height, width = recorded.image_shape
    learned, validated = (
        0 if loader is None else len(loader.dataset) for loader in (parts.train, parts.validation)
    )
    return (
        f"{name} with {sum(p.array.size for p in model.parameters()):,} parameters; "
        f"{learned:,} images of {height} x {width} pixels, {channels} channel{'s'[: channels - 1]}, "
        f"{len(recorded.classes)} classes; {validated:,} more to validate, {len(parts.test):,} to test"
    )


def _left_out(skipped: Sequence[tuple[str, str]], out: Path) -> str:
    """Write the list of images that cannot be read, and say so."""
    atomic.write(out / "skipped.txt", "".join(f"{name}: {reason}\n" for name, reason in skipped))
    name, reason = skipped[0]
    return f"{len(skipped)} images cannot be read and are left out ({name}: {reason}; all in skipped.txt)"


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Compute with so many threads for a block."""
    before = get_num_threads()
    set_num_threads(number)
    try:
        yield
    finally:
        set_num_threads(before)


class _Parts(NamedTuple):
    """The loaders of a run, mean and standard deviation of what it learns from, and images in two of them."""

    train: DataLoader
    validation: DataLoader | None
    test: Any
    statistics: tuple[list[float], list[float]]
    overlaps: list[Overlap]


def _parts(source: Source, config: Config) -> _Parts:
    """The images to learn from, to validate on, and to test on; the last are seen only at the end."""
    indices: Any = np.arange(len(source.train)) if source.test is not None else split_test(source)[0]
    held_out = indices[:0]
    if config.val_fraction and source.validation is None:
        labels = np.asarray(source.train.targets)[indices]
        kept, chosen = stratified_split(labels, config.val_fraction, seed=config.seed)
        indices, held_out = indices[kept], indices[chosen]
    if not len(indices):
        raise OptionError("no training image is left", hint="the data set is too small for these fractions")
    mean, std = statistics(source.train, indices)
    usual = plain(mean, std)
    learned = source.train.with_transform(augmented(config.augment, mean, std, source.image_shape))
    options: dict[str, Any] = {
        "batch_size": config.batch_size,
        "num_workers": config.workers,
        "multiprocessing_context": "spawn" if config.processes and config.workers else None,
        "seed": config.seed,
    }
    # Batch normalization cannot learn from a single image, so such a rest is left out.
    lonely = len(indices) % config.batch_size == 1 and len(indices) > 1
    loader = DataLoader(Subset(learned, indices), shuffle=True, drop_last=lonely, **options)
    checked: Any = Subset(source.train.with_transform(usual), held_out)
    if source.validation is not None:
        checked = source.validation.with_transform(usual)
    validation = DataLoader(checked, **options) if len(checked) else None
    test = test_set(source, usual)
    check_fitted(loader, checked, test)
    shared = overlaps(_hashes(source, indices, held_out))
    return _Parts(loader, validation, test, (list(mean), list(std)), shared)


def _hashes(source: Source, learned: np.ndarray, held_out: np.ndarray) -> dict[str, np.ndarray]:
    """The hashes of the images that a run learns from, validates on and tests on."""
    known = image_hashes(source.train)
    set_aside = np.setdiff1d(np.arange(len(known)), np.concatenate([learned, held_out]))
    return {
        "training": known[learned],
        "validation": known[held_out] if source.validation is None else image_hashes(source.validation),
        "test": known[set_aside] if source.test is None else image_hashes(source.test),
    }


def _model(config: Config, source: Source) -> Module:
    model = models.build(config.model, len(source.classes), source.image_shape)
    return model.to(config.device)


def _trainer(
    config: Config, model: Module, parts: _Parts, recorded: Recorded, callbacks: Sequence[Callback]
) -> Trainer:
    optimizer = _optimizer(config, model)
    return Trainer(
        model,
        optimizer,
        LOSSES[config.loss],
        classes=recorded.classes,
        scheduler=SCHEDULES[config.schedule](optimizer, config.lr, config.epochs * len(parts.train)),
        clip_norm=config.clip_norm,
        seed=config.seed,
        device=config.device,
        compile=config.compile,
        run_dir=config.out,
        checkpoint_every=config.checkpoint_every,
        identity=(config.decisive(), recorded.data_fingerprint),
        callbacks=callbacks,
    )


def _optimizer(config: Config, model: Module) -> optim.Optimizer:
    make = OPTIMIZERS[config.optimizer][0]
    own = {"momentum": config.momentum} if config.optimizer == "sgd" else {}
    return make(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, l1=config.l1, **own)


def _result(
    config: Config, trainer: Trainer, validation: DataLoader | None, test: dict[str, Any]
) -> dict[str, Any]:
    """What the training came to, apart from the time it took."""
    return {
        "test_accuracy": test["accuracy"],
        "test_loss": test["loss"],
        "val_accuracy": _val_accuracy(trainer, validation),
        "macro_f1": test["macro_f1"],
        "epochs": trainer.epoch,
        "steps": trainer.step,
        "digest": checkpoint.digest(trainer.state()),
        "backend": backends.active().name,
        "threads": get_num_threads(),
        "run": config.out,
        "data": config.data,
        "model": config.model,
    }


def _timings(directory: Path, timer: Timer, seconds: float, loader_share: float) -> dict[str, float]:
    """What was measured now or, where nothing was left to train, before."""
    now = {
        "seconds": seconds,
        "images_per_second": timer.images_per_second,
        "loader_share": loader_share,
    }
    before = {} if timer.updates else read_result(directory)
    return {name: before.get(name, value) for name, value in now.items()}


def _val_accuracy(trainer: Trainer, validation: DataLoader | None) -> float | None:
    """On the validation part, for the final parameters."""
    if validation is None or trainer.run_dir is None:
        return None
    epochs = [r for r in log.read(trainer.run_dir / "metrics.jsonl") if "val_accuracy" in r]
    if epochs and epochs[-1]["step"] == trainer.step:
        return epochs[-1]["val_accuracy"]
    return trainer.evaluate(validation).accuracy


def _finish(
    config: Config, model: Module, source: Source, result: dict[str, Any], test: dict[str, Any]
) -> None:
    """Write what a finished run leaves behind."""
    out = Path(config.out)
    save(model.state_dict(), out / "model.safetensors")
    atomic.write(out / "result.json", json.dumps(result | {"test": test}, indent=1) + "\n")
    reason = report.missing()
    if reason:
        print(reason, file=sys.stderr)
        return
    rows = summarize(model, (1, *source.image_shape))
    report.write(out, result, test, rows)
