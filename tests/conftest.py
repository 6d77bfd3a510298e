"""What all tests share."""

from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

import minicnn
from minicnn import backends
from minicnn.core import dispatch, random, threads
from minicnn.core.op import ops

ROOT = Path(__file__).parents[1]


def pytest_report_header(config):
    return (
        f"minicnn {minicnn.__version__} from {Path(minicnn.__file__).parent}, backends: {backends.status()}"
    )


def pytest_xdist_auto_num_workers(config):
    """Several processes for the whole suite; none for a part of it, which so starts faster."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return min(4, threads.processors()) if whole else 0


def _stale() -> list[str]:
    """Modules of the checkout that differ from those under test, if these are an installed copy."""
    installed = Path(minicnn.__file__).parent
    modules = (ROOT / "minicnn").rglob("*.py")
    pairs = [(module, installed / module.relative_to(ROOT / "minicnn")) for module in modules]
    return [str(a) for a, b in pairs if not b.exists() or a.read_bytes() != b.read_bytes()]


def pytest_configure(config):
    if stale := _stale():
        raise pytest.UsageError(
            f"the installed minicnn is not this checkout: {stale[0]} differs; install it again, "
            'or once by pip install -e ".[test]"'
        )
    if hasattr(config, "workerinput"):  # the processes share the cores among them
        threadpoolctl.threadpool_limits(1)


@pytest.fixture(autouse=True)
def _same_random_numbers_for_every_test():
    random.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _a_cache_of_their_own(tmp_path_factory):
    """Tests neither use nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINICNN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


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
