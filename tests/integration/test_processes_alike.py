"""Whole trainings in processes of their own: the same numbers in all, and no more memory than needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import backends
from minicnn.data.pack import HASH_BYTES, writing

ROOT = str(Path(minicnn.__file__).parents[1])


def train(*words, limit=None, **variables):
    """``minicnn train --json`` in a new process, under a limit on its address space in KiB."""
    command = [sys.executable, "-P", "-m", "minicnn", "train", *map(str, words), "--json"]
    if limit is not None:
        command = ["sh", "-c", f'ulimit -v {limit} && exec "$@"', "sh", *command]
    environment = {**os.environ, "PYTHONPATH": ROOT, **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_neither_threads_nor_the_seed_of_hashes_change_a_training(tmp_path):
    """Of the native kernels no number depends on the threads; of sets of names none on their order."""
    if backends.active().name != "native":
        pytest.skip("the threads of BLAS do change numbers")
    words = ("--epochs", "2", "--max-steps", "15", "--augment", "standard", "--mix", "both", "--ema", "0.9")
    found = {
        train(*words, "--threads", threads, "--out", tmp_path / f"{threads}", PYTHONHASHSEED=str(threads))[
            "digest"
        ]
        for threads in (1, 2, 3)
    }
    assert len(found) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_set_larger_than_the_memory_trains(tmp_path, rng):
    """1.1 GB of images, most of it holes in a file, where a process may have 550 MB in all."""
    count, shape = 40_000, (3, 96, 96)
    labels = np.arange(count) % 4
    facts = {"classes": list("abcd"), "note": "", "skipped": [], "origin": None}
    with writing(tmp_path / "packed", shape) as writer:
        writer.begin("train", [str(number) for number in range(count)], labels)
        writer.finish(facts)
    hashes = rng.integers(0, 256, (count, HASH_BYTES), np.uint8)  # or all images would be one
    np.save(tmp_path / "packed" / "train-hashes.npy", hashes)
    words = ("--model", "lenet5", "--batch-size", "8", "--max-steps", "12", "--epochs", "1", "--threads", "1")
    out = ("--val-fraction", "0.001", "--out", tmp_path / "r")
    result = train(*words, *out, "--data", tmp_path / "packed", limit=550_000, OPENBLAS_NUM_THREADS="1")
    assert result["steps"] == 12
