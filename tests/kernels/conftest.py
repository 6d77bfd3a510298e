"""What the tests of the compiled kernels share. Without the extension they are skipped, with its reason."""

import pytest

from minicnn import backends

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
