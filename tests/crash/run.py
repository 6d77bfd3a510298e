"""Kills trainings with SIGKILL and lets them go on: nothing may be lost, and the end must be the same.

    python tests/crash/run.py --trials 200

A trial starts `minicnn train`, kills it up to three times, half of the time at a random instant and
half of the time while a checkpoint is being written, resumes it each time, and lets it end. It passes
if after every kill each checkpoint file is whole and at most one interval of updates is lost, and if
the last digest and the log are those of a run that nobody disturbed.
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
from pathlib import Path

import minicnn
from minicnn.errors import CheckpointError
from minicnn.io import checkpoint
from minicnn.train.log import read

EVERY = 2  # updates between checkpoints
OPTIONS = f"--epochs 3 --batch-size 256 --checkpoint-every {EVERY} --threads 1 --seed 5 --json".split()


def start(out: Path) -> subprocess.Popen[str]:
    """`minicnn train --resume`, which also starts a run that has nothing to go on from."""
    command = [sys.executable, "-m", "minicnn", "train", *OPTIONS, "--out", str(out), "--resume"]
    root = str(Path(minicnn.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def finish(process: subprocess.Popen[str], out: Path) -> tuple[str, bytes]:
    """Digest and log of a run that ends by itself."""
    output, errors = process.communicate(timeout=300)
    if process.returncode:
        raise SystemExit(f"a run ended with {process.returncode}: {errors}")
    return json.loads(output.splitlines()[-1])["digest"], (out / "metrics.jsonl").read_bytes()


def kill(process: subprocess.Popen[str], out: Path, rng: random.Random, seconds: float) -> None:
    """Kill at a random instant, or as soon as a temporary file shows that a save is under way."""
    until = time.monotonic() + rng.uniform(0, seconds)
    in_save = rng.random() < 0.5
    while process.poll() is None:
        if in_save and time.monotonic() > until - seconds / 2 and any(out.glob("checkpoints/.*.tmp.*")):
            break
        if not in_save and time.monotonic() > until:
            break
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def problems(out: Path) -> list[str]:
    """What a kill has damaged or lost."""
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
    return found


def trial(out: Path, rng: random.Random, seconds: float, expected: tuple[str, bytes]) -> list[str]:
    """One run with up to three kills; what went wrong."""
    found = []
    for _ in range(rng.randint(1, 3)):
        kill(start(out), out, rng, seconds)
        found += problems(out)
    if finish(start(out), out) != expected:
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
