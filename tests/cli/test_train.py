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
from minicnn.train import anomaly
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
        "model.safetensors",
        "result.json",
        "report.html",
        "curves.png",
    }
    assert [p.suffix for p in (trained / "checkpoints").iterdir()] == [".safetensors"] * 2
    assert len([r for r in read(trained / "metrics.jsonl") if "lr" in r]) == 12


def test_the_configuration_is_complete_and_makes_the_same_run_again(trained, tmp_path, command):
    done = command("train", trained / "config.toml", "--out", tmp_path / "again", "--json")
    assert done.code == 0
    assert done.json["digest"] == json.loads((trained / "result.json").read_text())["digest"]
    assert (tmp_path / "again" / "metrics.jsonl").read_bytes() == (trained / "metrics.jsonl").read_bytes()


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
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["epoch 1", "epoch 2"]
    assert "images/s" in done.err


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


def test_the_report_needs_nothing_from_outside(trained):
    page = (trained / "report.html").read_text()
    for part in (
        "Confusion matrix",
        "precision",
        "batch_size",
        "digits_cnn on digits",
        "data:image/svg+xml;base64,",
        "Conv2d",
    ):
        assert part in page
    for outside in ("http://", "https://", "<script", 'src="/', "<link"):
        assert outside not in page
    assert (trained / "curves.png").read_bytes().startswith(b"\x89PNG")


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
    assert len(stopped.err.splitlines()) == 1 and "step-00000004.safetensors" in stopped.err
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


def test_resuming_where_nothing_is_yet_starts(tmp_path, command, whole):
    done = command("train", *TINY, "--max-steps", "9", "--out", tmp_path / "r", "--resume")
    assert (done.json["digest"], (tmp_path / "r" / "metrics.jsonl").read_bytes()) == whole


@pytest.mark.parametrize(
    "options, text",
    [
        (("--lr", "0.5"), "cannot resume: lr was 0.005"),
        (("--seed", "1"), "cannot resume: seed was 0"),
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


def test_a_run_is_not_overwritten(trained, command):
    before = (trained / "metrics.jsonl").read_bytes()
    done = command("train", "--out", trained)
    assert done.code == 2
    assert "holds a finished run; go on with it by --resume, or choose another --out" in done.err
    assert (trained / "metrics.jsonl").read_bytes() == before


# -- refusals and failures -------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, text",
    [
        (("--lr", "-1"), "option lr: expected at least 0"),
        (("--lr", "fast"), "invalid float value: 'fast'"),
        (("--epochs", "1.5"), "invalid int value"),
        (("--val-fraction", "1"), "option val-fraction: expected less than 1"),
        (("--optimizer", "adan"), "expected one of adam"),
        (("--loss", "hinge"), "option loss"),
        (("--model", "lenet"), "did you mean 'lenet5'?"),
        (("--model", "lenet5"), "images of at least 12 x 12 pixels, got 8 x 8"),
        (("--data", "digit"), "did you mean 'digits'?"),
        (("--augment", "rotat"), "did you mean 'rotate'?"),
        (("--backend", "quick"), "expected a backend out of"),
        (("--device", "tpu"), "expected a device out of"),
        (("--resume",), "--resume needs --out"),
        (("--epoch", "3"), "there is no option --epoch; did you mean 'epochs'?"),
        (("none.toml",), "no configuration file 'none.toml'"),
    ],
)
def test_bad_options_end_with_2_in_at_most_three_lines(tmp_path, command, monkeypatch, options, text):
    monkeypatch.chdir(tmp_path)
    done = command("train", *options)
    assert done.code == 2
    assert text in done.err
    assert len(done.err.splitlines()) <= 3 and "Traceback" not in done.err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content, text",
    [
        ("lr = ", "not TOML"),
        ("epoch = 3", "there is no option 'epoch'; did you mean 'epochs'?"),
        ('lr = "x"', "option lr: expected a number"),
        ("lr = 1" + 400 * "0", "option lr: expected a finite number"),
        ("lr = 1" + 5000 * "0", "not TOML"),
        ("seed = 0x1" + 5000 * "0", "option seed: expected at most"),
        ("workers = 100000", "option workers: expected at most 256"),
        ("threads = 1" + 30 * "0", "option threads: expected at most"),
        ("threads = 1025", "expected a number of threads from 1 to 1024"),
        ('data = "a\\u0000b"', "option data: expected text"),
        ("lr = 2020-01-01", "option lr: expected a number"),
        ("[train]\nlr = 1", "not in tables"),
    ],
)
def test_a_bad_configuration_file_ends_with_2(tmp_path, command, content, text):
    (tmp_path / "c.toml").write_text(content)
    done = command("train", tmp_path / "c.toml", "--out", tmp_path / "r")
    assert done.code == 2
    assert text in done.err
    assert not (tmp_path / "r").exists()


def test_missing_and_damaged_data_end_with_3(tmp_path, command):
    assert command("train", "--data", "mnist", "--data-dir", tmp_path, "--out", tmp_path / "r").code == 3
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0")
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").write_bytes(b"")
    done = command("train", "--data", "mnist", "--data-dir", tmp_path, "--out", tmp_path / "r")
    assert done.code == 3
    assert "train-images-idx3-ubyte" in done.err
    assert len(done.err.splitlines()) <= 3
    assert not (tmp_path / "r").exists()


def test_numbers_that_are_not_finite_end_with_4_and_name_the_layer(tmp_path, command):
    done = command(
        "train",
        *TINY,
        "--optimizer",
        "sgd",
        "--lr",
        "1e30",
        "--schedule",
        "constant",
        "--out",
        tmp_path / "r",
    )
    assert done.code == 4
    message = done.err.splitlines()[-1]
    assert re.search(
        r"(features|classifier)\.\d: \w+: \w+: the result is not finite in \d+ of \d+ places", message
    )
    assert "was not taken" in message
    for path in (tmp_path / "r" / "checkpoints").glob("*"):
        assert checkpoint.verify(path)["finite"]


def test_a_full_disk_ends_with_5_and_leaves_the_earlier_checkpoint(tmp_path, command, monkeypatch):
    import errno

    save = checkpoint.save

    def full(directory, state, **options):
        if state["step"] < 4:
            return save(directory, state, **options)
        monkeypatch.setattr(os, "fsync", no_space)
        try:
            return save(directory, state, **options)
        finally:
            monkeypatch.undo()

    def no_space(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "save", full)
    done = command("train", *TINY, "--checkpoint-every", "2", "--out", tmp_path / "r")
    assert done.code == 5
    assert "step-00000004.safetensors: No space left on device" in done.err
    assert os.listdir(tmp_path / "r" / "checkpoints") == ["step-00000002.safetensors"]
    assert command("verify", tmp_path / "r", "--json").json["step"] == 2
    assert all(r["step"] <= 4 for r in read(tmp_path / "r" / "metrics.jsonl"))
    assert command("train", "--out", tmp_path / "r", "--resume", "--json").code == 0


def test_a_directory_that_cannot_be_made_ends_with_5(tmp_path, command):
    (tmp_path / "file").touch()
    done = command("train", "--max-steps", "1", "--out", tmp_path / "file" / "r")
    assert done.code == 5
    assert "file" in done.err and len(done.err.splitlines()) == 1


def test_debug_shows_the_traceback(tmp_path, command):
    from minicnn.errors import OptionError

    with pytest.raises(OptionError):
        command("train", "--lr", "-1", "--debug")


def test_all_finite_sees_each_bad_number_and_no_other():
    good = np.array([1e30, -1e30, 3e38], np.float32)  # the sum of squares overflows
    assert anomaly.all_finite([good, np.arange(3), np.zeros((0, 2), np.float32)])
    for bad in (np.nan, np.inf, -np.inf):
        assert not anomaly.all_finite([good, np.array([1, bad], np.float32)])
        assert not anomaly.all_finite([np.array([[bad]])])
    assert anomaly.all_finite([])
