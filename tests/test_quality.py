"""The linter, the formatter and the type checker have nothing to say."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

COMMANDS = {
    "lint": ["ruff", "check", "--no-cache", "."],
    "format": ["ruff", "format", "--no-cache", "--check", "."],
    "types": ["mypy"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_to_say(name, tmp_path):
    tool, *options = COMMANDS[name]
    pytest.importorskip(tool)
    extra = ["--cache-dir", str(tmp_path)] if tool == "mypy" else []
    command = [sys.executable, "-m", tool, *options, *extra]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
