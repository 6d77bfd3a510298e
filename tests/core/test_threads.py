"""One number caps every thread pool."""

from __future__ import annotations

import subprocess
import sys

import pytest
import threadpoolctl

from minicnn.core import threads
from minicnn.errors import OptionError


@pytest.fixture(autouse=True)
def restored():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)
    threads._threads = 0


def test_set_num_threads_caps_blas():
    threads.set_num_threads(1)
    assert threads.get_num_threads() == 1
    assert all(library["num_threads"] == 1 for library in threadpoolctl.threadpool_info())


def test_set_num_threads_caps_a_library_that_came_since():
    pytest.importorskip("scipy")
    code = (
        "from minicnn.core.threads import set_num_threads; import threadpoolctl as t\n"
        "set_num_threads(2); before = len(t.threadpool_info())\n"
        "import scipy.linalg; assert len(t.threadpool_info()) > before\n"
        "set_num_threads(1); print({library['num_threads'] for library in t.threadpool_info()})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "{1}\n", done.stdout + done.stderr


def test_after_a_block_nothing_is_chosen_if_nothing_was():
    for inside in (1, 2):
        with threads.use_threads(inside):
            assert threads.chosen_threads() == inside
        assert threads.chosen_threads() == 0
    threads.set_num_threads(2)
    with threads.use_threads(1):
        pass
    assert threads.chosen_threads() == 2


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "2", None, 1025, 10**30])
def test_set_num_threads_refuses(number):
    with pytest.raises(OptionError, match="from 1 to 1024"):
        threads.set_num_threads(number)


def test_listeners_hear_of_the_number(monkeypatch):
    monkeypatch.setattr(threads, "_listeners", [])
    monkeypatch.setattr(threads, "_threads", 0)
    heard = []
    threads.on_change(heard.append)
    assert heard == []
    threads.set_num_threads(1)
    threads.on_change(heard.append)
    assert heard == [1, 1]


@pytest.mark.parametrize(
    "value, result", [("1", "1"), ("", "default"), ("x", "error"), ("0", "error"), ("²", "error")]
)
def test_environment(value, result):
    code = (
        "from minicnn.core import threads\n"
        "print('default' if threads.get_num_threads() == threads.processors() else threads.get_num_threads())"
    )
    code = code if value != "1" else "from minicnn.core import threads\nprint(threads.get_num_threads())"
    import os

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MINICNN_NUM_THREADS": value},
        capture_output=True,
        text=True,
    )
    if result == "error":
        assert "OptionError" in done.stderr
    else:
        assert done.stdout.strip() == result
