"""Where a run may be kept: its own directory, one process at a time, and nobody else's files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import minicnn
from minicnn.train.config import load_toml


@pytest.mark.parametrize("name", ["few", "many"])
def test_a_folder_may_have_any_name(pictures, command, name):
    pictures(name)
    done = command("train", "--data", name, "--max-steps", "1", "--out", "r", "--json")
    assert done.code == 0, done.err
    assert load_toml("r/config.toml")["model"] == "digits_cnn"


def test_a_directory_with_other_files_is_no_place_for_a_run(pictures, command):
    folder = pictures("few")
    done = command("train", "--data", "few", "--max-steps", "1", "--out", "few")
    assert done.code == 2
    assert "few holds other files; a run needs a directory of its own" in done.err
    assert sorted(path.name for path in folder.iterdir()) == ["dark", "light"]


def test_an_empty_directory_is_taken(tmp_path, command):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / ".DS_Store").touch()
    assert command("train", "--max-steps", "1", "--out", tmp_path / "r").code == 0


@pytest.mark.parametrize("there", [False, True])
def test_resuming_what_is_not_there_is_refused(command, tmp_path, there):
    out = tmp_path / "mistyped"
    if there:
        out.mkdir()
    done = command("train", "--resume", "--out", out, "--epochs", "1", "--max-steps", "1")
    assert done.code == 2
    assert "no run there to resume" in done.err and "mistyped" in done.err
    assert not any(tmp_path.glob("mistyped/*")) and out.exists() == there


def start(*words):
    root = Path(minicnn.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "minicnn", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def written(path):
    """What changes when `path` is written: contents, inode and time; reading moves the access time."""
    status = path.stat()
    return path.read_bytes(), status.st_ino, status.st_mtime_ns


def test_one_process_at_a_time_trains_in_a_directory(tmp_path, command):
    pytest.importorskip("fcntl")
    out = tmp_path / "r"
    first = start("train", "--epochs", "100000", "--checkpoint-every", "1", "--out", str(out))
    try:
        while not any(out.glob("checkpoints/*")):
            assert first.poll() is None
            time.sleep(0.05)
        before = written(out / "config.toml")
        for options in (("--resume", "--max-steps", "1"), ()):
            done = command("train", "--out", out, *options)
            assert done.code == 2
            assert "another process is training in" in done.err
        assert written(out / "config.toml") == before
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    done = command("train", "--out", out, "--resume", "--max-steps", "1")  # it left nothing behind
    assert done.code == 0, done.err


@pytest.mark.parametrize("place", ["/proc/x", "afile/x"])
def test_an_output_that_cannot_be_created_ends_with_5(tmp_path, command, monkeypatch, place):
    if place.startswith("/proc") and not os.path.isdir("/proc/self"):
        pytest.skip("no /proc here")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").touch()
    done = command("train", "--max-steps", "1", "--out", place)
    assert (done.code, f"{place}: cannot create the output" in done.err) == (5, True)


def test_a_cache_or_a_folder_of_data_that_cannot_be_created_ends_with_5(pictures, command, monkeypatch):
    if not os.path.isdir("/proc/self"):
        pytest.skip("no /proc here")
    photos = pictures("photos")
    for words in (("pack", photos, "/proc/x/out"), ("fetch", "mnist", "--dir", "/proc/x")):
        done = command("data", *words)
        assert (done.code, "/proc/x" in done.err, "cannot create the output" in done.err) == (5, True, True)
    monkeypatch.setenv("MINICNN_CACHE", "/proc/x")
    done = command("data", "check", photos)
    assert (done.code, "cannot create the output" in done.err) == (5, True)


def test_what_shall_be_packed_and_is_missing_is_called_missing(tmp_path, command):
    done = command("data", "pack", "nothere", tmp_path / "out")
    assert (done.code, done.err) == (2, "minicnn data: data pack: nothere: no such file or folder\n")
    assert "what can be packed" in command("data", "pack", "digits", tmp_path / "out").err
