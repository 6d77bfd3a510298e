"""The scripts in examples/ run as they are, on small data made here."""

import gzip
import runpy
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

import minicnn

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(monkeypatch, name, *options):
    monkeypatch.setattr(sys, "argv", [name, *map(str, options)])
    return runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def idx(array):
    sizes = b"".join(struct.pack(">I", n) for n in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


@pytest.fixture
def mnist_root(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 96), ("t10k", 32)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = rng.integers(0, 30, (count, 28, 28)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label : 2 * label + 5, 8:20] = 250
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return tmp_path


@pytest.fixture
def cifar_root(tmp_path):
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        rows = rng.integers(0, 256, (20, 3073)).astype(np.uint8)
        rows[:, 0] = np.arange(20) % 10
        (tmp_path / name).write_bytes(rows.tobytes())
    return tmp_path


def test_mnist_script_trains_and_saves(monkeypatch, capsys, tmp_path, mnist_root):
    weights = tmp_path / "mnist.pt"
    options = ("--root", mnist_root, "--epochs", 4, "--batch-size", 16, "--lr", 3e-3, "--save-model", weights)
    names = run(monkeypatch, "mnist.py", *options)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("test:")]
    first, last = (float(line.split("loss ")[1].split(",")[0]) for line in (lines[0], lines[-1]))
    assert last < first
    net = names["Net"]()
    net.load_state_dict(minicnn.load(weights))


def test_cifar10_script_trains_and_resumes(monkeypatch, capsys, tmp_path, cifar_root):
    checkpoint = tmp_path / "cifar10.ckpt"
    options = ("--root", cifar_root, "--batch-size", 16, "--max-batches", 2, "--checkpoint", checkpoint)
    run(monkeypatch, "cifar10.py", *options, "--epochs", 1)
    assert "epoch 1" in capsys.readouterr().out
    run(monkeypatch, "cifar10.py", *options, "--epochs", 2)
    out = capsys.readouterr().out
    assert "epoch 1" not in out
    assert "epoch 2" in out
    assert "accuracy on 20 test images" in out


def test_from_scratch_script_learns(monkeypatch, capsys):
    names = run(monkeypatch, "from_scratch.py")
    images, labels = names["make_images"](1000)
    assert names["by_hand"](images, labels) > 0.8
    assert names["with_layers"](images, labels) > 0.95
    assert "validation loss" in capsys.readouterr().out
