"""What all tests share."""

from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import backends
from minicnn.core import dispatch, random
from minicnn.core.op import ops

ROOT = Path(__file__).parents[1]


def pytest_report_header(config):
    return (
        f"minicnn {minicnn.__version__} from {Path(minicnn.__file__).parent}, backends: {backends.status()}"
    )


@pytest.fixture(autouse=True)
def _same_random_numbers_for_every_test():
    random.manual_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data sets beside the repository; tests that need it are skipped without."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no data sets beside the repository ({path.relative_to(ROOT.parent)})")
    return path


@pytest.fixture
def temporary_operations():
    """Operations that a test defines are forgotten after it."""
    before = dict(ops), dict(dispatch.kernels)
    yield
    for registry, contents in zip((ops, dispatch.kernels), before, strict=True):
        registry.clear()
        registry.update(contents)
