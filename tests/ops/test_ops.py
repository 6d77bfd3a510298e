"""Every promise of minicnn.testing.checks, for every row of the operation table, on every device."""

import numpy as np
import pytest

import minicnn.nn.functional  # noqa: F401 - so that every operation is registered
from minicnn import backends
from minicnn.core.op import Op, ops
from minicnn.testing import CHECKS, check_case, op_registry

ROWS = op_registry()
no_gpu = backends.unavailable("cuda")

# Operations without a row of their own, and why.
WITHOUT_ROW = {"to_device": "its result depends on the device; see tests/core/test_device.py"}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ROWS)
def test_every_row_passes(name, check):
    report = check_case(ROWS[name], checks=[check])
    assert report.ok, str(report)


@pytest.mark.gpu
@pytest.mark.skipif(no_gpu is not None, reason=str(no_gpu))
@pytest.mark.parametrize("name", ROWS)
def test_every_row_passes_on_a_gpu(name):
    report = check_case(ROWS[name], place="cuda")
    assert report.ok, str(report)


def package_operations():
    """All operations that the package itself registers; tests may have registered others."""
    return {name: op for name, op in ops.items() if op.__module__.startswith("minicnn.")}


def test_every_operation_has_a_row():
    rowed = {case.function.name for case in ROWS.values() if isinstance(case.function, Op)}
    assert sorted(package_operations().keys() - rowed - WITHOUT_ROW.keys()) == []


@pytest.mark.parametrize("name", [name for name, case in ROWS.items() if isinstance(case.function, Op)])
def test_samples_cover_every_attribute(name):
    case = ROWS[name]
    samples = case.samples(np.random.default_rng(0))
    varied = {key for sample in samples for key, value in sample.attrs.items() if differs(case, key, value)}
    assert sorted(case.function.defaults.keys() - varied) == []


def differs(case, key, value):
    default = case.function.defaults.get(key)
    return isinstance(value, np.ndarray) or type(value) is not type(default) or value != default


@pytest.mark.parametrize("name", ROWS)
def test_every_differentiable_row_checks_gradients(name):
    case = ROWS[name]
    report = check_case(case, checks=["gradient"])
    assert case.differentiable == bool(report.gradients)
    assert not case.differentiable or report.checked > 0
