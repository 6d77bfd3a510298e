"""The references use only what NumPy and CuPy both have, so that they run on a GPU unchanged.

``cupy_names.txt`` lists CuPy's names; ``tests/record_cupy_names.py`` makes it where CuPy is installed.
"""

import ast
from pathlib import Path

import numpy as np
import pytest

import minicnn.ops
from minicnn import backends
from minicnn.core import dispatch
from minicnn.testing import check_case, op_registry

NAMES = {
    line
    for line in (Path(__file__).parent / "cupy_names.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
}
SOURCES = sorted(Path(minicnn.ops.__file__).parent.glob("*.py"))


def chain(node):
    """``xp.linalg.norm`` as ["xp", "linalg", "norm"]; None for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else None


def missing_names(tree):
    """What the code asks of ``xp`` that CuPy does not have."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        parts = chain(node) if isinstance(node, ast.Attribute) and id(node) not in inner else None
        if parts and parts[0] == "xp":
            name = ".".join(parts[1:])
            known = name in NAMES or parts[1] in NAMES  # a method of a function, as in xp.add.reduce
            if not known or parts[1:] == ["lib"]:
                yield f"line {node.lineno}: xp.{name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_references_use_names_that_cupy_has(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert list(missing_names(tree)) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_references_use_array_methods_that_cupy_has(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lacking = {name for name in dir(np.ndarray) if not name.startswith("_")}
    lacking -= {name.removeprefix("ndarray.") for name in NAMES}
    modules = {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and not (isinstance(node.value, ast.Name) and node.value.id in modules)
    }
    assert sorted(used & lacking) == []


def test_a_name_that_cupy_lacks_is_found():
    tree = ast.parse("xp.lib.stride_tricks.sliding_window_view(x, 3) + xp.add.reduce(x) + xp.errstate()")
    assert list(missing_names(tree)) == ["line 1: xp.errstate"]


class OnlyCuPyNames:
    """NumPy with the names that CuPy does not have taken away."""

    def __init__(self, module, path=""):
        self._module = module
        self._path = path

    def __getattr__(self, name):
        path = f"{self._path}{name}"
        value = getattr(self._module, name)
        if path in NAMES:
            return value
        if any(known.startswith(f"{path}.") for known in NAMES):
            return OnlyCuPyNames(value, f"{path}.")
        raise AttributeError(f"CuPy has no {path}")


@pytest.mark.parametrize("name", op_registry())
def test_references_run_on_a_module_with_only_those_names(name, monkeypatch):
    monkeypatch.setattr(dispatch.backends()["numpy"], "xp", OnlyCuPyNames(np))
    with backends.use_backend("numpy"):
        report = check_case(op_registry()[name], checks=["forward", "freed"])
    assert report.ok, str(report)
