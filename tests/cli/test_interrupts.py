"""Ctrl-C and SIGTERM at any moment: exit code 130 or 143, one line, and never lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import minicnn
from minicnn.cli.main import COMMANDS
from minicnn.train.signals import Interrupted, StopRequest, raising

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(minicnn.__file__).parents[1])}


def swallow(number):
    """What a callback out of C does with the exception of a signal handler."""
    try:
        os.kill(os.getpid(), number)
    except (KeyboardInterrupt, Interrupted):
        return
    raise AssertionError("no signal came")


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_swallowed_before_the_training_stops_it(tmp_path, command, monkeypatch, number, code):
    from minicnn.data import sources

    load = sources.load

    def interrupted(*words, **options):
        swallow(number)
        return load(*words, **options)

    monkeypatch.setattr(sources, "load", interrupted)
    done = command("train", "--epochs", "2", "--out", tmp_path / "r")
    assert done.code == code
    assert done.err.splitlines()[-1].startswith(f"minicnn train: stopped by {signal.Signals(number).name}")
    assert not (tmp_path / "r" / "model.safetensors").exists()


@pytest.mark.parametrize("fails", [False, True])
def test_a_signal_that_was_swallowed_decides_how_a_command_ends(command, monkeypatch, fails):
    def run(args):
        swallow(signal.SIGINT)
        if fails:
            raise RuntimeError("an image is damaged")
        return 0

    monkeypatch.setattr(COMMANDS["info"], "run", run)
    done = command("info")
    assert (done.code, done.err) == (130, "minicnn info: stopped by SIGINT\n")


def test_the_next_command_knows_nothing_of_it(command):
    with pytest.raises(Interrupted), raising():
        swallow(signal.SIGINT)
    assert command("info").code == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_after_the_last_look_is_not_lost():
    with pytest.raises(Interrupted, match="SIGINT"), StopRequest():
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(ValueError, match="worse"), StopRequest():
        os.kill(os.getpid(), signal.SIGINT)
        raise ValueError("worse")


@pytest.mark.parametrize(
    "start",
    [
        "sys.argv, sys.orig_argv = ['-m', 'info'], ['python', '-m', 'minicnn', 'info']",
        "sys.argv = ['/usr/bin/minicnn', 'info']",
    ],
)
@pytest.mark.parametrize("moment", ["numpy", "minicnn.cli"])
def test_an_interrupt_while_the_libraries_load_takes_one_line(start, moment):
    code = f"""
import os, signal, sys
{start}

class Finder:
    def find_spec(self, name, *rest):
        if name == {moment!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from minicnn.cli import main
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (130, "minicnn: interrupted\n")


def test_a_program_that_imports_minicnn_keeps_its_own_handlers():
    code = (
        "import signal, minicnn.cli\nassert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr


def test_a_signal_while_the_handlers_are_installed_is_not_lost(monkeypatch):
    from minicnn.train import signals

    handle = signals._handle

    def at_once(handler):
        before = handle(handler)
        if handler.__name__ == "_note":
            os.kill(os.getpid(), signal.SIGTERM)
        return before

    monkeypatch.setattr(signals, "_handle", at_once)
    with pytest.raises(Interrupted, match="SIGTERM"), StopRequest() as request:
        assert request.signal == signal.SIGTERM
