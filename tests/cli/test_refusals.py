"""What ``minicnn train`` refuses or fails at: which exit code, which words, and what is left as it was."""

from __future__ import annotations

import errno
import os
import re

import pytest

from minicnn.io import checkpoint
from minicnn.train.log import read

TINY = ("--epochs", "2", "--batch-size", "256", "--json")  # 6 updates an epoch


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
        (("--lr", "-1"), "--lr must be more than 0"),
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
        (("--device", "tpu"), "--device must be cpu or cuda, got 'tpu'"),
        (("--resume",), "--resume needs --out"),
        (("--epoch", "3"), "there is no option --epoch; did you mean --epochs?"),
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


@pytest.mark.parametrize("options", [(), ("--resume",)])
def test_a_file_is_no_run_directory(tmp_path, command, options):
    (tmp_path / "file").write_text("mine")
    done = command("train", "--max-steps", "1", *options, "--out", tmp_path / "file")
    assert done.code == 2
    text = "no run there" if options else "file is a file; a run needs a directory of its own"
    assert text in done.err.splitlines()[-1]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_directory_that_may_not_be_written_to_ends_with_5(tmp_path, command, monkeypatch):
    def refuse(path, *args, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)  # the tests may run as root, who may write everywhere
    for options, named in (((), "runs/digits-digits_cnn-1"), (("--out", "r"), "r")):
        done = command("train", "--max-steps", "1", *options)
        assert done.code == 5
        assert (
            done.err.splitlines()[-1]
            == f"minicnn train: {named}: cannot create the output: Permission denied"
        )
    assert not any(tmp_path.iterdir())


def test_a_directory_that_cannot_be_made_ends_with_5(tmp_path, command):
    (tmp_path / "file").touch()
    done = command("train", "--max-steps", "1", "--out", tmp_path / "file" / "r")
    assert done.code == 5
    assert "file" in done.err.splitlines()[-1]


def test_debug_shows_the_traceback(tmp_path, command):
    from minicnn.errors import OptionError

    with pytest.raises(OptionError):
        command("train", "--lr", "-1", "--debug")
