"""Checkpoints: whole or refused, the one before at hand, and a digest that sees every bit."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from minicnn.errors import CheckpointError
from minicnn.io import checkpoint, save


def state(step: int = 1, **changes) -> dict:
    return {
        "step": step,
        "epoch": 0,
        "position": step,
        "seed": 0,
        "random_state": '{"state": 1}',
        "model": {"w": np.full((3, 2), step, np.float32)},
        "optimizer": {"state": {0: {"exp_avg": np.zeros(2), "step": step}}, "param_groups": [{"lr": 0.1}]},
        "scheduler": {"last_epoch": step},
        "metrics": {"confusion": np.zeros((2, 2), np.int64), "loss_sum": 0.5},
        "callbacks": {},
        "log_bytes": 10,
        "config": {"lr": 0.1},
        "data_fingerprint": "def",
    } | changes


def test_round_trip(tmp_path):
    path = checkpoint.save(tmp_path / "checkpoints", state(3))
    loaded = checkpoint.load(path)
    assert path.name == "step-00000003.safetensors"
    assert loaded.keys() == state().keys()
    assert loaded["optimizer"]["state"][0]["step"] == 3
    assert loaded["model"]["w"].tolist() == [[3, 3]] * 3


def test_only_the_last_two_are_kept(tmp_path):
    for step in range(1, 5):
        checkpoint.save(tmp_path, state(step))
    assert sorted(os.listdir(tmp_path)) == ["step-00000003.safetensors", "step-00000004.safetensors"]


def test_what_was_just_written_is_kept(tmp_path):
    for step in (7, 8, 3):
        path = checkpoint.save(tmp_path, state(step))
    assert path.exists()
    assert sorted(os.listdir(tmp_path)) == ["step-00000003.safetensors", "step-00000008.safetensors"]


def test_what_is_newer_can_be_dropped(tmp_path):
    checkpoint.save(tmp_path, state(2))
    kept = checkpoint.save(tmp_path, state(1))
    checkpoint.drop_newer(kept)
    assert os.listdir(tmp_path) == [kept.name]


def test_find_falls_back_and_says_so(tmp_path):
    good = checkpoint.save(tmp_path / "checkpoints", state(1))
    newest = checkpoint.save(tmp_path / "checkpoints", state(2))
    assert checkpoint.find(tmp_path) == newest
    newest.write_bytes(b"x")
    with pytest.warns(UserWarning, match="step-00000002.*is used instead"):
        assert checkpoint.find(tmp_path) == good
    good.write_bytes(b"x")
    with pytest.raises(CheckpointError, match="step-00000002"):
        checkpoint.find(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint"):
        checkpoint.find(tmp_path / "empty")


def test_latest_is_the_newest(tmp_path):
    assert checkpoint.latest(tmp_path / "none") is None
    assert checkpoint.latest(tmp_path) is None
    for step in (9, 10, 11):
        checkpoint.save(tmp_path, state(step))
    path, loaded = checkpoint.latest(tmp_path)
    assert (path.name, loaded["step"]) == ("step-00000011.safetensors", 11)


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: c[:-1] + b"\x01", lambda c: b"\0" * len(c)],
)
def test_latest_falls_back_to_the_previous_good_one(tmp_path, damage):
    checkpoint.save(tmp_path, state(1))
    newest = checkpoint.save(tmp_path, state(2))
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UserWarning, match=r"step-00000002.*; step-00000001\.safetensors is used instead"):
        assert checkpoint.latest(tmp_path)[1]["step"] == 1
    (tmp_path / "step-00000001.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="step-00000002"):
        checkpoint.latest(tmp_path)


def test_latest_removes_what_a_killed_process_left(tmp_path):
    checkpoint.save(tmp_path, state(1))
    (tmp_path / ".step-00000002.safetensors.tmp.999999999").touch()
    checkpoint.latest(tmp_path)
    assert os.listdir(tmp_path) == ["step-00000001.safetensors"]


def test_a_full_disk_leaves_the_earlier_checkpoints(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, state(1))
    checkpoint.save(tmp_path, state(2))

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left.*step-00000003"):
        checkpoint.save(tmp_path, state(3))
    assert sorted(os.listdir(tmp_path)) == ["step-00000001.safetensors", "step-00000002.safetensors"]
    assert checkpoint.latest(tmp_path)[1]["step"] == 2


def test_fields_are_checked(tmp_path):
    with pytest.raises(CheckpointError, match="'seed' is missing"):
        checkpoint.save(tmp_path, {k: v for k, v in state().items() if k != "seed"})
    with pytest.raises(CheckpointError, match="'extra' is unknown"):
        checkpoint.save(tmp_path, state(extra=1))


def test_what_is_no_checkpoint_is_refused(tmp_path):
    save({"w": np.ones(1)}, tmp_path / "a")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "a")
    save({"checkpoint": 99, **state()}, tmp_path / "a")
    with pytest.raises(CheckpointError, match="format 99"):
        checkpoint.load(tmp_path / "a")


def test_verify_says_what_is_in_it(tmp_path):
    facts = checkpoint.verify(checkpoint.save(tmp_path, state(3)))
    assert facts["kind"] == "checkpoint"
    assert (facts["step"], facts["epoch"], facts["finite"]) == (3, 0, True)
    save({"w": np.array([1.0, np.nan])}, tmp_path / "a")
    facts = checkpoint.verify(tmp_path / "a")
    assert (facts["kind"], facts["tensors"], facts["numbers"], facts["finite"]) == ("tensors", 1, 2, False)


def test_digest_of_file_and_memory_agree(tmp_path):
    path = checkpoint.save(tmp_path, state(3))
    assert checkpoint.digest(path) == checkpoint.digest(state(3)) == checkpoint.verify(path)["digest"]


@pytest.mark.parametrize(
    "change, seen",
    [
        ({}, False),
        ({"seed": 1}, False),
        ({"metrics": {}}, False),
        ({"model": {"w": np.full((2, 3), 1, np.float32)}}, True),
        ({"model": {"v": np.full((3, 2), 1, np.float32)}}, True),
        ({"model": {"w": np.full((3, 2), 1, np.float64)}}, True),
        ({"model": {"w": np.nextafter(np.full((3, 2), 1, np.float32), np.float32(2))}}, True),
        ({"optimizer": {}}, True),
        ({"random_state": "{}"}, True),
        ({"step": 2}, True),
    ],
)
def test_digest_sees_parameters_optimiser_random_state_and_step(change, seen):
    assert (checkpoint.digest(state()) != checkpoint.digest(state(**change))) is seen
