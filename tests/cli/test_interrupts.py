"""Ctrl-C and SIGTERM at any moment: exit code 130 or 143, one line, and never lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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


def children_of(parent):
    """Their ids and command lines; as Linux tells."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                yield int(folder.name), (folder / "cmdline").read_text()
        except OSError:  # it has ended
            continue


def worker_processes(parent):
    return [number for number, line in children_of(parent) if "spawn_main" in line]


@pytest.fixture
def training(tmp_path):
    """One with two worker processes, and a process group of its own."""
    words = ["train", "--epochs", "40", "--workers", "2", "--processes", "--batch-size", "8", "--out"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "minicnn", *words, tmp_path / "run"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def wait_for(condition):
    for _ in range(3000):
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("never came")


linux = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for worker processes in /proc")


@linux
@pytest.mark.parametrize(
    "number, code, moment",
    [
        (signal.SIGTERM, 143, "start"),
        (signal.SIGINT, 130, "start"),
        (signal.SIGTERM, 143, "middle"),
        (signal.SIGINT, 130, "middle"),
    ],
)
def test_a_signal_for_the_whole_process_group_leaves_a_checkpoint(training, tmp_path, number, code, moment):
    """As a terminal, a scheduler or `timeout` sends it: to the worker processes too."""
    wait_for(lambda: worker_processes(training.pid))
    if moment == "middle":
        metrics = tmp_path / "run" / "metrics.jsonl"
        wait_for(lambda: metrics.exists() and "epoch" in metrics.read_text())
    os.killpg(training.pid, number)
    errors = training.communicate(timeout=60)[1]
    assert training.returncode == code, errors
    assert f"stopped by {signal.Signals(number).name}; saved" in errors.splitlines()[-1]
    assert list((tmp_path / "run" / "checkpoints").glob("*.safetensors"))


@linux
def test_worker_processes_end_with_a_training_that_is_killed(training):
    workers = wait_for(lambda: len(found := worker_processes(training.pid)) == 2 and found)
    training.kill()
    training.wait()
    wait_for(lambda: not any(os.path.exists(f"/proc/{worker}") for worker in workers))
