"""Options that change how a training goes: each leaves what it promises."""

import json

import pytest

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
