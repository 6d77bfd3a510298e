"""Stopping and going on in the corners: signals in validation, refused resumptions, leftover checkpoints."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

import minicnn
from minicnn import nn, optim
from minicnn.data import DataLoader, TensorDataset
from minicnn.errors import CheckpointError, NonFiniteError, OptionError
from minicnn.io import checkpoint
from minicnn.train import Interrupted, Trainer
from minicnn.train.callbacks import Callback
from minicnn.train.log import read

BATCHES = 4


def pairs() -> TensorDataset:
    images = np.random.default_rng(0).standard_normal((32, 2)).astype(np.float32)
    return TensorDataset(images, (images[:, 0] > 0).astype(np.int64))


def trainer(run_dir=None, *, width: int = 4, **options) -> Trainer:
    minicnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, width), nn.Dropout(0.2), nn.Linear(width, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return Trainer(model, optimizer, classes=2, run_dir=run_dir, **options)


def loader() -> DataLoader:
    return DataLoader(pairs(), batch_size=8, shuffle=True, seed=0)


def validation() -> DataLoader:
    """Without a seed: each pass draws one."""
    return DataLoader(pairs(), batch_size=8)


class Stopping:
    """Validation batches; a signal comes with the second one."""

    def __iter__(self):
        for number, batch in enumerate(validation()):
            if number == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch


class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, trainer, record, images):
        if record["step"] == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def damage(path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


# -- signals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("max_steps", [0, BATCHES])
def test_a_signal_in_validation_changes_nothing(tmp_path, max_steps):
    """With ``max_steps`` at the end of the epoch, that epoch is still to be validated."""
    with pytest.raises(Interrupted):
        trainer(tmp_path / "a").fit(loader(), Stopping(), epochs=3, max_steps=max_steps)
    second = trainer(tmp_path / "a")
    assert second.resume() and second.position == BATCHES
    second.fit(loader(), validation(), epochs=3, max_steps=max_steps)
    whole = trainer(tmp_path / "b")
    whole.fit(loader(), validation(), epochs=3, max_steps=max_steps)
    assert checkpoint.digest(second.state()) == checkpoint.digest(whole.state())
    assert second.epoch == whole.epoch
    assert read(tmp_path / "a" / "metrics.jsonl") == read(tmp_path / "b" / "metrics.jsonl")


def test_a_stopped_trainer_can_be_used_again():
    whole = trainer()
    whole.fit(loader(), epochs=2)
    mine = trainer(callbacks=[StopAt(3)])
    with pytest.raises(Interrupted):
        mine.fit(loader(), epochs=2)
    assert mine.evaluate(validation()).count == 32
    mine.fit(loader(), epochs=2)
    assert mine.step == 2 * BATCHES
    assert checkpoint.digest(mine.state()) == checkpoint.digest(whole.state())


def test_a_signal_after_the_last_update_is_not_lost(tmp_path):
    class Late(Callback):
        def on_epoch(self, trainer, record):
            if record["epoch"] == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    mine = trainer(tmp_path, callbacks=[Late()])
    with pytest.raises(Interrupted):
        mine.fit(loader(), epochs=2)
    assert checkpoint.latest(tmp_path / "checkpoints")[1]["epoch"] == mine.epoch == 2


@pytest.mark.parametrize("every", [0, 1])
def test_where_it_goes_on_is_told_after_each_stop(tmp_path, every):
    """Also where the checkpoint had just been written when the signal was heeded."""
    with pytest.raises(
        Interrupted, match=r"; saved .*step-00000002\.safetensors, from which --resume goes on"
    ):
        trainer(tmp_path, checkpoint_every=every, callbacks=[StopAt(2)]).fit(loader(), epochs=3)


# -- leftover checkpoints --------------------------------------------------------------------


def test_a_training_from_the_start_does_not_mix_with_an_older_one(tmp_path):
    trainer(tmp_path).fit(loader(), epochs=2)
    log = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(OptionError, match=r"holds checkpoints.*resume\(\)"):
        trainer(tmp_path).fit(loader(), epochs=1)
    assert (tmp_path / "metrics.jsonl").read_bytes() == log


def test_going_on_past_a_damaged_checkpoint_leaves_what_it_writes(tmp_path):
    trainer(tmp_path, checkpoint_every=3).fit(loader(), epochs=5, max_steps=6)
    damage(tmp_path / "checkpoints" / "step-00000006.safetensors")
    second = trainer(tmp_path, checkpoint_every=3, callbacks=[StopAt(5)])
    with pytest.warns(UserWarning, match="step-00000006"):
        assert second.resume()
    assert second.step == 4
    assert not (tmp_path / "checkpoints" / "step-00000006.safetensors").exists()
    with pytest.raises(Interrupted):
        second.fit(loader(), epochs=5)
    names = sorted(os.listdir(tmp_path / "checkpoints"))
    assert names == ["step-00000004.safetensors", "step-00000005.safetensors"]


# -- refusals --------------------------------------------------------------------------------


def test_a_run_directory_needs_a_seeded_loader(tmp_path):
    with pytest.raises(OptionError, match=r"seed.*DataLoader\(\.\.\., seed=0\)"):
        trainer(tmp_path / "r").fit(validation(), epochs=1)
    assert not (tmp_path / "r").exists()
    assert len(trainer().fit(validation(), epochs=1)) == 1


def lose_the_log(run_dir) -> dict:
    (run_dir / "metrics.jsonl").unlink()
    return {}


def spoil_a_late_field(run_dir) -> dict:
    path, state = checkpoint.latest(run_dir / "checkpoints")
    state["metrics"] = {"confusion": np.zeros(7), "loss_sum": 0.0}
    checkpoint.save(run_dir / "checkpoints", state)
    return {}


@pytest.mark.parametrize(
    "spoil", [lose_the_log, spoil_a_late_field, lambda run_dir: {"identity": ({"lr": 0.2}, "data")}]
)
def test_a_refused_resumption_changes_nothing(tmp_path, spoil):
    trainer(tmp_path, identity=({"lr": 0.1}, "data")).fit(loader(), epochs=1)
    mine = trainer(tmp_path, **{"identity": ({"lr": 0.1}, "data")} | spoil(tmp_path))
    mine.optimizer.param_groups[0]["lr"] = 0.3
    before = checkpoint.digest(mine.state())
    files = {path.name for path in tmp_path.rglob("*")}
    with pytest.raises((CheckpointError, OptionError, ValueError)):
        mine.resume()
    assert checkpoint.digest(mine.state()) == before
    assert (mine.step, mine.epoch, mine.position) == (0, 0, 0)
    assert {path.name for path in tmp_path.rglob("*")} == files


@pytest.mark.parametrize(
    "identity, text",
    [
        (({"lr": 0.2, "seed": 0}, "data"), "cannot resume: lr was 0.1 in the checkpoint, now it is 0.2"),
        (({"lr": 0.1, "seed": 0}, "more"), "cannot resume: data_fingerprint was 'data'"),
    ],
)
def test_another_run_is_refused_by_the_name_of_what_differs(tmp_path, identity, text):
    trainer(tmp_path, identity=({"lr": 0.1, "seed": 0}, "data")).fit(loader(), epochs=1)
    with pytest.raises(OptionError, match=text):
        trainer(tmp_path, identity=identity).resume()


def test_a_scheduler_more_or_less_is_refused(tmp_path):
    trainer(tmp_path).fit(loader(), epochs=1)
    mine = trainer(tmp_path)
    mine.scheduler = optim.lr_scheduler.StepLR(mine.optimizer, step_size=1)
    with pytest.raises(CheckpointError, match="scheduler"):
        mine.resume()


def test_a_validation_loss_that_is_not_finite_is_an_error():
    spoiled = DataLoader(TensorDataset(np.full((7, 2), np.nan, np.float32), np.zeros(7, np.int64)), 7)
    with pytest.raises(NonFiniteError, match="the validation loss is nan"):
        trainer().fit(loader(), spoiled, epochs=1)
