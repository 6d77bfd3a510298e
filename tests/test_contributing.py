"""The worked example of CONTRIBUTING.md: a new operation is one file's code and one row."""

import re
from pathlib import Path

import numpy as np
import pytest

from minicnn.core import dispatch
from minicnn.core.op import ops
from minicnn.errors import GradError
from minicnn.testing import check_case

CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"


@pytest.fixture
def example():
    """The names that the two Python blocks define; the operation is unregistered afterwards."""
    blocks = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    names = {"__name__": "contributing"}
    try:
        for block in blocks:
            exec(compile(block, "CONTRIBUTING.md", "exec"), names)
        yield names
    finally:
        ops.pop("hardswish", None)
        for name in ("hardswish", "hardswish.backward"):
            dispatch.kernels.pop(name, None)


def test_example_passes_every_check(example):
    report = check_case(example["row"])
    assert report.ok, str(report)


def test_example_fails_once_its_backward_is_wrong(example):
    kernel = example["hardswish"].backward_kernel
    right = kernel.reference
    kernel.reference = lambda xp, gy, saved, needs: (right(xp, gy, saved, needs)[0] * np.float64(1.001),)
    try:
        assert not check_case(example["row"]).ok
    except GradError as error:
        assert "hardswish" in str(error)
