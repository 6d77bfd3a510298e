"""``minicnn train``: what it writes, what it prints, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys

import numpy as np
import pytest

from minicnn.cli import main
from minicnn.io import checkpoint
from minicnn.train.callbacks import Callback
from minicnn.train.config import load_toml
from minicnn.train.log import read

TINY = ("--epochs", "2", "--batch-size", "256", "--json")  # 6 updates an epoch


def test_a_run_directory_holds_all_that_is_promised(trained):
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "config.toml",
        "metrics.jsonl",
        "checkpoints",
        "learned.npy",
        "model.safetensors",
        "result.json",
        "report.html",
        "curves.png",
        "test_set.jsonl",
    }
    assert [p.suffix for p in (trained / "checkpoints").iterdir()] == [".safetensors"] * 2
    assert len([r for r in read(trained / "metrics.jsonl") if "lr" in r]) == 12


def test_the_configuration_is_complete_and_makes_the_same_run_again(trained, tmp_path, command):
    done = command("train", trained / "config.toml", "--out", tmp_path / "again", "--json")
    assert done.code == 0
    assert done.json["digest"] == json.loads((trained / "result.json").read_text())["digest"]
    assert (tmp_path / "again" / "metrics.jsonl").read_bytes() == (trained / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        (
            "--optimizer",
            "sgd",
            "--lr",
            "0.02",
            "--momentum",
            "0.5",
            "--schedule",
            "step",
            "--clip-norm",
            "0.5",
        ),
        (
            "--loss",
            "mae",
            "--l1",
            "1e-5",
            "--weight-decay",
            "0.01",
            "--augment",
            "rotate",
            "--val-fraction",
            "0.3",
        ),
        ("--seed", "9223372036854775807", "--model", "mlp", "--backend", "numpy", "--workers", "2"),
    ],
)
def test_every_option_is_in_the_configuration(tmp_path, command, monkeypatch, options):
    """Also after the run was stopped and went on."""
    monkeypatch.chdir(tmp_path)
    command("train", "--max-steps", "3", "--batch-size", "256", *options, "--out", "r")
    first = command("train", "--resume", "--out", "r", "--max-steps", "7", "--json")
    again = command("train", "r/config.toml", "--json")
    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert again.json["digest"] == first.json["digest"]
    assert again.json["run"].startswith("runs/digits-")
    before, after = (load_toml(f"{run}/config.toml") for run in ("r", again.json["run"]))
    assert {**before, "out": ""} == {**after, "out": ""}


def test_json_has_the_promised_fields_and_progress_goes_to_standard_error(tmp_path, command):
    done = command("train", *TINY, "--threads", "1", "--out", tmp_path / "r")
    assert done.code == 0
    assert len(done.out.splitlines()) == 1
    promised = (
        "test_accuracy test_loss val_accuracy epochs steps seconds images_per_second digest backend threads"
    )
    assert set(promised.split()) <= set(done.json)
    assert (done.json["epochs"], done.json["steps"], done.json["threads"]) == (2, 12, 1)
    assert done.json["digest"] == checkpoint.digest(checkpoint.find(tmp_path / "r"))
    assert 0 <= done.json["test_accuracy"] <= 1 and done.json["images_per_second"] > 0
    opening, choice, *epochs = done.err.splitlines()
    assert opening == (
        "digits_cnn with 25,978 parameters; 1,295 images of 8 x 8 pixels, 1 channel, 10 classes; "
        "143 more to validate, 359 to test"
    )
    assert choice == (
        "chosen for these data: model digits_cnn, optimizer adam, lr 0.005, schedule onecycle, augment none"
    )
    assert [line.split(":")[0] for line in epochs] == ["epoch 1", "epoch 2"]
    assert all("images/s" in line for line in epochs)


@pytest.mark.parametrize(
    "count, side, model, optimizer",
    [
        (8, 65, "lenet5", "adam"),
        (8, 64, "digits_cnn", "adam"),
        (8, 3, "mlp", "adam"),
        (2500, 12, "resnet20", "sgd"),
    ],
)
def test_the_recipe_for_images_of_ones_own_depends_on_how_many_there_are(
    tmp_path, command, count, side, model, optimizer
):
    for name, content in (
        ("images-idx3", bytes(2 * count * side * side)),
        ("labels-idx1", bytes([0, 1]) * count),
    ):
        sizes = (2 * count, side, side) if name.startswith("images") else (2 * count,)
        head = bytes([0, 0, 8, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)
        (tmp_path / f"{name}-ubyte").write_bytes(head + content)
    options = ("--max-steps", "1", "--val-fraction", "0.9", "--batch-size", "2")
    done = command("train", "--data", tmp_path / "images-idx3-ubyte", *options, "--out", tmp_path / "r")
    assert done.code == 0, done.err
    config = load_toml(tmp_path / "r" / "config.toml")
    assert (config["model"], config["optimizer"]) == (model, optimizer)
    assert (
        f"chosen for these data: model {model}, epochs {config['epochs']}, optimizer {optimizer}" in done.err
    )


def test_a_complete_configuration_leaves_nothing_to_choose(trained, tmp_path, command):
    done = command("train", trained / "config.toml", "--max-steps", "1", "--out", tmp_path / "r")
    assert "to test" in done.err and "chosen" not in done.err


def test_help_names_all_that_can_be_chosen(capsys):
    from minicnn import models
    from minicnn.data.catalog import CATALOG
    from minicnn.train.choices import OPTIMIZERS, SCHEDULES
    from minicnn.train.losses import LOSSES
    from minicnn.train.preprocess import AUGMENTATIONS

    main(["train", "--help"])
    words = set(re.split(r"[\s,()]+", capsys.readouterr().out))
    assert {*models.names(), *CATALOG, *OPTIMIZERS, *SCHEDULES, *LOSSES, *AUGMENTATIONS} <= words


def test_the_words_for_people_name_the_run(tmp_path, command):
    done = command("train", "--epochs", "1", "--batch-size", "256", "--out", tmp_path / "r")
    assert done.out.startswith("test accuracy ")
    assert str(tmp_path / "r") in done.out


def test_the_default_directory_is_new_each_time(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        done = command("train", "--max-steps", "1", "--json")
        assert done.json["run"] == f"runs/digits-digits_cnn-{number}"
    assert load_toml("runs/digits-digits_cnn-2/config.toml")["out"] == "runs/digits-digits_cnn-2"


def test_options_on_the_command_line_come_before_those_of_the_file(tmp_path, command):
    (tmp_path / "c.toml").write_text('lr = 0.5\nmax_steps = 2\nmodel = "mlp"\nbatch_size = 64\n')
    done = command("train", tmp_path / "c.toml", "--lr", "0.25", "--out", tmp_path / "r", "--json")
    config = load_toml(tmp_path / "r" / "config.toml")
    assert (done.json["steps"], config["lr"], config["model"], config["batch_size"]) == (2, 0.25, "mlp", 64)


@pytest.mark.parametrize(
    "options",
    [
        ("--optimizer", "sgd", "--lr", "0.1", "--schedule", "cosine", "--clip-norm", "1"),
        ("--optimizer", "rmsprop", "--schedule", "onecycle", "--loss", "mae"),
        ("--optimizer", "adamw", "--schedule", "step", "--loss", "mse", "--weight-decay", "0.01"),
        ("--l1", "0.01", "--schedule", "constant", "--augment", "standard", "--workers", "2"),
        ("--augment", "crop,rotate", "--val-fraction", "0", "--model", "mlp", "--backend", "numpy"),
        ("--model", "depthwise_small", "--checkpoint-every", "1"),
    ],
)
def test_every_option_is_taken(tmp_path, command, options):
    done = command(
        "train", "--max-steps", "3", "--batch-size", "128", *options, "--out", tmp_path / "r", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["steps"] == 3
    assert (done.json["val_accuracy"] is None) == ("--val-fraction" in options)


def test_augmentation_does_not_depend_on_the_workers(tmp_path, command):
    options = ("train", "--max-steps", "4", "--augment", "standard", "--json")
    digests = {
        command(*options, "--workers", workers, "--out", tmp_path / str(workers)).json["digest"]
        for workers in (0, 1, 4)
    }
    assert len(digests) == 1


def test_mnist_from_a_directory_of_files(tmp_path, command, shared_data):
    options = ("--data-dir", shared_data, "--max-steps", "2", "--out", tmp_path / "r", "--json")
    done = command("train", "--data", "mnist", *options)
    assert done.code == 0, done.err
    config = load_toml(tmp_path / "r" / "config.toml")
    assert (config["model"], config["recorded"]["image_shape"]) == ("lenet5", [1, 28, 28])
    assert command("evaluate", tmp_path / "r", "--json").json["count"] == 10_000


def test_a_strong_l1_makes_weights_exactly_zero(tmp_path, command):
    from minicnn.io import load

    command(
        "train",
        "--max-steps",
        "6",
        "--l1",
        "1",
        "--schedule",
        "constant",
        "--model",
        "mlp",
        "--out",
        tmp_path / "r",
        "--json",
    )
    weights = [w.numpy() for w in load(tmp_path / "r" / "model.safetensors").values()]
    assert np.mean(np.concatenate([w.ravel() for w in weights]) == 0) > 0.1


def test_without_matplotlib_there_is_all_but_the_report(tmp_path, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # importing it fails
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "matplotlib" else object())
    done = command("train", "--max-steps", "1", "--out", tmp_path / "r", "--json")
    assert done.code == 0
    assert done.err.splitlines()[-1] == "no report: matplotlib not installed; pip install minicnn[viz]"
    assert not (tmp_path / "r" / "report.html").exists()
    assert (tmp_path / "r" / "model.safetensors").exists()


# -- resuming --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Digest, log and configuration of six updates without a stop."""
    out = tmp_path_factory.mktemp("whole") / "r"
    assert main(["train", *TINY, "--max-steps", "9", "--out", str(out)]) == 0
    return json.loads((out / "result.json").read_text())["digest"], (out / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_the_run_goes_on_bit_for_bit(tmp_path, command, monkeypatch, whole, number, code):
    class Stop(Callback):
        def on_step(self, trainer, record, images):
            if record["step"] == 4:
                os.kill(os.getpid(), number)

    out = tmp_path / "r"
    with monkeypatch.context() as patch:
        patch.setattr("minicnn.cli.train.progress", Stop)
        stopped = command("train", *TINY, "--max-steps", "9", "--out", out)
    assert stopped.code == code
    assert "step-00000004.safetensors" in stopped.err.splitlines()[-1]
    assert len([line for line in stopped.err.splitlines() if line.startswith("minicnn train:")]) == 1
    assert not (out / "model.safetensors").exists()
    assert checkpoint.verify(checkpoint.find(out))["step"] == 4
    resumed = command("train", "--out", out, "--resume", "--json")
    assert resumed.code == 0
    assert (resumed.json["digest"], (out / "metrics.jsonl").read_bytes()) == whole


def test_more_steps_may_follow_a_finished_run(tmp_path, command, whole):
    out = tmp_path / "r"
    command("train", *TINY, "--max-steps", "5", "--out", out)
    done = command("train", "--out", out, "--resume", "--max-steps", "9", "--json")
    assert (done.json["digest"], (out / "metrics.jsonl").read_bytes()) == whole
    again = command("train", "--out", out, "--resume", "--json")
    assert (again.code, again.json["digest"], again.json["steps"]) == (0, whole[0], 9)


def test_a_run_that_goes_on_is_not_finished_meanwhile(tmp_path, command, whole, monkeypatch):
    out = tmp_path / "r"
    command("train", *TINY, "--max-steps", "5", "--out", out)

    def killed(*args, **more):
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("minicnn.train.trainer.Trainer.fit", killed)
        assert command("train", "--out", out, "--resume", "--max-steps", "9").code == 130
    assert not (out / "model.safetensors").exists() and not (out / "result.json").exists()
    done = command("evaluate", out)
    assert (done.code, "the run is not finished" in done.err) == (3, True)
    assert command("train", "--out", out, "--resume", "--json").json["digest"] == whole[0]


@pytest.mark.parametrize(
    "options, text",
    [
        (("--lr", "0.5"), "cannot resume: lr was 0.005"),
        (("--seed", "1"), "cannot resume: seed was 0"),
        (("--no-compile",), "cannot resume: compile was True"),
        (("--model", "mlp"), "cannot resume: model was 'digits_cnn'"),
        (("--batch-size", "64"), "cannot resume: batch_size was 128"),
    ],
)
def test_resuming_with_another_configuration_is_refused(trained, command, options, text):
    done = command("train", "--out", trained, "--resume", *options)
    assert done.code == 2
    assert text in done.err


def test_resuming_with_other_data_is_refused(trained, tmp_path, command):
    out = tmp_path / "r"
    shutil.copytree(trained, out)
    text = (out / "config.toml").read_text()
    before = load_toml(out / "config.toml")["recorded"]["data_fingerprint"]
    (out / "config.toml").write_text(text.replace(before, "0" * 64))
    done = command("train", "--out", out, "--resume")
    assert (done.code, "cannot resume: data fingerprint differs" in done.err) == (2, True)


def test_the_test_set_is_opened_once_and_logged(trained, tmp_path, command):
    from minicnn.train.evaluate import note_opening

    first, *others = map(json.loads, (trained / "test_set.jsonl").read_text().splitlines())
    assert (first["by"], first["images"]) == ("train", 359)
    assert all(line["by"] == "evaluate" for line in others)  # other tests measure it too
    facts = {"count": 3, "accuracy": 0.5, "loss": 1.0}
    assert [note_opening(tmp_path, "evaluate", facts) for _ in range(3)] == [1, 2, 3]


def test_the_digest_is_the_last_checkpoints_whatever_weights_the_run_ends_with(tmp_path, command):
    done = command("train", *TINY, "--ema", "0.9", "--best", "--out", tmp_path / "r")
    assert done.json["digest"] == checkpoint.digest(checkpoint.find(tmp_path / "r"))


@pytest.mark.parametrize(
    "options, what",
    [
        (("--val-fraction", "0", "--patience", "2"), "val_loss is watched, and there is no validation"),
        (("--loss", "mse", "--label-smoothing", "0.1"), "label_smoothing|cross_entropy"),
    ],
)
def test_what_would_fail_later_is_refused_before_there_is_a_run(tmp_path, command, options, what):
    done = command("train", *TINY, *options, "--out", tmp_path / "r")
    assert done.code == 2 and re.search(what, done.err)
    assert not (tmp_path / "r").exists()


def test_a_resumed_run_says_how_many_updates_its_time_is_of(tmp_path, command):
    assert command("train", "--batch-size", "256", "--max-steps", "5", "--out", tmp_path / "r").code == 0
    config = (tmp_path / "r" / "config.toml").read_text()
    (tmp_path / "r" / "config.toml").write_text(config.replace("max_steps = 5", "max_steps = 7"))
    done = command("train", "--out", tmp_path / "r", "--resume", "--max-steps", "7")
    assert done.code == 0, done.err
    assert "after 7 updates, the last 2 of them in" in done.out
