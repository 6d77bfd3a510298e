"""Runs the tests of the kernels on a build with AddressSanitizer and UndefinedBehaviorSanitizer (gcc, Linux).

python tests/sanitizers/run.py [FOLDER]

Builds a copy of the checkout in FOLDER, by default a temporary one. Exits with 1 if a sanitizer or a test
finds anything, and with 2 if there is no such build. It takes some ten minutes.

What it cannot see, guard pages in the tests do: accesses behind an array but within its block of the pool
(kernels/frame/memory.cpp), and those of masked loads and stores, which gcc does not check.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ["tests/kernels", "tests/ops/test_kernels.py"]
LEFT_OUT = ["tests/kernels/test_object_code.py"]  # code with checks in it spills
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1"
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0",  # Python leaks on purpose
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


def build(folder: Path) -> bool:
    """Build the extension, with its checks, in a copy of the checkout."""
    left_out = shutil.ignore_patterns(".*", "build", "*.so", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, folder, ignore=left_out, dirs_exist_ok=True)
    compilers = {"CC": "gcc", "CXX": "g++"}
    for variable, compiler in compilers.items():  # optimized as ever, or results would round otherwise
        path = folder / f"checking-{compiler}"
        path.write_text(f'#!/bin/sh\nexec {compiler} "$@" {FLAGS}\n')
        path.chmod(0o755)
        compilers[variable] = str(path)
    compilers["LDSHARED"] = f"{compilers['CC']} -shared"
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, env=os.environ | compilers)
    return done.returncode == 0 and any(folder.glob("minicnn/_native*.so"))


def libraries() -> str:
    """The sanitizers' libraries, to be loaded before Python's own."""
    names = ("libasan.so", "libubsan.so")
    found = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout
        for name in names
    ]
    return " ".join(map(str.strip, found))


def test(folder: Path) -> bool:
    """Run the tests on that copy, in one process, which a finding ends; its report must not be captured."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "--capture=sys", *TESTS]
    command += [f"--ignore={path}" for path in LEFT_OUT]
    environment = os.environ | OPTIONS | {"LD_PRELOAD": libraries(), "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment).returncode == 0


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).resolve()
        if not build(folder):
            print("sanitizers: the extension could not be built", file=sys.stderr)
            return 2
        return 0 if test(folder) else 1


if __name__ == "__main__":
    sys.exit(main())
