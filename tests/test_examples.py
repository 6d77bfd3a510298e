"""The scripts in examples/ run as they are, on small data made here."""

import gzip
import importlib.util
import json
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


def test_tutorial_script_trains_and_resumes(monkeypatch, capsys, tmp_path, cifar_root):
    checkpoint = tmp_path / "cifar10.ckpt"
    options = ("--root", cifar_root, "--batch-size", 16, "--max-batches", 2, "--checkpoint", checkpoint)
    run(monkeypatch, "pytorch_tutorial.py", *options, "--epochs", 1)
    assert "epoch 1" in capsys.readouterr().out
    run(monkeypatch, "pytorch_tutorial.py", *options, "--epochs", 2)
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


@pytest.fixture
def flagship(monkeypatch):
    """The modules of examples/cifar10."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "cifar10"))
    names = ("images", "network", "train", "figure")
    yield {name: importlib.import_module(name) for name in names}
    for name in names:
        sys.modules.pop(name)


def test_flagship_trains_and_draws(monkeypatch, capsys, tmp_path, cifar_root, flagship):
    runs = tmp_path / "runs.jsonl"
    small = ("batch_size=16", "widths=[8,8,8]", "cutout=8", "epochs=2")
    run(monkeypatch, "cifar10/train.py", cifar_root, "--threads", 1, "--out", runs, "--set", *small)
    first, *epochs = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["recipe"]["widths"], first["recipe"]["cutout"]) == ([8, 8, 8], 8)
    assert [json.loads(line) for line in runs.read_text().splitlines()] == [first, *epochs]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert all(0 <= epoch["accuracy"] <= 1 and epoch["loss"] < 4 for epoch in epochs)
    if importlib.util.find_spec("matplotlib"):
        run(monkeypatch, "cifar10/figure.py", runs, tmp_path / "a.png")
        assert "| 5 min | minicnn | 2 |" in capsys.readouterr().out
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_flagship_sees_every_image_both_ways(cifar_root, flagship):
    train_set, held_out = flagship["images"].load(str(cifar_root))
    assert (len(train_set.labels), len(held_out.labels)) == (90, 10)
    batches = flagship["images"].Batches(train_set, 10, seed=0, shift=0)
    shown = []
    for epoch in (0, 1):
        pairs = [(image, label) for x, y in batches.epoch(epoch) for image, label in zip(x, y, strict=True)]
        assert len(pairs) == 90
        shown.append({image.tobytes() for image, _ in pairs})
    plain = train_set.normalised(train_set.pixels)
    mirrored = np.ascontiguousarray(plain[..., ::-1])
    assert shown[0] | shown[1] == {image.tobytes() for image in (*plain, *mirrored)}
    assert not shown[0] & shown[1]
    again = [x.tobytes() for x, _ in batches.epoch(0)]
    assert again == [x.tobytes() for x, _ in batches.epoch(0)]


def test_flagship_shifts_by_at_most_so_many_pixels(cifar_root, flagship):
    train_set, _ = flagship["images"].load(str(cifar_root))
    batches = flagship["images"].Batches(train_set, 30, seed=1, shift=2)
    wide = np.pad(train_set.normalised(train_set.pixels), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    shifts = set()
    for x, y in batches.epoch(0):
        for image, label in zip(x, y, strict=True):
            matching = [
                (dy, dx)
                for source in wide[train_set.labels == label]
                for way in (source, source[..., ::-1])
                for dy in range(5)
                for dx in range(5)
                if np.array_equal(way[:, dy : dy + 32, dx : dx + 32], image)
            ]
            assert len(matching) == 1
            shifts.update(matching)
    assert len(shifts) > 15


def test_flagship_whitens_patches(cifar_root, flagship):
    train_set, _ = flagship["images"].load(str(cifar_root))
    filters = flagship["images"].whitening_filters(train_set, epsilon=0.0)
    assert filters.shape == (24, 3, 2, 2)
    x = minicnn.tensor(train_set.normalised(train_set.pixels))
    y = minicnn.nn.functional.conv2d(x, minicnn.tensor(filters)).numpy().transpose(1, 0, 2, 3).reshape(24, -1)
    np.testing.assert_allclose(np.cov(y[:12]), np.eye(12), atol=1e-3)
    np.testing.assert_allclose(y[:12], -y[12:], atol=1e-5)


def test_flagship_ends_with_the_average(flagship):
    model = minicnn.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    lookahead = flagship["train"].Lookahead(minicnn, model, every=2, decay=0.9)
    for step in (1, 2, 3):
        model.weight.data.fill_(1.0)
        lookahead.step(step, 4)
    slow = 1 - 0.9**2 * (2 / 4) ** 3  # after step 2
    assert model.weight.item() == 1.0
    lookahead.step(4, 4)
    assert model.weight.item() == pytest.approx(slow)
    factors = [flagship["train"].triangle(step, 100) for step in (0, 23, 100)]
    assert factors == pytest.approx([0.2, 1.0, 0.07])


def test_flagship_averages_the_weights_that_pytorch_trains(flagship):
    torch = pytest.importorskip("torch")
    filters = np.zeros((24, 3, 2, 2), np.float32)
    model = flagship["network"].build(torch, filters, (24, 24, 24))
    flagship["train"].fastest(torch, model)
    averaged = {value.data_ptr() for value in flagship["train"].Lookahead(torch, model).fast}
    assert {parameter.data_ptr() for parameter in model.parameters()} <= averaged
