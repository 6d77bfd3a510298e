"""What the tests of compiled kernels share: all CPU levels, any number of threads, nothing written beside."""

import numpy as np
import pytest

from minicnn import backends

GUARD = 64  # numbers before and behind a result


@pytest.fixture
def native():
    """The extension, with the level and the threads it has now; they are put back."""
    if reason := backends.unavailable("native"):
        pytest.skip(reason)
    from minicnn import _native

    before = _native.level(), _native.threads()
    yield _native
    _native.set_level(before[0])
    _native.set_threads(before[1])


@pytest.fixture(params=("avx512", "avx2", "baseline"))
def level(request, native):
    """Each CPU level in turn."""
    if request.param not in native.levels():
        pytest.skip(f"this CPU has no {request.param}")
    native.set_level(request.param)
    return request.param


@pytest.fixture
def steady(native):
    """steady(call): its arrays, after making sure that they are the same for any number of threads, twice."""

    def check(call):
        results = []
        for threads in (1, 1, 2, 3, 4, 8, 8):
            native.set_threads(threads)
            results.append([np.asarray(array) for array in call() if array is not None])
        for found in results[1:]:
            assert [a.tobytes() for a in found] == [a.tobytes() for a in results[0]]
        return results[0]

    return check


@pytest.fixture
def guarded():
    """guarded(call, shape): a new array that call(array) has filled, and nothing around it."""

    def fill(call, shape):
        size = int(np.prod(shape))
        memory = np.full(size + 2 * GUARD, -12345.0, np.float32)
        y = memory[GUARD : GUARD + size].reshape(shape)
        call(y)
        assert (memory[:GUARD] == -12345.0).all(), "written before the result"
        assert (memory[GUARD + size :] == -12345.0).all(), "written behind the result"
        return y

    return fill
