"""The frame around all commands: help, usage, exit codes, what one process does to another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import minicnn
from minicnn.cli import main
from minicnn.cli.main import COMMANDS, exit_code
from minicnn.errors import (
    BackendError,
    CheckpointError,
    FormatError,
    MiniCNNError,
    NonFiniteError,
    OptionError,
    ShapeError,
)
from minicnn.train.signals import Interrupted


@pytest.mark.parametrize("words", [(), ("--help",), ("--version",), *((name, "--help") for name in COMMANDS)])
def test_help_of_every_command(words, capsys):
    assert main(words) == (0 if words else 2)
    out, err = capsys.readouterr()
    assert out or err


@pytest.mark.parametrize(
    "words, text",
    [
        (("trian",), "there is no command 'trian'; did you mean 'train'?"),
        (("info", "more"), "one argument too many: 'more'"),
        (("evaluate",), "the following arguments are required: RUN_DIR"),
        (("load", "--kind", "exe", "x"), "invalid choice: 'exe'"),
        (("train", "--learning-rate", "1"), "there is no option --learning-rate; did you mean --lr?"),
        (("digest", "x", "--jsom"), "there is no option --jsom; did you mean --json?"),
    ],
)
def test_wrong_usage_ends_with_2(command, words, text):
    done = command(*words)
    assert done.code == 2
    assert text in done.err and len(done.err.splitlines()) <= 3


@pytest.mark.parametrize(
    "error, code",
    [
        (OptionError("x"), 2),
        (ShapeError("x"), 2),
        (BackendError("x"), 2),
        (MiniCNNError("x"), 2),
        (FormatError("x"), 3),
        (CheckpointError("x"), 3),
        (FileNotFoundError("x"), 3),
        (NonFiniteError("x"), 4),
        (OSError(28, "No space left on device"), 5),
        (PermissionError("x"), 5),
        (MemoryError(), 5),
        (KeyboardInterrupt(), 130),
        (Interrupted(15), 143),
        (Interrupted(2), 130),
        (RuntimeError("x"), 1),
    ],
)
def test_exit_codes(error, code):
    assert exit_code(error) == code


def test_an_error_inside_minicnn_takes_one_line(command, monkeypatch):
    def fail(args):
        raise RuntimeError("what nobody thought of")

    monkeypatch.setattr(COMMANDS["info"], "run", fail)
    done = command("info")
    assert done.code == 1
    assert (
        done.err
        == "minicnn info: RuntimeError: what nobody thought of; run it again with --debug for the traceback\n"
    )


def process(*words, **options):
    root = Path(minicnn.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-P", "-m", "minicnn", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        **options,
    )


def test_the_module_is_the_command(tmp_path):
    done = process("digest", str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"minicnn digest: {tmp_path / 'none'}: No such file or directory\n"


def test_a_reader_that_has_seen_enough_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m minicnn info | head -1",
        shell=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(minicnn.__file__).parents[1])},
    )
    assert done.stdout.startswith("minicnn ")
    assert done.stderr == ""


@pytest.mark.parametrize("name, value", [("MINICNN_BACKEND", "fast"), ("MINICNN_NUM_THREADS", "many")])
def test_a_bad_environment_ends_with_2(name, value):
    """It is refused when minicnn is imported, before the command line runs."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, minicnn_command; sys.exit(minicnn_command.main())"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(minicnn.__file__).parents[1]), name: value},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("minicnn: ") and value in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_commands_load_no_heavy_library_before_they_need_it():
    code = (
        "import sys, minicnn.cli.main\n"
        "heavy = {'matplotlib', 'jinja2', 'PIL', 'rich', 'safetensors', 'threadpoolctl', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = Path(minicnn.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.stdout.strip() == "[]", done.stderr
