"""The thread pool, the memory pool and the CPU levels."""

import gc
import os
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pytest

from minicnn import backends
from minicnn.core.tape import add_gradients
from minicnn.core.tensor import Tensor
from minicnn.data import DataLoader, Dataset
from minicnn.nn import functional as F

CODE = """
import numpy as np, os, minicnn
from minicnn import _native
_native.set_threads(4)
x = np.linspace(-1, 1, 10**6, dtype=np.float32); y = np.empty_like(x)
_native.relu_forward(y, x)
"""


def run(code, **environment):
    command = [sys.executable, "-c", CODE + code]
    environment = os.environ | environment
    away = tempfile.gettempdir()  # from the checkout, whose package may be without the extension
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=away)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_levels_are_named_and_wrong_ones_refused(native):
    assert native.levels()[-1] == "baseline" and native.level() in native.levels()
    with pytest.raises(ValueError, match="expected a CPU level out of .*baseline, got 'mmx'"):
        native.set_level("mmx")


def test_a_lower_level_can_be_asked_for_from_outside():
    assert run("print(_native.level())", MINICNN_CPU_LEVEL="baseline") == "baseline"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_computes_with_threads_of_its_own():
    code = """
for _ in range(20):
    child = os.fork()
    if child == 0:
        z = np.empty_like(x)
        _native.relu_forward(z, x)
        os._exit(0 if np.array_equal(y, z) else 1)
    assert os.waitpid(child, 0)[1] == 0
    _native.relu_forward(y, x)
print("done")
"""
    assert run(code) == "done"


def test_the_child_of_a_thread_that_computes_alone_has_its_threads():
    code = """
import threading
from minicnn.core.tensor import Tensor
from minicnn.nn import functional as F
_native.set_threads(2)
image, weight = Tensor(np.ones((8, 16, 24, 24), np.float32)), Tensor(np.ones((16, 16, 3, 3), np.float32))
def scratch():
    _native.most_scratch()
    F.conv2d(image, weight, padding=1)
    return _native.most_scratch()
together, codes = scratch(), []
def work():
    _native.compute_alone()
    codes.append(scratch() - together // 2)
    child = os.fork()
    if child == 0:
        os._exit(0 if scratch() == together else 1)
    codes.append(os.waitpid(child, 0)[1])
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(codes)
"""
    assert run(code) == "[0, 0]"


def test_many_python_threads_at_once_get_the_same(native, rng):
    native.set_threads(3)
    x = rng.standard_normal(300_000).astype(np.float32)
    expected, failures = np.maximum(x, 0), []

    def work():
        for _ in range(50):
            y = np.empty_like(x)
            native.relu_forward(y, x)
            if not np.array_equal(y, expected):
                failures.append("differs")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and not any(thread.is_alive() for thread in threads)


def test_subnormal_numbers_stay(native):
    x = np.full(100_000, 1e-40, np.float32)
    y = np.empty_like(x)
    native.relu_forward(y, x)
    assert np.array_equal(y, x) and np.float32(1e-40) * np.float32(1.0) != 0
    assert 5e-324 * 1.0 != 0.0


def test_arrays_of_the_pool_are_arrays_like_any_other(native):
    array = native.empty((3, 5))
    assert array.flags.owndata and array.flags.c_contiguous and array.base is None
    assert array.shape == (3, 5) and array.dtype == np.float32 and array.ctypes.data % 64 == 0
    array.fill(2)
    array.resize((40, 50), refcheck=False)
    assert array[0, 0] == 2 and array.size == 2000
    assert native.empty((0, 4)).shape == (0, 4) and native.empty(()).shape == ()


def test_memory_is_kept_and_given_back(native):
    native.trim()
    first = native.empty((1000, 1000))
    place = first.ctypes.data
    del first
    gc.collect()
    assert native.kept() >= 4_000_000
    assert native.empty((1000, 1000)).ctypes.data == place
    native.trim()
    assert native.kept() == 0


def test_absurd_sizes_are_refused(native):
    with pytest.raises(MemoryError):
        native.empty((2**40, 2**10))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(), (0, 3), (4, 5)])
def test_sums_of_gradients(dtype, shape, rng):
    x, y = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    with backends.use_strict(dtype == "f4"):
        for other in (y, np.asarray(y).T.copy().T, np.broadcast_to(y.dtype.type(2), shape)):
            found = add_gradients(x, other)
            assert found.dtype == dtype and np.array_equal(found, x + other)
            assert not np.shares_memory(found, x) and not np.shares_memory(found, other)


def test_a_loaders_thread_computes_alone_and_leaves_the_pool_to_others(native):
    """Each thread that shares a call has scratch memory of its own, so that the sum says how many did."""
    x = Tensor(np.ones((8, 16, 24, 24), np.float32))
    weight = Tensor(np.ones((16, 16, 3, 3), np.float32))

    def scratch():
        native.most_scratch()
        F.conv2d(x, weight, padding=1)
        return native.most_scratch()

    class Measured(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return scratch()

    native.set_threads(1)
    of_one = scratch()
    native.set_threads(2)
    here, there = ([n.item() for n in DataLoader(Measured(), num_workers=count)] for count in (0, 1))
    assert of_one > 0 and here == [2 * of_one] * 3 and there == [of_one] * 3
    assert scratch() == 2 * of_one
