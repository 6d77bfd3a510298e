"""Whole runs from the command line: what a resumption keeps, refuses and records."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import minicnn
from minicnn.cli import main
from minicnn.data import sources, statistics
from minicnn.train.config import Config, load_toml
from minicnn.train.recipes import resolved


@pytest.fixture(autouse=True)
def _without_reports(monkeypatch):
    """Drawing takes longer than the training."""
    monkeypatch.setattr("minicnn.train.report.write", lambda *args: None)


@pytest.fixture
def command(capsys):
    """Code, error text, and the last line of output as JSON if there is any."""

    def run(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, err=err, json=json.loads(out) if "--json" in words else None)

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run directory: three updates on the digits."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minicnn.train.report.write", lambda *args: None)
        assert main(["train", "--max-steps", "3", "--threads", "1", "--out", str(out)]) == 0
    return out


def test_an_edited_configuration_is_refused_by_name_and_left_alone(trained, tmp_path, command):
    out = tmp_path / "r"
    shutil.copytree(trained, out)
    text = (out / "config.toml").read_text()
    edited = text.replace("lr = 0.005", "lr = 0.5")
    (out / "config.toml").write_text(edited)
    done = command("train", "--out", out, "--resume", "--max-steps", "4")
    assert (done.code, "cannot resume: lr was 0.005 in the checkpoint, now it is 0.5" in done.err) == (
        2,
        True,
    )
    assert (out / "config.toml").read_text() == edited
    (out / "config.toml").write_text(text)
    assert command("train", "--out", out, "--resume").code == 0


def test_resuming_a_finished_run_keeps_its_timings(trained, tmp_path, command):
    out = tmp_path / "r"
    shutil.copytree(trained, out)
    before = json.loads((out / "result.json").read_text())
    again = command("train", "--out", out, "--resume", "--json").json
    assert {name: again[name] for name in ("seconds", "images_per_second")} == {
        name: before[name] for name in ("seconds", "images_per_second")
    }


def test_the_backend_that_runs_is_recorded(trained, tmp_path, command):
    config = load_toml(trained / "config.toml")
    assert config["backend"] == json.loads((trained / "result.json").read_text())["backend"] != ""
    options = ("--max-steps", "1", "--backend", "numpy", "--out", tmp_path / "r")
    assert command("train", *options).code == 0
    assert load_toml(tmp_path / "r" / "config.toml")["backend"] == "numpy"
    assert command("train", "--out", tmp_path / "r", "--resume", "--max-steps", "2").code == 0


def test_nothing_but_the_message_is_said_about_numbers_that_are_not_finite(tmp_path):
    """In a process of its own: NumPy's warnings would come to standard error."""
    options = ["--epochs", "2", "--optimizer", "sgd", "--lr", "1e30", "--schedule", "constant"]
    command = [sys.executable, "-P", "-m", "minicnn", "train", *options, "--out", str(tmp_path / "r")]
    environment = {**os.environ, "PYTHONPATH": str(Path(minicnn.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) <= 3, done.stderr


def test_layers_fuse_unless_told_not_to(tmp_path, command):
    """The parameters are the same to the last bit, and the configuration says which it was."""
    if minicnn.backends.unavailable("native"):
        pytest.skip(minicnn.backends.unavailable("native"))
    digests = []
    for number, words in enumerate(((), ("--compile",), ("--no-compile",))):
        out = tmp_path / str(number)
        before = fused_calls()
        done = command("train", "--max-steps", "2", "--backend", "native", "--out", out, *words)
        assert done.code == 0 and (fused_calls() > before) == (words != ("--no-compile",))
        assert load_toml(out / "config.toml")["compile"] == (words != ("--no-compile",))
        digests.append((out / "model.safetensors").read_bytes())
        before = fused_calls()
        assert command("evaluate", out).code == 0
        assert (fused_calls() > before) == (words != ("--no-compile",))
    assert digests[0] == digests[1] == digests[2]


def fused_calls():
    report = minicnn.backends.report()
    names = ("conv2d_relu", "relu_max_pool2d", "linear_relu")
    return sum(report.get(name, {}).get("native", {}).get("kernel", 0) for name in names)


def test_numbers_fitted_on_more_than_the_training_part_are_refused(monkeypatch, tmp_path, command):
    monkeypatch.setattr("minicnn.train.parts.statistics", lambda dataset, indices: statistics(dataset))
    done = command("train", "--max-steps", "1", "--out", tmp_path / "r")
    assert done.code == 2
    assert "Normalize was fitted on 1438 samples, of which" in done.err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ({"model": "vgg_small", "optimizer": "sgd"}, 0.02),
        ({"model": "resnet20", "optimizer": "sgd"}, 0.1),
        ({"model": "vgg_small", "optimizer": "rmsprop"}, 1e-3),
        ({"model": "mlp", "optimizer": "sgd", "lr": 0.3}, 0.3),
        ({}, 5e-3),
    ],
)
def test_the_usual_rate_is_smaller_for_models_that_normalise_nothing(options, rate):
    assert resolved(Config(**options), sources.load("digits")).lr == rate


@pytest.mark.parametrize(("options", "schedule"), [
    ({}, "onecycle"), ({"patience": 3}, "cosine"), ({"patience": 3, "schedule": "step"}, "step"),
])  # fmt: skip
def test_the_schedule_goes_with_the_patience(options, schedule):
    assert resolved(Config(**options), sources.load("digits")).schedule == schedule


def test_threads_are_those_of_the_backend_asked_for(monkeypatch):
    monkeypatch.setattr("minicnn.train.recipes.chosen_threads", lambda: 0)
    monkeypatch.setattr("minicnn.train.recipes.processors", lambda: 7)
    digits = sources.load("digits")
    assert resolved(Config(backend="numpy"), digits).threads == 1
    assert resolved(Config(backend="native"), digits).threads == 7
    assert resolved(Config(backend="native", threads=3), digits).threads == 3
