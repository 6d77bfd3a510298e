"""What a person sees of a training."""

from __future__ import annotations

import functools
import io
import time

import numpy as np

import minicnn
from minicnn import nn, optim
from minicnn.data import DataLoader, TensorDataset
from minicnn.io import checkpoint
from minicnn.train import Trainer
from minicnn.train.callbacks import LiveProgress, PlainProgress, Timer, progress


def fit(callback, **options) -> list[dict]:
    return prepared(callback, **options)()


def prepared(callback, kind=DataLoader, **options):
    """A training of two epochs, to be begun."""
    images = np.random.default_rng(0).standard_normal((12, 2)).astype(np.float32)
    pairs = TensorDataset(images, (images[:, 0] > 0).astype(np.int64))
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, optimizer, classes=2, callbacks=[callback], **options)
    train, validation = (kind(pairs, batch_size=4, seed=0) for _ in range(2))
    return functools.partial(trainer.fit, train, validation, epochs=2)


def test_plain_lines_come_each_epoch_and_every_few_seconds():
    stream = io.StringIO()
    history = fit(PlainProgress(stream, every=0.0))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 8
    assert lines[0].startswith(f"epoch 1  step 1/6  loss {0:.0f}"[:20])
    for word in ("accuracy", "images/s", "s left"):
        assert word in lines[0]
    record = history[-1]
    assert lines[-1].startswith(
        f"epoch 2: train loss {record['train_loss']:.4f} accuracy {record['train_accuracy']:.2%}, "
        f"validation loss {record['val_loss']:.4f} accuracy {record['val_accuracy']:.2%}, "
    )


def test_of_mixed_images_no_accuracy_is_shown():
    stream = io.StringIO()
    fit(PlainProgress(stream, every=0.0), mix=lambda images, labels: (images, labels))
    *_, step, epoch = stream.getvalue().splitlines()
    assert step.startswith("epoch 2  step 6/6  loss ") and "accuracy" not in step
    assert epoch.startswith("epoch 2: train loss ") and epoch.count("accuracy") == 1  # of the validation


def test_the_live_bar_shows_the_step_and_leaves_a_line_an_epoch():
    from rich.console import Console

    stream = io.StringIO()
    fit(LiveProgress(Console(file=stream, force_terminal=True, width=140, color_system=None)))
    text = stream.getvalue()
    assert "epoch 1: train loss" in text and "epoch 2: train loss" in text
    assert "6/6" in text and "images/s" in text


def test_the_choice_depends_on_the_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(progress(), PlainProgress)
    monkeypatch.setattr("sys.stderr", Terminal())
    assert isinstance(progress(), LiveProgress)


def test_the_timer_counts_updates_and_images():
    timer = Timer()
    assert timer.images_per_second == 0
    fit(timer)
    assert (timer.updates, timer.images) == (6, 24)
    assert timer.images_per_second == timer.images / timer.seconds > 0


def test_watching_changes_no_number():
    digests = []
    for callback in (Timer(), PlainProgress(io.StringIO(), every=0.0)):
        minicnn.manual_seed(0)
        digests.append(str(fit(callback)))
    assert digests[0] == digests[1]


def test_the_timer_leaves_out_what_checkpoints_take(tmp_path, monkeypatch):
    save = checkpoint.save

    def slow(*args, **options):
        time.sleep(0.2)
        return save(*args, **options)

    monkeypatch.setattr(checkpoint, "save", slow)
    timer = Timer()
    fit(timer, run_dir=tmp_path, checkpoint_every=1)
    assert timer.updates == 6 and timer.seconds < 0.6


class SlowToBeginAndEnd(DataLoader):
    """As one whose workers are processes."""

    def batches(self, start=0):
        time.sleep(0.1)
        yield from super().batches(start)
        time.sleep(0.1)


def test_no_more_is_waited_for_images_than_the_timer_counts():
    timer = Timer()
    run = prepared(timer, SlowToBeginAndEnd)
    run()
    assert 0.2 < run.func.__self__.loading.seconds < timer.seconds
