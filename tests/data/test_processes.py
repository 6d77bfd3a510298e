"""Worker processes: the same batches as in this process, and errors that reach it."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, OrderedDict
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from minicnn import transforms
from minicnn.core.random import generator
from minicnn.core.tensor import Tensor
from minicnn.data import DataLoader, Dataset, processes
from minicnn.data.processes import ordered_in_processes
from minicnn.data.vision import ImageArrays
from minicnn.errors import OptionError, ShapeError


@pytest.fixture(autouse=True)
def _found_by_workers(monkeypatch):
    """They import this module by its name; the package itself stays the one under test."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[2])])


class Noisy(Dataset):
    """Random numbers that depend on the generator in force."""

    def __len__(self):
        return 23

    def __getitem__(self, index):
        return Tensor(generator().random((3, index % 5 + 1))[:, :1]), {"index": index, "name": f"no. {index}"}


def batches(dataset, **options):
    loader = DataLoader(dataset, batch_size=4, shuffle=True, seed=7, **options)
    return [list(loader), list(loader), list(loader.batches(start=3))]


def same(a, b):
    if isinstance(a, Tensor):
        return type(b) is Tensor and a.dtype == b.dtype and (a.numpy() == b.numpy()).all()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("workers", [1, 3])
def test_processes_give_the_same_batches(workers):
    here = batches(Noisy())
    there = batches(Noisy(), num_workers=workers, multiprocessing_context="spawn")
    assert same(here, there)
    assert not same(here[0], here[1])


def test_images_with_random_changes_are_the_same():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 9, 9, 3), np.uint8)
    chain = transforms.Compose([transforms.RandomCrop(9, padding=2), transforms.ToTensor()])
    images = ImageArrays(pixels, np.arange(20) % 3, list("abc"), chain)
    assert same(batches(images), batches(images, num_workers=2, multiprocessing_context="spawn"))


class Pair(NamedTuple):
    number: int
    array: np.ndarray


def answers(number):
    """Results of every kind and of growing size."""
    return [
        Pair(number, np.arange(number, dtype=np.int16)),
        (np.array(["text"]), None, np.empty((0, 3)), Tensor(np.float32(number))),
        np.ones((number % 3 * 100_000 + 1,)),
    ]


def test_results_of_any_kind_and_size():
    options = {"workers": 2, "ahead": 5, "timeout": 30, "init": None}
    results = list(ordered_in_processes(answers, iter(range(20)), **options))
    for number, (pair, others, large) in enumerate(results):
        assert type(pair) is Pair and pair.array.tolist() == list(range(number))
        assert others[0].tolist() == ["text"] and others[1] is None and others[2].shape == (0, 3)
        assert others[3].item() == number and type(others[3]) is Tensor
        assert large.sum() == number % 3 * 100_000 + 1


def test_tasks_and_results_may_be_larger_than_what_a_pipe_holds():
    options = {"workers": 1, "ahead": 6, "timeout": 30, "init": None}
    assert list(ordered_in_processes(str.upper, iter(["x" * 500_000] * 9), **options)) == ["X" * 500_000] * 9


class Record(dict):
    """A mapping of somebody's own."""


KINDS = [
    np.ma.masked_equal(np.arange(3.0), 1),
    OrderedDict(b=np.ones(2), a=1),
    Counter("aab"),
    Record(x=np.ones(2)),
    {"days": np.array(["2020-01-01"], "M8[D]"), "rows": np.arange(6).reshape(2, 3).T},
    np.rec.array([(1, 2.0)], [("a", int), ("b", float)]),
]


def kind(number):
    return KINDS[number]


def test_results_keep_their_types():
    options = {"workers": 1, "ahead": 2, "timeout": 30, "init": None}
    for value, result in zip(KINDS, ordered_in_processes(kind, iter(range(6)), **options), strict=True):
        assert type(result) is type(value) and repr(result) == repr(value)


def ends_a_program(number):
    program = subprocess.Popen(["sleep", "30"])
    program.terminate()
    return program.wait(10)


def test_programs_that_a_worker_starts_heed_signals():
    options = {"workers": 1, "ahead": 2, "timeout": 30, "init": None}
    assert list(ordered_in_processes(ends_a_program, iter([0]), **options)) == [-signal.SIGTERM]


class UnsendableError(Exception):
    def __init__(self, a, b):
        super().__init__(a)


def fails(number):
    if number == 3:
        raise ShapeError(expected="three", got="four", op="test")
    if number == 7:
        return threading.Lock()
    if number == 13:
        raise UnsendableError(1, 2)
    return number


def test_errors_reach_the_caller_with_their_place():
    options = {"workers": 2, "ahead": 2, "timeout": 30, "init": None}
    results = ordered_in_processes(fails, iter([0, 1, 2, 3, 4]), **options)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ShapeError, match="expected three, got four") as caught:
        next(results)
    assert "in fails" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError) as caught:
        list(ordered_in_processes(fails, iter([13]), **options))
    assert "Unsendable" in "".join(caught.value.__notes__)
    with pytest.raises(TypeError, match="cannot pickle"):
        list(ordered_in_processes(fails, iter([7]), **options))


def dies(number):
    os.kill(os.getpid(), signal.SIGKILL)


def sleeps(number):
    time.sleep(600)


def test_a_worker_that_ends_or_hangs_is_noticed():
    options = {"workers": 1, "ahead": 2, "init": None}
    with pytest.raises(RuntimeError, match="ended with exit code -9"):
        list(ordered_in_processes(dies, iter([0]), timeout=30, **options))
    with pytest.raises(TimeoutError, match="no batch came within 0.2 seconds"):
        list(ordered_in_processes(sleeps, iter([0]), timeout=0.2, **options))


def no_start(number):
    raise ValueError("no start")


def test_a_failing_init_is_reported():
    with pytest.raises(ValueError, match="no start"):
        list(ordered_in_processes(fails, iter([0, 1]), workers=1, ahead=2, timeout=30, init=no_start))


named = lambda image: image  # noqa: E731 - pickle refuses it by another error than one within a function


def test_what_cannot_be_sent_is_refused():
    pixels = np.zeros((4, 3, 3), np.uint8)
    for transform in (lambda image: image, named):
        images = ImageArrays(pixels, np.zeros(4, int), ["a"], transform)
        with pytest.raises(OptionError, match="cannot be sent to a process"):
            list(DataLoader(images, num_workers=1, multiprocessing_context="spawn"))
    with pytest.raises(OptionError, match="a forked process may hang"):
        DataLoader(images, num_workers=1, multiprocessing_context="fork")


class Noted(SharedMemory):
    """A block that writes its name down, for it is the machine that all blocks of /dev/shm belong to."""

    names = None  # a file

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        with open(self.names, "a") as names:
            print(self.name, file=names)


@pytest.fixture
def noted(monkeypatch, tmp_path):
    """Where the names of this process's blocks are written."""
    if not os.path.isdir("/dev/shm") or not os.statvfs("/dev/shm").f_blocks:
        pytest.skip("shared memory cannot be looked at here")
    monkeypatch.setattr(Noted, "names", tmp_path / "names")
    monkeypatch.setattr(processes, "SharedMemory", Noted)
    return tmp_path / "names"


def left_behind(names):
    """Whether none, some or all of them are still there."""
    return [os.path.exists(os.path.join("/dev/shm", name)) for name in names.read_text().split()]


def too_large(names):
    """More than the system shares, all of it a hole in a file."""
    Noted.names, processes.SharedMemory = names, Noted
    system = os.statvfs("/dev/shm")
    return np.asarray(np.memmap(f"{names}.hole", mode="w+", shape=system.f_blocks * system.f_frsize + 1))


def test_too_little_shared_memory_is_an_error_that_says_what_to_do(noted):
    with pytest.raises(OSError, match="no room for .* bytes .* fewer workers.*--shm-size") as caught:
        list(ordered_in_processes(too_large, iter([noted]), workers=1, ahead=2, timeout=30, init=None))
    assert caught.value.errno == errno.ENOSPC
    assert left_behind(noted) == [False]


def test_busy_workers_end_at_the_same_time(monkeypatch):
    """All of them share the patience: what one has used up the next does not get again."""
    monkeypatch.setattr("minicnn.data.processes._PATIENCE", 0.3)
    granted, join = [], processes._Worker.join
    monkeypatch.setattr(processes._Worker, "join", lambda one, time: granted.append(time) or join(one, time))
    results = ordered_in_processes(sleeps, iter(range(9)), workers=9, ahead=9, timeout=0.1, init=None)
    with pytest.raises(TimeoutError):
        next(results)
    assert len(granted) == 9 and sum(granted[1:]) <= 0.3  # the others of each, one after the other: 2.4
    assert multiprocessing.active_children() == []


def test_an_interrupt_while_workers_end_leaves_none(monkeypatch):
    """Or the program would wait for them when it ends."""
    results = ordered_in_processes(sleeps, iter(range(2)), workers=2, ahead=2, timeout=0.1, init=None)

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("minicnn.data.processes.time.monotonic", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert multiprocessing.active_children() == []


def test_a_program_may_end_in_the_middle_of_a_pass(tmp_path):
    """The workers, who heed no signal, end before multiprocessing waits for them; blocks of memory go."""
    script = tmp_path / "script.py"
    script.write_text("""
import minicnn
from tests.data.test_processes import Noisy

if __name__ == "__main__":
    loader = minicnn.data.DataLoader(Noisy(), num_workers=2, multiprocessing_context="spawn")
    batches = iter(loader)
    next(batches)
""")
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (done.returncode, done.stderr) == (0, "")


class Hanging(Noted):
    """A block that is there, and takes for ever to be filled."""

    @property
    def buf(self):
        time.sleep(60)


_calls = []  # in a worker


def answers_then_hangs(names):
    """A block at once; for the next, larger one, it takes for ever."""
    _calls.append(names)
    Noted.names, processes.SharedMemory = names, Noted if len(_calls) == 1 else Hanging
    return np.zeros(1000 * len(_calls))


def test_no_block_of_a_worker_that_is_killed_is_left_behind(noted, monkeypatch):
    """Neither that of an answer nobody has taken, nor that of the task in hand."""
    monkeypatch.setattr("minicnn.data.processes._PATIENCE", 0.3)
    tasks = iter([noted] * 4)
    results = ordered_in_processes(answers_then_hangs, tasks, workers=2, ahead=4, timeout=1, init=None)
    next(results)
    with pytest.raises(TimeoutError):
        list(results)
    assert len(left_behind(noted)) > 2
    assert not any(left_behind(noted))


def test_no_block_of_memory_is_left_behind(noted):
    results = ordered_in_processes(answers, iter(range(9)), workers=2, ahead=5, timeout=30, init=None)
    next(results)
    assert left_behind(noted) == [True]
    results.close()
    assert left_behind(noted) == [False]
