"""Every kernel gives what its reference gives, on every call that the operation table makes."""

from collections import defaultdict

import numpy as np
import pytest

from minicnn import backends
from minicnn.core import dispatch
from minicnn.core.dispatch import Declined
from minicnn.core.op import ops
from minicnn.errors import BackendError
from minicnn.testing import check_case, kernels, op_registry
from minicnn.testing.tolerance import compare, float32_bound, magnitude

ACCELERATED = [name for name in backends.names() if name != "numpy"]


class Spy:
    """Stands in for a kernel: calls it and the reference, and writes down how they differ."""

    def __init__(self, kernel, backend):
        self.kernel = kernel
        self.overlay = kernel.overlays[backend]
        self.served = 0
        self.reasons = set()
        self.differences = []

    def __call__(self, xp, *operands, **attributes):
        before = [copied(operand) for operand in operands]
        result = self.overlay(xp, *operands, **attributes)
        if any(differences(a, b, 0.0) for a, b in zip(operands, before, strict=True)):
            self.differences.append("an operand was changed")
        if isinstance(result, Declined):
            self.reasons.add(result.reason)
            return result
        self.served += 1
        expected = self.kernel.reference(xp, *operands, **attributes)
        length = sum(operand.size for operand in leaves(operands))
        found = differences(result, expected, float32_bound(max(length, 1)))
        if found:  # where all digits cancel, the reference's are as wrong
            exact = self.kernel.reference(xp, *copied(operands, np.float64), **attributes)
            found = found if errors(result, exact) > errors(expected, exact) else []
        self.differences += found
        return result


def leaves(value):
    """All arrays in nested tuples."""
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in leaves(item)]
    return [value] if hasattr(value, "dtype") else []


def copied(value, floats=None):
    """All arrays copied, those of floating point numbers to the type ``floats``."""
    if isinstance(value, (tuple, list)):
        return tuple(copied(item, floats) for item in value)
    if not hasattr(value, "dtype"):
        return value
    return value.astype(floats if floats and value.dtype.kind == "f" else value.dtype)


def errors(actual, exact):
    """The largest difference of all numbers of nested tuples; infinite if there are NaNs."""
    pairs = zip(leaves(actual), leaves(exact), strict=True)
    worst = max((np.abs(a - b.astype(np.float64)).max(initial=0.0) for a, b in pairs), default=0.0)
    return float(np.nan_to_num(worst, nan=np.inf))


def differences(actual, expected, relative):
    pairs = zip(leaves(actual), leaves(expected), strict=True)
    found = [compare(a, b, relative * magnitude(b)) for a, b in pairs]
    types = [a.dtype == b.dtype for a, b in zip(leaves(actual), leaves(expected), strict=True)]
    return [message for message in found if message] + ["dtype differs"] * types.count(False)


@pytest.fixture(scope="module", params=ACCELERATED)
def spies(request):
    """The spies of one backend's kernels, after all rows ran on it in every layout."""
    backend = request.param
    reason = backends.unavailable(backend)
    if reason is not None:
        pytest.skip(reason)
    place = "cpu" if backends.load(backend).array_type is np.ndarray else "cuda"
    with pytest.MonkeyPatch.context() as patch:
        found = {}
        for name, kernel in dispatch.kernels.items():
            if backend in kernel.overlays and name.removesuffix(".backward") in ops:  # updates: tests/optim
                found[name] = Spy(kernel, backend)
                patch.setitem(kernel.overlays, backend, found[name])
        with backends.use_backend(backend):
            failures = [
                failure
                for case in op_registry().values()
                for failure in check_case(case, checks=["float32", "layouts", "freed"], place=place).failures
            ]
    return found, failures


def test_rows_pass_on_the_backend(spies):
    assert spies[1] == []


def test_kernels_equal_their_references(spies):
    wrong = {name: spy.differences[:3] for name, spy in spies[0].items() if spy.differences}
    assert wrong == {}


def test_every_kernel_serves_some_call_and_gives_reasons_where_it_declines(spies):
    assert [name for name, spy in spies[0].items() if spy.served == 0] == []
    assert [name for name, spy in spies[0].items() if "" in spy.reasons] == []


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
