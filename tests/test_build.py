"""The package installs and works without a C compiler, and says what is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "*.so", "runs")

# An editable installation would lend its compiled extension to the copy under test.
ALONE = """import sys
sys.meta_path[:] = [f for f in sys.meta_path if "Editable" not in getattr(f, "__name__", "")]
"""


def run(*command, cwd, **environment):
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package installed by a pip that finds no working compiler."""
    pytest.importorskip("Cython")
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT, folder / "tree", ignore=LEFT_OUT)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    run(
        *pip,
        "--target",
        str(folder / "site"),
        str(folder / "tree"),
        cwd=folder,
        CC="/bin/false",
        CXX="/bin/false",
    )
    return folder / "site"


def test_without_compiler_it_computes_and_says_why(installed):
    code = ALONE + (
        "import minicnn; from minicnn import backends\n"
        "print(minicnn.__file__)\n"
        "print(minicnn.nn.functional.relu(minicnn.tensor([-1.0, 2.0])).tolist())\n"
        "print(backends.active().name, '|', backends.status()['native'])"
    )
    where, numbers, status = run(
        sys.executable, "-c", code, cwd=installed.parent, PYTHONPATH=str(installed)
    ).splitlines()
    assert Path(where).is_relative_to(installed)
    assert numbers == "[0.0, 2.0]"
    assert status.startswith("numpy | the extension could not be built at installation: ")
    assert "/bin/false" in status


def test_without_compiler_asking_for_native_is_refused(installed):
    command = [sys.executable, "-c", ALONE + "import minicnn"]
    environment = os.environ | {"PYTHONPATH": str(installed), "MINICNN_BACKEND": "native"}
    done = subprocess.run(command, cwd=installed.parent, env=environment, capture_output=True, text=True)
    assert (
        "BackendError: MINICNN_BACKEND: the native backend is not available: the extension could not be built"
        in done.stderr
    )


def test_the_console_script_runs_and_says_what_is_wrong_with_the_environment(installed):
    script = 'import runpy; runpy.run_path("bin/minicnn", run_name="__main__")'
    command = [sys.executable, "-c", f"{ALONE}sys.argv = ['minicnn', '--version']\n{script}"]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "minicnn 0.1.0\n"), done.stderr
    environment["MINICNN_BACKEND"] = "fast"
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("minicnn: ") and "fast" in done.stderr


def test_only_the_package_and_its_command_are_installed_and_all_of_it(installed):
    top = {path.name.partition("-")[0] for path in installed.iterdir()}
    assert top <= {"minicnn", "minicnn_command.py", "__pycache__", "bin"}
    kinds = {path.suffix for path in (installed / "minicnn").rglob("*") if path.is_file()}
    assert not kinds & {".cpp", ".pyx", ".pxi", ".h"}
    wanted = {p.relative_to(ROOT) for p in (ROOT / "minicnn").rglob("*.py")}
    wanted |= {p.relative_to(ROOT) for p in (ROOT / "minicnn/data/files").rglob("*") if p.is_file()}
    wanted.add(Path("minicnn/py.typed"))
    assert sorted(str(path) for path in wanted if not (installed / path).is_file()) == []


def test_only_what_changed_is_compiled_again(tmp_path):
    import runpy

    pytest.importorskip("Cython")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("setuptools.setup", lambda **words: None)
        patch.chdir(ROOT)
        is_newer = runpy.run_path(str(ROOT / "setup.py"))["is_newer"]
    source, header, made = (tmp_path / name for name in ("a.cpp", "a.h", "a.o"))
    for time, path in enumerate((source, header, made)):
        path.touch()
        os.utime(path, (time, time))
    assert is_newer(made, [source, header])
    os.utime(header, (9, 9))
    assert not is_newer(made, [source, header])
    assert not is_newer(tmp_path / "none.o", [source])
