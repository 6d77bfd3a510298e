"""A few kills; ``run.py`` beside this file makes as many as one likes."""

import os
import subprocess
import sys
from pathlib import Path

import minicnn


def test_a_killed_training_goes_on_bit_for_bit():
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run.py")), "--trials", "2", "--seed", "3"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(minicnn.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 trials passed" in done.stdout
