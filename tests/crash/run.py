"""Kills trainings with SIGKILL and lets them go on: nothing may be lost, and the end must be the same.

    python tests/crash/run.py --trials 200

A trial starts `minicnn train`, kills it as soon as there is a checkpoint, once while one is being
written, and every other time once more at a random instant; resumes it each time, and lets it end. It
passes if after every kill each checkpoint file is whole and at most one interval of updates is lost, if
the first two kills came in the midst of the training, and if the last digest and the log are those of
a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import minicnn
from minicnn.errors import CheckpointError
from minicnn.io import checkpoint
from minicnn.train.log import read

EVERY = 2  # updates between checkpoints
OPTIONS = f"--epochs 3 --batch-size 256 --checkpoint-every {EVERY} --threads 1 --seed 5 --json".split()
# All that has a state between updates, and all that is random.
OPTIONS += ["--augment", "standard", "--mix", "both", "--ema", "0.9", "--best", "--label-smoothing", "0.1"]
WORKERS = [["--workers", "0"], ["--workers", "1"], ["--workers", "4"], ["--workers", "2", "--processes"]]


def start(out: Path, workers: list[str] = WORKERS[0]) -> subprocess.Popen[str]:
    """`minicnn train`, with `--resume` where there is a run to go on with."""
    resume = ["--resume"] if (out / "config.toml").exists() else []
    command = [sys.executable, "-P", "-m", "minicnn", "train", *OPTIONS, *workers, "--out", str(out), *resume]
    root = str(Path(minicnn.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def finish(process: subprocess.Popen[str], out: Path) -> tuple[str, bytes]:
    """Digest and log of a run that ends by itself."""
    output, errors = process.communicate(timeout=300)
    if process.returncode:
        raise SystemExit(f"a run ended with {process.returncode}: {errors}")
    return json.loads(output.splitlines()[-1])["digest"], (out / "metrics.jsonl").read_bytes()


def kill(process: subprocess.Popen[str], due: Callable[[], bool]) -> None:
    """Kill as soon as it is due."""
    while process.poll() is None and not due():
        time.sleep(0.0002)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def problems(out: Path, steps: range) -> list[str]:
    """What a kill has damaged or lost; the newest checkpoint must be of one of the ``steps``."""
    found = []
    for path in out.glob("checkpoints/step-*.safetensors"):
        try:
            checkpoint.load(path)
        except CheckpointError as error:
            found.append(str(error))
    newest = checkpoint.latest(out / "checkpoints")
    saved = newest[1]["step"] if newest else 0
    done = max((record["step"] for record in read(out / "metrics.jsonl")), default=0)
    if done - saved > EVERY:
        found.append(f"{done - saved} updates lost")
    if saved not in steps:
        found.append(f"killed at step {saved}, not within {steps}")
    return found


def trial(out: Path, rng: random.Random, seconds: float, expected: tuple[str, bytes]) -> list[str]:
    """One run with two or three kills, each time taken up with other workers; what went wrong."""
    last = json.loads(expected[1].splitlines()[-1])["step"]
    workers = iter(rng.sample(WORKERS, len(WORKERS)))
    kill(start(out, next(workers)), lambda: any(out.glob("checkpoints/step-*.safetensors")))
    found = problems(out, range(1, last))
    kill(start(out, next(workers)), lambda: any(out.glob("checkpoints/.*.tmp.*")))
    found += problems(out, range(1, last))
    if rng.random() < 0.5:
        until = time.monotonic() + rng.uniform(0, seconds)
        kill(start(out, next(workers)), lambda: time.monotonic() > until)
        found += problems(out, range(1, last + 1))
    if finish(start(out, next(workers)), out) != expected:
        found.append("the end differs from that of an undisturbed run")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        expected = finish(start(Path(folder, "undisturbed")), Path(folder, "undisturbed"))
        seconds = time.monotonic() - begun
        for number in range(args.trials):
            found = trial(Path(folder, str(number)), rng, seconds, expected)
            failed += bool(found)
            for problem in found:
                print(f"trial {number}: {problem}")
    print(f"{args.trials - failed} of {args.trials} trials passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
