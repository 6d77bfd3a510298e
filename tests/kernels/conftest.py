"""What the tests of the compiled kernels share. Without the extension they are skipped, with its reason."""

import numpy as np
import pytest

from minicnn import backends

GUARD = 64  # numbers before and behind a result
LEVELS = ("avx512", "avx2", "baseline")


@pytest.fixture(autouse=True)
def native():
    """The native backend, active; threads and CPU level are restored after the test."""
    reason = backends.unavailable("native")
    if reason:
        pytest.skip(reason)
    from minicnn import _native

    before = _native.level(), _native.threads()
    with backends.use_backend("native"):
        yield _native
    _native.set_level(before[0])
    _native.set_threads(before[1])


@pytest.fixture(params=LEVELS)
def level(request, native):
    """Each CPU level that this machine has."""
    if request.param not in native.levels():
        pytest.skip(f"this processor has no {request.param}")
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
