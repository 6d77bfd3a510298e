"""What ``minicnn train`` does: from a configuration to a run directory with a trained model."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minicnn
from minicnn import backends, models, optim
from minicnn.core.fusion import fusing
from minicnn.core.random import manual_seed
from minicnn.core.tensor import Tensor
from minicnn.core.threads import get_num_threads
from minicnn.data import DataLoader, Subset
from minicnn.data.packing import Progress
from minicnn.data.sources import Source
from minicnn.errors import OptionError
from minicnn.io import atomic, checkpoint, save
from minicnn.nn import Module
from minicnn.nn.summary import summarize
from minicnn.train import log, remarks, report
from minicnn.train.averaging import MovingAverage
from minicnn.train.callbacks import Callback, Timer
from minicnn.train.choices import OPTIMIZERS, SCHEDULES, class_weights, mixing
from minicnn.train.computing import computing
from minicnn.train.config import Config
from minicnn.train.directory import claimed, write_config
from minicnn.train.evaluate import Recorded, load_source, measure, note_opening, read_result
from minicnn.train.losses import LOSSES, training_loss
from minicnn.train.lr_finder import RateSearch, find_rate
from minicnn.train.parts import Parts, parts_of
from minicnn.train.pictures import as_bytes
from minicnn.train.recipes import chosen, resolved
from minicnn.train.report import Example
from minicnn.train.stopping import BestModel, EarlyStopping
from minicnn.train.trainer import Trainer

__all__ = ["search_rate", "train", "validated"]


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
    with computing(config):
        parts = parts_of(source, config)
        shape, version = list(source.image_shape), minicnn.__version__
        recorded = Recorded(list(source.classes), shape, *parts.statistics, source.fingerprint, version)
        manual_seed(config.seed)
        model = _model(config, source)
        _check(config, parts)
        with claimed(config, recorded, resume) as config:
            tell(_opening(config.model, model, parts, recorded))
            if source.note:
                tell(source.note)
            for overlap in parts.overlaps:
                tell(str(overlap))
            if left := chosen(given, config):
                tell(f"chosen for these data: {left}")
            for remark in remarks.before(config, parts.labels, source.classes):
                tell(remark)
            timer = Timer()
            keeping = _keeping(config)
            trainer = _trainer(config, model, parts, source, [*keeping, timer, *callbacks])
            if resume:
                trainer.resume()
            write_config(config, recorded)
            if source.skipped:
                tell(_left_out(source.skipped, Path(config.out)))
            epochs = trainer.fit(
                parts.train, parts.validation, epochs=config.epochs, max_steps=config.max_steps
            )
            digest = checkpoint.digest(trainer.state())  # of the last checkpoint, before the weights change
            best = _take_over(trainer, keeping)
            for remark in remarks.after(config, epochs, trainer.epoch, best, len(source.classes)):
                tell(remark)
            save(model.state_dict(), Path(config.out) / "model.safetensors")
            test = measure(model, parts.test.open(), source.classes, config).report()
            note_opening(Path(config.out), "train", test)
            result = _result(config, trainer, parts.validation, test, best) | {"digest": digest}
            result["shared_images"] = {" and ".join(one.parts): len(one.images) for one in parts.overlaps}
            share = trainer.loading.seconds / timer.seconds if timer.seconds else 0.0
            result |= _timings(Path(config.out), timer, time.perf_counter() - started, share)
            _finish(config, model, source, parts, result, test)
    return result


def validated(config: Config, callbacks: Sequence[Callback], progress: Progress) -> None:
    """Train as :func:`train` does, without a run directory and without a look at the test images."""
    source = load_source(config, progress=progress)
    config = resolved(config, source)
    with computing(config):
        parts = parts_of(source, config)
        manual_seed(config.seed)
        model = _model(config, source)
        trainer = _trainer(config.replace(out=""), model, parts, source, [*_keeping(config), *callbacks])
        trainer.fit(parts.train, parts.validation, epochs=config.epochs, max_steps=config.max_steps)


def search_rate(
    config: Config,
    *,
    steps: int = 100,
    tell: Callable[[str], object] = lambda line: None,
    progress: Progress = lambda what, done, total: None,
) -> RateSearch:
    """:func:`~minicnn.train.lr_finder.find_rate` for what :func:`train` would train.

    Raises
    ------
    OptionError
        If updates are made of several batches, or of mixed images: rates are tried on single, plain batches.
    """
    if config.accumulate > 1 or config.mix != "none":
        raise OptionError(
            "rates are tried on single, plain batches", hint="--batch-size instead of --accumulate, no --mix"
        )
    source = load_source(config, progress=progress)
    config = resolved(config, source)
    with computing(config):
        parts = parts_of(source, config)
        manual_seed(config.seed)
        model = _model(config, source)
        tell(f"{config.model} on {config.data}, batches of {config.batch_size}, {config.optimizer}")
        batches = ((x.to(config.device), y.to(config.device)) for x, y in _endless(parts.train))
        with fusing(config.compile):
            return find_rate(model, _optimizer(config, model), batches, _loss(config, parts), steps=steps)


def _endless(loader: DataLoader) -> Iterator[Any]:
    while True:
        yield from loader


def _opening(name: str, model: Module, parts: Parts, recorded: Recorded) -> str:
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


def _check(config: Config, parts: Parts) -> None:
    """Refuse now what would fail after an epoch, or in a run directory that is begun."""
    if parts.validation is None and (config.best or config.patience) and config.monitor.startswith("val"):
        raise OptionError(
            f"{config.monitor} is watched, and there is no validation",
            hint="--val-fraction 0.1, or --monitor train_loss",
        )
    if config.mix != "none" and (config.best or config.patience) and config.monitor == "train_accuracy":
        raise OptionError(
            "train_accuracy is watched, and mixed images have none", hint="--monitor train_loss"
        )
    _loss(config, parts)


def _left_out(skipped: Sequence[tuple[str, str]], out: Path) -> str:
    """Write the list of images that cannot be read, and say so."""
    atomic.write(out / "skipped.txt", "".join(f"{name}: {reason}\n" for name, reason in skipped))
    name, reason = skipped[0]
    return f"{len(skipped)} images cannot be read and are left out ({name}: {reason}; all in skipped.txt)"


def _model(config: Config, source: Source) -> Module:
    model = models.build(config.model, len(source.classes), source.image_shape)
    return model.to(config.device)


def _keeping(config: Config) -> list[Callback]:
    """What keeps averages and best values, in the order in which each needs the one before."""
    kept: list[Callback] = [MovingAverage(config.ema)] if config.ema else []
    if config.best or config.patience:
        kept.append(BestModel(config.monitor))
    if config.patience:
        kept.append(EarlyStopping(config.patience, config.monitor))
    return kept


def _take_over(trainer: Trainer, keeping: Sequence[Callback]) -> int | None:
    """Give the model the weights that the run ends with: of its best epoch, whose number is returned, or
    averaged ones.
    """
    for one in keeping:
        if isinstance(one, BestModel) and one.restore(trainer):
            return one.epoch
    for one in keeping:
        if isinstance(one, MovingAverage):
            one.put_into(trainer.model)
    return None


def _trainer(
    config: Config, model: Module, parts: Parts, source: Source, callbacks: Sequence[Callback]
) -> Trainer:
    optimizer = _optimizer(config, model)
    updates = -(-len(parts.train) // config.accumulate)  # an epoch
    return Trainer(
        model,
        optimizer,
        _loss(config, parts),
        classes=source.classes,
        scheduler=SCHEDULES[config.schedule](optimizer, config.lr, config.epochs * updates),
        clip_norm=config.clip_norm,
        accumulate=config.accumulate,
        mix=mixing(config.mix, config.mix_alpha, len(source.classes)),
        validation_loss=LOSSES[config.loss],
        seed=config.seed,
        device=config.device,
        compile=config.compile,
        run_dir=config.out or None,
        checkpoint_every=config.checkpoint_every,
        keep=config.keep,
        identity=(config.decisive(), source.fingerprint),
        callbacks=callbacks,
    )


def _loss(config: Config, parts: Parts) -> Callable[[Tensor, Tensor], Tensor]:
    """What is made small: the loss, with smoothed labels and weighted classes."""
    weights = None
    if config.balance == "loss":
        classes = len(parts.train.dataset.dataset.classes)
        weights = Tensor(class_weights(parts.labels, classes).astype(np.float32)).to(config.device)
    return training_loss(config.loss, label_smoothing=config.label_smoothing, weights=weights)


def _optimizer(config: Config, model: Module) -> optim.Optimizer:
    make = OPTIMIZERS[config.optimizer][0]
    own = {"momentum": config.momentum} if config.optimizer == "sgd" else {}
    return make(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, l1=config.l1, **own)


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


def _timings(directory: Path, timer: Timer, seconds: float, loader_share: float) -> dict[str, float]:
    """What was measured now or, where nothing was left to train, before."""
    now = {
        "seconds": seconds,
        "updates": timer.updates,  # fewer than the steps where it was resumed
        "images_per_second": timer.images_per_second,
        "loader_share": loader_share,
    }
    before = {} if timer.updates else read_result(directory)
    return {name: before.get(name, value) for name, value in now.items()}


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


def _finish(
    config: Config, model: Module, source: Source, parts: Parts, result: dict[str, Any], test: dict[str, Any]
) -> None:
    """Write what a finished run leaves behind."""
    out = Path(config.out)
    test = test | {
        "worst": [{**e, "name": _name(parts.test.open(), e["image"])} for e in test.get("worst", [])]
    }
    atomic.write(out / "result.json", json.dumps(result | {"test": test}, indent=1) + "\n")
    reason = report.missing()
    if reason:
        print(reason, file=sys.stderr)
        return
    rows = summarize(model, (1, *source.image_shape))
    report.write(out, result, test, rows, _examples(source, parts, test))


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
