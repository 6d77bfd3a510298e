"""The examples in the docstrings run, in every module of the installed package."""

import doctest
import importlib
import pkgutil

import pytest

import minicnn
from minicnn import backends

MODULES = ["minicnn", *(m.name for m in pkgutil.walk_packages(minicnn.__path__, "minicnn."))]
ELSEWHERE = ("__main__", "with_jax", "with_onnxruntime", "with_torch")  # run only in processes of their own


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith(ELSEWHERE)])
def test_doctests(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package, _, backend = name.rpartition(".")[0].rpartition(".")
    if package == "minicnn.backends" and backends.unavailable(backend):
        pytest.skip(backends.unavailable(backend))
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples failed: see the output"
