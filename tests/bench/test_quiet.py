"""Waiting for a quiet machine."""

import subprocess
import sys

import pytest

from minicnn.bench import quiet
from minicnn.bench.steps import clock


@pytest.fixture
def machine(monkeypatch):
    """``machine(0.5, 0.0)``: processors that others use at each look; a look takes one second."""
    now = {"time": 0.0, "busy": 0.0}
    queue = []

    def sleep(seconds):
        now["time"] += 1.0
        now["busy"] += queue.pop(0)

    monkeypatch.setattr(quiet.time, "sleep", sleep)
    monkeypatch.setattr(quiet.time, "perf_counter", lambda: now["time"])
    monkeypatch.setattr(clock, "snapshot", lambda: clock.Snapshot(now["time"], 0.0, now["busy"], 0.0, 0))
    monkeypatch.setattr(quiet, "processes", lambda: {7: ("sleepy", 0.0), 8: ("hungry", now["busy"])})
    return lambda *others: queue.extend(others) or queue


def test_a_quiet_machine_is_not_waited_for(machine):
    left = machine(0.1, 0.5)
    quiet.Patience(10, pytest.fail).wait()
    assert left == [0.5]


def test_who_is_waited_for_is_told_at_once_and_then_how_it_stands(machine):
    machine(0.5, 0.4, 0.3, 0.0)
    told = []
    quiet.Patience(10, told.append).wait()
    assert told == [
        "the machine is busy: others used 0.50 CPU (hungry (8) 0.50); waiting for it, 1 of 10 s",
        "the machine is busy: others used 0.30 CPU (hungry (8) 0.30); waiting for it, 3 of 10 s",
    ]


def test_it_is_not_waited_for_longer_than_the_limit(machine):
    left = machine(*[0.5] * 9)
    with pytest.raises(quiet.BusyError, match=r"busy: others used 0.50 CPU .*; waited 3 s"):
        quiet.Patience(3, lambda text: None).wait()
    assert len(left) == 6
    with pytest.raises(quiet.BusyError):
        quiet.Patience(0, pytest.fail).wait()


def test_other_processes_are_seen_and_this_one_is_not():
    if not sys.platform.startswith("linux"):
        pytest.skip("no /proc")
    import os

    code = "import sys; sum(range(10**6)); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as other:
        other.stdout.readline()
        found = quiet.processes()
        other.stdin.close()
    assert found[other.pid][0].startswith("python") and found[other.pid][1] > 0
    assert os.getpid() not in found
