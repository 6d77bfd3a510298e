"""What ``minicnn train`` does: from a configuration to a run directory with a trained model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import minicnn
from minicnn import models, optim
from minicnn.core.random import manual_seed
from minicnn.core.tensor import Tensor
from minicnn.data import DataLoader
from minicnn.data.packing import Progress
from minicnn.data.sources import Source
from minicnn.errors import FormatError, MiniCNNError, OptionError
from minicnn.io import atomic, checkpoint
from minicnn.nn import Module
from minicnn.train import log, outcome, remarks
from minicnn.train.averaging import MovingAverage
from minicnn.train.callbacks import Callback, Timer
from minicnn.train.choices import OPTIMIZERS, SCHEDULES, class_weights, mixing
from minicnn.train.computing import computing
from minicnn.train.config import Config
from minicnn.train.directory import claimed, write_config
from minicnn.train.evaluate import load_source
from minicnn.train.losses import LOSSES, training_loss
from minicnn.train.lr_finder import RateSearch, find_rate
from minicnn.train.parts import Parts, parts_of
from minicnn.train.recipes import chosen, resolved
from minicnn.train.recorded import Recorded, read_learned, read_run, write_learned
from minicnn.train.starting import Start, begin
from minicnn.train.stopping import BestModel, EarlyStopping
from minicnn.train.trainer import Trainer

__all__ = ["search_rate", "train", "validated"]


def train(
    config: Config,
    *,
    resume: bool = False,
    again: str = "",
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
    again : str
        The fingerprint of the images of a run that is done again; a line says so where these are others.
    callbacks : sequence of Callback
        Told of the progress.
    tell : callable
        Gets, line by line, what will be trained on what, and what has been chosen.
    progress : callable
        See :func:`minicnn.data.packing.pack`.

    Returns
    -------
    dict
        ``test_accuracy, test_loss, val_accuracy, epochs, steps, seconds, images_per_second, loader_share,
        digest, backend, threads, macro_f1, shared_images, remarks, run, data, model`` and more; also written
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
    known = read_run(config.out)[1] if resume and (Path(config.out) / "config.toml").is_file() else None
    start = Start(config.start_from)
    source = load_source(config, known.image_shape if known else start.image_shape, progress)
    given, config = config, resolved(config, source, "" if resume else start.model)
    with computing(config):
        parts = parts_of(source, config)
        recorded = _recorded(source, parts, known.start_digest if known else start.digest)
        manual_seed(config.seed)
        model = _model(config, source)
        _check(config, parts)
        # What goes on has weights of its own, if it came as far as its first checkpoint.
        lines = [] if resume else begin(model, start, config, recorded, parts.hashes)
        with claimed(config, recorded, resume) as config:
            said: list[str] = []
            if again not in ("", recorded.data_fingerprint):
                _say("these are other images than those of the run that this does again", said, tell)
            for line in _opening(given, config, model, parts, recorded, source):
                _say(line, said, tell)
            timer, keeping = Timer(), _keeping(config)
            trainer = _trainer(config, model, parts, source, [*keeping, timer, *callbacks])
            if resume and trainer.resume():
                for one in keeping:
                    if isinstance(one, BestModel):
                        one.require_weights(trainer)
                if trainer.epoch < config.epochs and trainer.step != config.max_steps:
                    tell(f"it goes on from update {trainer.step:,}, in epoch {trainer.epoch + 1}")
            elif resume:
                lines = begin(model, start, config, recorded, parts.hashes)
            write_config(config, recorded)
            _note_learned(Path(config.out), start, recorded, parts)
            if source.skipped:
                _list_left_out(source.skipped, Path(config.out))
                lines.append(_left_out(source.skipped, "all in skipped.txt"))
            for line in lines:
                _say(line, said, tell)
            before = outcome.withdraw(Path(config.out))
            trainer.fit(parts.train, parts.validation, epochs=config.epochs, max_steps=config.max_steps)
            digest = checkpoint.digest(trainer.state())  # of the last checkpoint, before the weights change
            best = _take_over(trainer, keeping)
            # Those before a resumption too.
            epochs = [r for r in log.read(Path(config.out) / "metrics.jsonl") if "train_loss" in r]
            ended = (epochs, trainer.epoch, best, len(source.classes), trainer.loading.seconds, timer.seconds)
            for remark in remarks.after(config, *ended):
                _say(remark, said, tell)
            updates = config.epochs * trainer.updates(len(parts.train))
            if config.max_steps and trainer.step < updates and trainer.step == config.max_steps:
                text = f"stopped by --max-steps, after {trainer.step:,} of {updates:,} updates"
                _say(f"{text}; --resume with more goes on", said, tell)
            if not timer.updates:
                tell(f"{config.out} was at its end: nothing is left to train, it is measured again")
            test = outcome.write_model(config, model, source, parts)
            timings = outcome.timings(before, timer, time.perf_counter() - started, trainer.loading.seconds)
            facts = {"digest": digest, "remarks": said, **timings}
            return outcome.write_result(config, trainer, source, parts, best, test, facts)


def validated(
    config: Config,
    source: Source,
    start: Start,
    callbacks: Sequence[Callback],
    tell: Callable[[str], object],
) -> None:
    """Train as :func:`train` does, without a run directory and without a look at the test images.

    ``tell`` gets a line where it begins with weights of another training.

    Raises
    ------
    OptionError
        If no epoch would end with a validation.
    """
    config = resolved(config, source, start.model)
    with computing(config):
        parts = parts_of(source, config)
        _check_validated(config, parts)
        manual_seed(config.seed)
        model = _begun(config, source, start, parts, tell)
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
    start = Start(config.start_from)
    source = load_source(config, start.image_shape, progress)
    config = resolved(config.replace(lr=0.0), source, start.model)  # with the rate that a training would take
    with computing(config):
        parts = parts_of(source, config)
        manual_seed(config.seed)
        model = _begun(config, source, start, parts, tell)
        if source.skipped:
            tell(_left_out(source.skipped, "`minicnn data check` lists all"))
        tell(
            f"{config.model} on {config.data}, batches of {config.batch_size}, {config.optimizer}; "
            f"`minicnn train` takes --lr {config.lr:g} for it unless you say otherwise"
        )
        batches = ((x.to(config.device), y.to(config.device)) for x, y in _endless(parts.train))
        return find_rate(
            model,
            _optimizer(config, model),
            batches,
            _loss(config, parts),
            steps=steps,
            clip_norm=config.clip_norm,
            compile=config.compile,
        )


def _endless(loader: DataLoader) -> Iterator[Any]:
    while True:
        yield from loader


def _recorded(source: Source, parts: Parts, start_digest: str) -> Recorded:
    """What the run has to know about its data later."""
    shape, version = list(source.image_shape), minicnn.__version__
    return Recorded(list(source.classes), shape, *parts.statistics, source.fingerprint, version, start_digest)


def _begun(
    config: Config, source: Source, start: Start, parts: Parts, tell: Callable[[str], object]
) -> Module:
    """A new model, with the weights to start from if there are any."""
    model = _model(config, source)
    for line in begin(model, start, config, _recorded(source, parts, start.digest), parts.hashes):
        tell(line)
    return model


def _note_learned(out: Path, start: Start, recorded: Recorded, parts: Parts) -> None:
    """Write down all images that the run learns from, and that the weights to start from learned from.

    Where nobody knows the latter, nothing is written: a list that lacks some would tell those who read it
    that the model has never seen them.
    """
    with suppress(FormatError):  # a damaged list is written anew
        if read_learned(out) is not None:
            return
    try:
        before = start.learned(recorded)
    except MiniCNNError:  # the run goes on, and what it started from is gone
        before = None
    if before is not None:
        write_learned(out, np.unique(np.concatenate([parts.hashes["training"], before])))


def _say(line: str, said: list[str], tell: Callable[[str], object]) -> None:
    """Tell a line now, and keep it for the report."""
    said.append(line)
    tell(line)


def _opening(
    given: Config, config: Config, model: Module, parts: Parts, recorded: Recorded, source: Source
) -> Iterator[str]:
    """What is trained on what, and what a person should know of it, in lines."""
    channels, height, width = recorded.image_shape
    learned, validated = (
        0 if loader is None else len(loader.dataset) for loader in (parts.train, parts.validation)
    )
    yield (
        f"{config.model} with {sum(p.array.size for p in model.parameters()):,} parameters; "
        f"{learned:,} images of {height} x {width} pixels, {channels} channel{'s'[: channels - 1]}, "
        f"{len(recorded.classes)} classes; {validated:,} more to validate, {len(parts.test):,} to test"
    )
    if source.note:
        yield source.note
    yield from map(str, parts.overlaps)
    if left := chosen(given, config):
        yield f"chosen for these data: {left}"
    yield from remarks.before(config, parts.labels, source.classes)


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


def _check_validated(config: Config, parts: Parts) -> None:
    if parts.validation is None:
        raise OptionError("a search needs validation images", hint="--val-fraction 0.1", op="tune")
    updates = -(-len(parts.train) // config.accumulate)
    if 0 < config.max_steps < updates:
        raise OptionError(
            f"--max-steps {config.max_steps} ends before the first validation, after {updates} updates",
            op="tune",
        )


def _list_left_out(skipped: Sequence[tuple[str, str]], out: Path) -> None:
    """Write down which images cannot be read, and why."""
    atomic.write(out / "skipped.txt", "".join(f"{name}: {reason}\n" for name, reason in skipped))


def _left_out(skipped: Sequence[tuple[str, str]], where: str) -> str:
    """How many images cannot be read, the first of them, and where all are listed."""
    name, reason = skipped[0]
    return f"{len(skipped)} images cannot be read and are left out ({name}: {reason}; {where})"


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
