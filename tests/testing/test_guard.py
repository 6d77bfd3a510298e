"""Guarded arrays: whole inside, and deadly one element over on the side that is guarded."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from minicnn.errors import OptionError
from minicnn.testing.guard import available, guarded

pytestmark = pytest.mark.skipif(not available(), reason="guard pages are for Linux")

TOUCH = """
import ctypes, faulthandler, sys
import numpy as np
from minicnn.testing.guard import guarded
x = guarded(np.arange(5, dtype=np.float32), end=sys.argv[1])
pointer = ctypes.cast(x.ctypes.data, ctypes.POINTER(ctypes.c_float))
assert [pointer[i] for i in range(5)] == [0, 1, 2, 3, 4]
print("inside", flush=True)
element = pointer[int(sys.argv[2])]
print("outside", flush=True)
"""


def touch(end, index):
    """The exit status of a process that reads one element by its index, and how far it came."""
    environment = os.environ | {"PYTHONFAULTHANDLER": ""}
    done = subprocess.run(
        [sys.executable, "-c", TOUCH, end, str(index)],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.returncode, done.stdout.split()


@pytest.mark.parametrize(("end", "index"), [("end", 5), ("start", -1)])
def test_one_element_over_is_deadly(end, index):
    assert touch(end, index) == (-signal.SIGSEGV, ["inside"])


def test_the_last_element_is_not():
    assert touch("end", 4) == (0, ["inside", "outside"])


@pytest.mark.parametrize("end", ["start", "end"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, ">f4"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (7, 5), (1500,), (1024,)])
def test_it_is_a_copy_that_can_be_written(shape, dtype, end):
    x = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape), dtype)
    y = guarded(x, end)
    assert np.array_equal(x, y) and (y.dtype, y.shape) == (x.dtype, x.shape)
    assert y.flags.c_contiguous and y.flags.aligned and y.flags.writeable
    y[...] = 1
    assert (y == 1).all()


def test_views_keep_the_memory():
    view = guarded(np.arange(4.0))[1:]
    assert view.tolist() == [1.0, 2.0, 3.0]


def test_unknown_end_is_refused():
    with pytest.raises(OptionError, match="'start' or 'end', got 'left'"):
        guarded(np.ones(2), "left")
