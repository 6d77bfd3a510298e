"""The floors, the sizes of files and functions, and what the tree must never contain."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minicnn"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = sorted(
    path
    for folder in ("minicnn", "tests", "examples", "benchmarks", "kernels")
    for pattern in ("*.py", "*.pyx", "*.pxi", "*.cpp", "*.h")
    for path in (ROOT / folder).rglob(pattern)
)

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)

# Imports go down only. Parts of one floor do not import each other, but for the pairs in BESIDE.
FLOORS = [
    {"errors", "typing", "_native", "_startup"},
    {"core"},
    {"ops"},
    {"backends"},
    {
        "nn",
        "models",
        "optim",
        "data",
        "datasets",
        "transforms",
        "io",
        "utils",
        "accelerator",
        "autograd",
        "cuda",
    },
    {"train", "bench"},
    {"cli"},
    {"__main__", "__init__"},
]
BESIDE = {
    ("models", "nn"),
    ("datasets", "data"),
    ("data", "io"),
    ("utils", "data"),
    ("accelerator", "cuda"),
    ("__main__", "__init__"),
}
ASIDE = {
    "oracles": set(),  # nothing but NumPy: a reference does not share code with what it vouches for
    "testing": {
        "errors",
        "typing",
        "core",
        "ops",
        "oracles",
        "backends",
        "nn",
        "models",
        "optim",
        "data",
        "io",
    },
}
PARTS = set().union(*FLOORS, ASIDE)
MAY_IMPORT_TESTING = {"bench", "cli", "__init__"}


def relative(path):
    return str(path.relative_to(ROOT))


def part_of(path):
    """The part of the package a file belongs to: ``core``, ``ops``, ..."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path):
    """The parts of the package that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [
                f"{node.module}.{alias.name}" if node.module == "minicnn" else node.module
                for alias in node.names
            ]
        else:
            continue
        for name in names:
            root, _, rest = name.partition(".")
            if root == "minicnn":
                part = rest.partition(".")[0]
                yield part if part in PARTS else "__init__"


def floor(part):
    return next(number for number, parts in enumerate(FLOORS) if part in parts)


def allowed(part, target):
    if part == target or part == "__init__" or (part, target) in BESIDE:
        return True
    if part in ASIDE:
        return target in ASIDE[part]
    if target in ASIDE:
        return target == "testing" and part in MAY_IMPORT_TESTING
    if target == "__init__":  # the public names, for those who stand above everything that makes them
        return floor(part) >= floor("train")
    return floor(target) < floor(part)


def test_imports_go_down_only():
    wrong = {relative(p): {t for t in imported_parts(p) if not allowed(part_of(p), t)} for p in MODULES}
    assert {path: targets for path, targets in wrong.items() if targets} == {}


def test_every_part_has_a_floor():
    assert {part_of(path) for path in MODULES} - PARTS == set()


def test_oracles_import_numpy_only():
    names = set()
    for path in MODULES:
        if part_of(path) == "oracles":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
            names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    allowed_here = {"__future__", "collections.abc", "itertools", "math", "typing", "numpy"}
    assert {n for n in names - allowed_here if not n.startswith("minicnn.oracles")} == set()


def test_files_have_at_most_400_lines():
    lines = {relative(path): path.read_text(encoding="utf-8").count("\n") for path in SOURCES}
    assert {path: count for path, count in lines.items() if count > 400} == {}


def body_lines(function):
    """The lines of a function below its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_functions_have_at_most_60_lines():
    long = {}
    for path in SOURCES:
        if (
            path.suffix == ".py" and path.parent != ROOT / "examples"
        ):  # there stand scripts as people write them
            functions = [
                n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, FUNCTION)
            ]
            long |= {f"{relative(path)} {n.name}": body_lines(n) for n in functions if body_lines(n) > 60}
    assert long == {}


FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def dangers(tree):
    """What runs code out of data."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from FORBIDDEN_MODULES & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            yield from FORBIDDEN_MODULES & {node.module}
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield from FORBIDDEN_CALLS & {node.func.id}
            yield from {"allow_pickle"} & {keyword.arg for keyword in node.keywords}


def test_no_code_out_of_data():
    found = {
        relative(p): list(dangers(ast.parse(p.read_text(encoding="utf-8"))))
        for p in [*MODULES, ROOT / "setup.py"]
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_dangers_are_found():
    tree = ast.parse(
        "import pickle\nfrom shelve import open\neval('1')\nnp.load(f, allow_pickle=True)\nmodel.eval()"
    )
    assert sorted(dangers(tree)) == ["allow_pickle", "eval", "pickle", "shelve"]


KERNEL_SOURCES = [p for p in (ROOT / "kernels").rglob("*") if p.suffix in (".cpp", ".h", ".pyx", ".pxi")]


def test_compiler_flags_are_portable_and_keep_the_rules_of_floating_point():
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    words = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    flags = {word for word in words if word.startswith("-")}
    assert {"-O3", "-ffp-contract=fast", "-mavx512f", "-mavx2"} <= flags
    text = "\n".join([*flags, *(path.read_text(encoding="utf-8") for path in KERNEL_SOURCES)])
    for forbidden in ("ffast-math", "Ofast", "funsafe-math", "march=native"):
        assert forbidden not in text


def test_kernels_include_no_library_code():
    """A library's inline functions, compiled for AVX-512 in one file, could be linked into the baseline."""
    allowed = {"<stddef.h>", "<stdint.h>", "<immintrin.h>"}
    for path in KERNEL_SOURCES:
        if path.suffix in (".cpp", ".h") and path.parent.name != "frame":
            included = re.findall(r"^\s*#include\s+(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert {name for name in included if name.startswith("<")} <= allowed, path.name


def imported_by(statement, tmp_path):
    """The modules that are there after a statement, in a fresh interpreter outside the tree."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    return set(done.stdout.split())


HEAVY = {"argparse", "asyncio", "concurrent.futures", "html", "http", "logging", "multiprocessing"}
HEAVY |= {"socket", "sqlite3", "ssl", "tomllib", "unittest", "urllib.request", "xml"}


def test_import_brings_in_numpy_and_nothing_heavy(tmp_path):
    new = imported_by("import minicnn", tmp_path) - imported_by("import numpy", tmp_path)
    assert "minicnn.nn.functional" in new
    packages = {name.partition(".")[0] for name in new} - sys.stdlib_module_names
    assert {p for p in packages if not p.startswith(("_cython", "cython"))} <= {"minicnn", "numpy"}
    assert sorted(new & HEAVY) == []


def test_kernels_cannot_be_imported(tmp_path):
    code = "import importlib.util as u; print(u.find_spec('kernels'))"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert str(ROOT) not in done.stdout
