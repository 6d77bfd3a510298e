"""Which backends there are, why one is missing, and how one is chosen."""

import os
import subprocess
import sys
import types

import numpy as np
import pytest

import minicnn
from minicnn import backends
from minicnn.backends import cupy as cuda
from minicnn.backends import native
from minicnn.core import dispatch
from minicnn.errors import BackendError


def test_status_names_every_backend_and_one_is_active_for_numpy_arrays():
    status = backends.status()
    assert tuple(status) == backends.names() == ("numpy", "numba", "native", "cuda")
    assert status[backends.active(np.ndarray).name] == "active"
    for name, text in status.items():
        reason = backends.unavailable(name)
        assert text == reason if reason else text in ("active", "available")


def test_native_is_the_default_where_it_is_built(tmp_path):
    expected = "numpy" if native.unavailable() else "native"
    assert run("print(backends.active().name)", tmp_path) == expected


def run(code, folder, **environment):
    """What a fresh interpreter prints, or the last line of its error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MINICNN_")}
    command = [sys.executable, "-c", f"import minicnn\nfrom minicnn import backends\n{code}"]
    done = subprocess.run(command, cwd=folder, env=kept | environment, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().splitlines()[-1]


def test_environment_chooses_the_backend(tmp_path):
    assert run("print(backends.active().name)", tmp_path, MINICNN_BACKEND="numpy") == "numpy"


def test_environment_with_an_unknown_backend_is_refused(tmp_path):
    error = run("", tmp_path, MINICNN_BACKEND="fast")
    assert error.endswith(
        "BackendError: MINICNN_BACKEND: expected a backend out of numpy, numba, native, cuda, got 'fast'"
    )


def test_strict_mode_of_the_environment_refuses_fallbacks(tmp_path):
    if native.unavailable():
        pytest.skip(native.unavailable())
    error = run("minicnn.ones(2).sin()", tmp_path, MINICNN_STRICT="1")
    assert "BackendError: sin: the native backend does not serve sin: no kernel" in error


@pytest.mark.parametrize(("value", "strict"), [("", False), ("0", False), ("1", True)])
def test_environment_turns_strict_mode_on_or_off(tmp_path, value, strict):
    assert run("print(minicnn.core.dispatch._strict)", tmp_path, MINICNN_STRICT=value) == str(strict)


@pytest.mark.parametrize("value", ["banana", "true", " 1", "2"])
def test_environment_with_another_strict_mode_is_refused(tmp_path, value):
    error = run("print('imported')", tmp_path, MINICNN_STRICT=value, MINICNN_BACKEND="fast")
    assert error.endswith(f"OptionError: expected MINICNN_STRICT to be 0 or 1, got {value!r}")


def test_use_backend_switches_for_a_block_and_names_unknown_ones():
    before = backends.active().name
    with backends.use_backend("numpy"):
        assert backends.active().name == "numpy"
    assert backends.active().name == before
    with pytest.raises(
        BackendError,
        match="expected a backend out of numpy, numba, native, cuda, got 'fast'",
    ):
        backends.use_backend("fast")
    assert backends.active().name == before


def test_load_gives_any_registered_backend(monkeypatch):
    assert backends.load("numpy").xp is np
    mine = dispatch.Backend("mine", np, np.ndarray)
    monkeypatch.setitem(dispatch._registry, "mine", mine)
    assert backends.load("mine") is mine


def test_table_tells_kernels_from_references():
    table = backends.table()
    assert table["conv2d"]["numpy"] == "reference"
    if native.unavailable() is None:
        assert (table["relu"]["native"], table["relu.backward"]["native"]) == ("kernel", "kernel")
    assert "cuda" in next(iter(table.values())) or backends.unavailable("cuda")


def test_cuda_without_cupy_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert cuda.unavailable() == "cupy is not installed; pip install minicnn[cuda12]"
    with pytest.raises(BackendError, match="the cuda backend is not available: cupy is not installed"):
        cuda.create()


def fake_cupy(count):
    """A CuPy that finds ``count`` devices, or fails to ask for them."""
    module = types.ModuleType("cupy")

    class CUDARuntimeError(RuntimeError):
        pass

    def device_count():
        if count is None:
            raise CUDARuntimeError("driver too old")
        return count

    runtime = types.SimpleNamespace(CUDARuntimeError=CUDARuntimeError, getDeviceCount=device_count)
    module.cuda = types.SimpleNamespace(runtime=runtime)
    module.ndarray = type("ndarray", (), {})
    module.__version__ = "14.0"
    return module


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (0, "cupy 14.0 finds no CUDA device"),
        (None, "cupy 14.0 finds no CUDA device: driver too old"),
        (1, None),
    ],
)
def test_cuda_says_whether_there_is_a_device(monkeypatch, count, reason):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(count))
    assert cuda.unavailable() == reason


def test_cuda_registers_itself_for_its_arrays(monkeypatch):
    fake = fake_cupy(1)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(dispatch, "_registry", dict(dispatch._registry))
    monkeypatch.setattr(dispatch, "serving", dict(dispatch.serving))
    monkeypatch.delitem(dispatch._registry, "cuda", raising=False)
    assert backends.load("cuda").xp is fake
    assert backends.active(fake.ndarray).name == "cuda"


def test_tensor_to_cuda_without_one_is_refused():
    if backends.unavailable("cuda") is None:
        pytest.skip("there is a GPU")
    with pytest.raises(BackendError, match="the cuda backend is not available: cupy"):
        minicnn.ones(2).to("cuda")


def test_native_says_why_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "_native", None)
    monkeypatch.setattr(native, "_import_error", ImportError("no such file"), raising=False)
    monkeypatch.setattr(native, "files", lambda package: tmp_path)
    assert native.unavailable() == "the extension was not built (no such file)"
    (tmp_path / "_native.txt").write_text("no C compiler\n", encoding="utf-8")
    assert native.unavailable() == "no C compiler"
    with pytest.raises(BackendError, match="the native backend is not available: no C compiler"):
        native.create()
