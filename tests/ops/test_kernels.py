"""Every compiled kernel gives what the oracles give, on every call that the operation table makes."""

from collections import defaultdict

import numpy as np
import pytest

from minicnn import backends
from minicnn.core import dispatch, random
from minicnn.errors import BackendError
from minicnn.testing import check_case, kernels, op_registry
from minicnn.testing.overlays import check_kernel, place_of, reached

ACCELERATED = [name for name in backends.names() if name != "numpy"]

# Kernels that no operation goes through, such as parameter updates, and where they are compared.
# Those of all backends are in tests/optim/test_rules.py.
WITHOUT_ROW = {
    "sgd_update": "tests/kernels/test_update.py",
    "adam_update": "tests/kernels/test_update.py",
    "add_gradients": "tests/kernels/test_elementwise.py",
    "crop_images": "tests/kernels/test_crop_and_warp.py",
    "warp_images": "tests/kernels/test_crop_and_warp.py",
    "standardize_bytes": "tests/kernels/test_images.py",
}


@pytest.fixture(scope="module", params=ACCELERATED)
def backend(request):
    """A backend that is there, with its kernels attached."""
    reason = backends.unavailable(request.param)
    if reason is not None:
        pytest.skip(reason)
    backends.load(request.param)
    return request.param


@pytest.fixture(scope="module")
def rows_of(backend):
    """By kernel of the backend: the rows that go through it."""
    found = {name: [] for name, kernel in dispatch.kernels.items() if backend in kernel.overlays}
    for case in op_registry().values():
        for name in reached(case, backend, case.samples(random.new_generator(0))) & found.keys():
            found[name].append(case)
    return found


def test_every_kernel_has_a_row(rows_of):
    assert [name for name, rows in rows_of.items() if not rows and name not in WITHOUT_ROW] == []


def test_kernels_are_right(backend, rows_of):
    reports = [check_kernel(name, backend, rows) for name, rows in rows_of.items() if rows]
    assert all(reports), "\n".join(str(report)[:2000] for report in reports if not report)


def test_rows_pass_on_the_backend(backend, rows_of):
    """All kernels together, on all checks that run forward and backward."""
    checks = ["forward", "exact", "float32", "layouts", "nonfinite", "freed"]
    together = {case.name: case for rows in rows_of.values() for case in rows}
    with backends.use_backend(backend):
        reports = [check_case(case, checks=checks, place=place_of(backend)) for case in together.values()]
    assert all(reports), "\n".join(str(report)[:2000] for report in reports if not report)


def test_native_serves_float32_in_strict_mode_and_refuses_float64():
    if backends.unavailable("native"):
        pytest.skip(backends.unavailable("native"))
    relu = op_registry()["relu"].function
    before = served("relu", "native")
    with backends.use_backend("native"), backends.use_strict():
        relu(np.ones((2, 3), np.float32))
        with pytest.raises(BackendError, match="float64; the kernel is for float32"):
            relu(np.ones((2, 3)))
    assert served("relu", "native") == {"kernel": before["kernel"] + 1, "reference": before["reference"] + 1}


def served(kernel, backend):
    counts = backends.report().get(kernel, {}).get(backend, defaultdict(int))
    return {key: counts[key] for key in ("kernel", "reference")}


def test_kernels_are_callable_on_arrays():
    x = np.array([-1.0, -0.0, 2.0, np.nan, np.inf, -np.inf, 1e-40, -1e-40], np.float32)
    for backend, kernel in kernels()["relu"].items():
        y, _ = kernel(x)
        expected = np.maximum(x, 0)
        assert np.array_equal(y, expected, equal_nan=True), backend
        assert np.array_equal(np.signbit(y), np.signbit(expected)), backend
