"""Options that change how a training goes: each leaves what it promises."""

import json
from collections import Counter

import numpy as np
import pytest

import minicnn
from minicnn.data.sources import Source
from minicnn.data.vision import ImageArrays
from minicnn.train import run
from minicnn.train.config import Config
from minicnn.train.parts import parts_of

TINY = ("train", "--max-steps", "12", "--epochs", "4", "--batch-size", "256", "--threads", "1", "--json")


@pytest.mark.parametrize(
    "options",
    [
        ("--label-smoothing", "0.1"),
        ("--balance", "loss"),
        ("--balance", "sample"),
        ("--mix", "both"),
        ("--mix", "mixup", "--mix-alpha", "0.4"),
        ("--accumulate", "2"),
        ("--ema", "0.9"),
    ],
)
def test_it_changes_the_numbers_and_runs_again_from_its_file(tmp_path, command, options):
    plain = command(*TINY, "--out", tmp_path / "plain")
    changed = command(*TINY, *options, "--out", tmp_path / "changed")
    again = command("train", tmp_path / "changed" / "config.toml", "--out", tmp_path / "again", "--json")
    assert plain.code == changed.code == again.code == 0
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "changed", "again")]
    assert models[0] != models[1] == models[2]
    assert changed.json["digest"] == again.json["digest"]
    assert (
        command("evaluate", tmp_path / "changed", "--json").json["test_accuracy"]
        == changed.json["test_accuracy"]
    )


def rates(run):
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return np.array([record["lr"] for record in records if "lr" in record])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step", "onecycle"])
def test_the_rate_of_each_update_is_that_of_the_schedule(tmp_path, command, schedule):
    words = ("train", "--epochs", "3", "--batch-size", "128", "--lr", "0.02", "--model", "mlp")
    assert command(*words, "--schedule", schedule, "--out", tmp_path / "r").code == 0
    found = rates(tmp_path / "r")
    count, t = len(found), np.arange(len(found))
    assert count == 33
    if schedule == "onecycle":  # a quarter of a hundredth, up for three tenths of the time, down to nothing
        assert found[[0, -1]] == pytest.approx([0.02 / 25, 0.02 / 25e4])
        assert found.argmax() == round(0.3 * count) - 1 and found.max() == pytest.approx(0.02, rel=1e-3)
        assert (np.diff(found[: found.argmax() + 1]) > 0).all() and (
            np.diff(found[found.argmax() :]) < 0
        ).all()
        return
    expected = {
        "constant": np.full(count, 0.02),
        "cosine": 0.01 * (1 + np.cos(np.pi * t / count)),
        "step": 0.02 * 0.1 ** (t // (count // 3)),
    }
    np.testing.assert_allclose(found, expected[schedule], rtol=1e-12)


def uneven():
    """Ninety dark images and ten light ones, as a source."""
    pixels = np.random.default_rng(0).integers(0, 256, (100, 8, 8), np.uint8)
    images = ImageArrays(pixels, (np.arange(100) >= 90).astype(np.int64), ["dark", "light"])
    return Source("uneven", images, images, images.classes, (1, 8, 8))


def test_balanced_sampling_draws_all_classes_alike():
    drawn = Counter()
    for balance in ("none", "sample"):
        parts = parts_of(uneven(), Config(batch_size=9, balance=balance, val_fraction=0.0))
        for _ in range(20):
            for _, labels in parts.train:
                drawn[balance, "light"] += int(labels.numpy().sum())
                drawn[balance] += len(labels)
    assert drawn["none", "light"] / drawn["none"] == pytest.approx(0.1)
    assert drawn["sample", "light"] / drawn["sample"] == pytest.approx(0.5, abs=0.05)


def test_a_balanced_loss_weighs_all_classes_alike():
    config = Config(batch_size=9, balance="loss", val_fraction=0.0)
    loss = run._loss(config, parts_of(uneven(), config))
    scores, labels = minicnn.tensor([[1.0, 0.0], [1.0, 0.0]]), minicnn.tensor([0, 1])
    dark, light = 100 / (2 * 90), 100 / (2 * 10)
    each = np.log(1 + np.exp([-1.0, 1.0]))
    expected = (dark * each[0] + light * each[1]) / (dark + light)
    assert loss(scores, labels).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "options, said",
    [
        (("--momentum", "0.5"), "--momentum has no effect: it is of --optimizer sgd"),
        (("--mix-alpha", "0.5"), "--mix-alpha has no effect: without --mix"),
        (("--monitor", "val_accuracy"), "--monitor has no effect: without --best or --patience"),
        (("--processes", "--workers", "0"), "--processes has no effect: with --workers 0"),
        (
            ("--data-dir", "d", "--data", "set.npz"),
            "--data-dir has no effect: it is for data sets known by name",
        ),
        (("--momentum", "0.5", "--optimizer", "sgd"), None),
        (("--monitor", "val_accuracy", "--best"), None),
    ],
)
def test_options_without_effect_are_told(tmp_path, command, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    np.savez("set.npz", images=np.zeros((40, 8, 8), np.uint8), labels=np.arange(40) % 2)
    done = command("train", "--max-steps", "1", "--epochs", "1", "--model", "mlp", *options, "--out", "r")
    assert done.code == 0, done.err
    assert [line for line in done.err.splitlines() if "has no effect" in line] == [said] * bool(said)


def test_a_single_update_has_the_rate(tmp_path, command):
    """One-cycle has no middle there: both its ends are next to nothing."""
    words = ("train", "--epochs", "1", "--batch-size", "2000", "--model", "mlp", "--lr", "0.01")
    assert command(*words, "--out", tmp_path / "r").code == 0
    assert rates(tmp_path / "r").tolist() == [0.01]


def test_patience_ends_it_with_the_best_weights(tmp_path, command):
    options = ("--epochs", "30", "--patience", "2", "--lr", "0.5", "--monitor", "val_accuracy", "--json")
    done = command("train", *options, "--threads", "1", "--out", tmp_path / "r")
    assert done.code == 0
    assert done.json["epochs"] < 30
    records = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    accuracies = [record["val_accuracy"] for record in records if "val_accuracy" in record]
    best = done.json["best_epoch"]
    assert accuracies[best] == max(accuracies) == done.json["val_accuracy"]
    assert len(accuracies) == done.json["epochs"] == best + 3
    again = command("train", "--resume", "--out", tmp_path / "r", "--json")
    assert again.json["digest"] == done.json["digest"]


@pytest.mark.parametrize(
    "options, what",
    [
        (("--loss", "mae", "--label-smoothing", "0.1"), "expected cross_entropy for label smoothing"),
        (("--patience", "2", "--val-fraction", "0"), "val_loss is watched, and there is no validation"),
        (("--mix", "mixap"), "did you mean 'mixup'?"),
        (("--keep", "1"), "at least 2"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, command, options, what):
    done = command(*TINY, *options, "--out", tmp_path / "r")
    assert (done.code, what in done.err) == (2, True), done.err
