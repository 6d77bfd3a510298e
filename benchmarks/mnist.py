"""LeNet-5 on MNIST with one loop for minicnn and for PyTorch: seconds of training, and test accuracy.

    python benchmarks/mnist.py minicnn MNIST_FOLDER [--threads N]
    python benchmarks/mnist.py torch MNIST_FOLDER       # where torch is installed

Batches of 64, Adam from 2e-3 falling linearly to 0 over 6 epochs; the seconds are those of training alone.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import time
from pathlib import Path

import numpy as np

EPOCHS, BATCH, RATE = 6, 64, 2e-3


def read(folder: Path, name: str) -> np.ndarray:
    """The bytes of an IDX file, without its header."""
    raw = gzip.decompress((folder / f"{name}.gz").read_bytes())
    return np.frombuffer(raw, np.uint8, offset=16 if "images" in name else 8)


def load(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    pixels = read(folder, f"{part}-images-idx3-ubyte").reshape(-1, 1, 28, 28).astype(np.float32)
    return (pixels / 255 - 0.1307) / 0.3081, read(folder, f"{part}-labels-idx1-ubyte").astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=["minicnn", "torch"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch = importlib.import_module(args.framework)
    nn, ours = torch.nn, args.framework == "minicnn"
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    model = torch.compile(model) if ours else model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, **({} if ours else {"fused": True}))
    (x, y), (test_x, test_y) = (load(args.folder, part) for part in ("train", "t10k"))
    rng, loss = np.random.default_rng(0), nn.CrossEntropyLoss()
    steps = range(0, len(x) - BATCH + 1, BATCH)
    start = time.perf_counter()
    for epoch in range(EPOCHS):
        order = rng.permutation(len(x))
        for i in steps:
            done = (epoch * len(steps) + i // BATCH) / (EPOCHS * len(steps))
            optimizer.param_groups[0]["lr"] = RATE * (1 - done)
            batch = order[i : i + BATCH]
            optimizer.zero_grad()
            loss(model(torch.tensor(x[batch])), torch.tensor(y[batch])).backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    model.eval()
    with torch.no_grad():
        found = model(torch.tensor(test_x)).numpy().argmax(1)
    print(f"{args.framework}: {seconds:.2f} s, {100 * (found == test_y).mean():.2f} % of {len(test_y)} right")


if __name__ == "__main__":
    main()
