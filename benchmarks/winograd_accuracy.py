"""Trains with Winograd's algorithm and without, from the same seeds: does it cost accuracy?

    python benchmarks/winograd_accuracy.py MNIST_FOLDER CIFAR10_FOLDER [--seeds N N] [--processes N]

A third training of each seed is the measure of what rounding alone does: direct again, with the images of
each batch in reverse. Its gradients are the same sums in another order.

Prints a table in Markdown: the test accuracy of each seed, their mean and standard deviation, and the
differences from seed to seed with their standard error.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np

import minicnn
from minicnn import datasets, models, nn, optim
from minicnn.nn import functional as F

#: The name of each arm: the precision of convolutions and the order of the images in a batch.
ARMS = {"Winograd": ("high", 1), "direct": ("highest", 1), "direct, batches reversed": ("highest", -1)}


def small_cnn() -> nn.Module:
    """For gray images of 28 x 28; all but the first convolution are 3 x 3 with 16 channels or more."""
    layers: list[nn.Module] = []
    for channels, width in ((1, 16), (16, 32)):
        for c_in in (channels, width):
            layers += [nn.Conv2d(c_in, width, 3, padding=1), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 7 * 7, 10))


def standardised(pixels: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) of bytes as float32 of mean 0 and deviation 1 in each channel."""
    x = np.ascontiguousarray(pixels, np.float32)
    return (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)


def mnist(folder: str, train: bool):
    """All its images and labels."""
    data = datasets.MNIST(folder, train=train)
    return standardised(np.asarray(data.data.numpy())[:, None]), data.targets.numpy()


def some_of_a_folder(folder: str, count: int):
    """So many images of a folder of class folders, drawn once for all, and their labels."""
    data = datasets.ImageFolder(folder)
    chosen = np.random.default_rng(0).permutation(len(data))[:count]
    pixels = np.stack([np.asarray(data[int(i)][0]) for i in chosen]).transpose(0, 3, 1, 2)
    return standardised(pixels), np.asarray(data.targets)[chosen]


def accuracy(model: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    model.eval()
    with minicnn.no_grad():
        found = [model(minicnn.tensor(x[i : i + 500])).numpy().argmax(1) for i in range(0, len(x), 500)]
    return float((np.concatenate(found) == y).mean())


@functools.cache
def data_sets(name: str, folder: str):
    """What it trains on and what it is tested on; read once in a process."""
    if name.startswith("MNIST"):
        return mnist(folder, True), mnist(folder, False)
    x, y = some_of_a_folder(folder, 12_000)
    return (x[:10_000], y[:10_000]), (x[10_000:], y[10_000:])


#: The model and the number of epochs for each data set.
RECIPES = {"MNIST, 2 epochs": (small_cnn, 2), "CIFAR-10, 10,000 images, 5 epochs": (models.vgg_small, 5)}


def train(name: str, folder: str, arm: str, seed: int) -> float:
    """The test accuracy in percent after some epochs of Adam, batches of 64, one thread."""
    (x, y), test_set = data_sets(name, folder)
    build, epochs = RECIPES[name]
    precision, step = ARMS[arm]
    minicnn.set_num_threads(1)
    minicnn.set_conv_precision(precision)
    minicnn.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = minicnn.compile(build())
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x) - 63, 64):
            batch = order[start : start + 64][::step]
            optimizer.zero_grad()
            F.cross_entropy(model(minicnn.tensor(x[batch])), minicnn.tensor(y[batch])).backward()
            optimizer.step()
    return 100 * accuracy(model, *test_set)


def row(name: str, label: str, figures: list[float], form: str, spread: float, what: str) -> None:
    each = ", ".join(format(f, form) for f in figures)
    print(f"| {name} | {label} | {each} | {statistics.mean(figures):{form}} ± {spread:.2f} ({what}) |")


def compare(name: str, folder: str, seeds: int, pool: ProcessPoolExecutor) -> None:
    started = {arm: [pool.submit(train, name, folder, arm, seed) for seed in range(seeds)] for arm in ARMS}
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for arm, jobs in started.items():
        for seed, job in enumerate(jobs):
            found[arm].append(job.result())
            print(f"{name}, {arm}, seed {seed}: {found[arm][-1]:.2f} %", file=sys.stderr, flush=True)
    for arm, figures in found.items():
        row(name, arm, figures, ".2f", statistics.stdev(figures), "deviation")
    for arm in ("Winograd", "direct, batches reversed"):
        differences = [a - b for a, b in zip(found[arm], found["direct"], strict=True)]
        error = statistics.stdev(differences) / len(differences) ** 0.5
        row(name, f"{arm} - direct", differences, "+.2f", error, "standard error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mnist", help="folder of the IDX files")
    parser.add_argument("cifar10", help="folder of one folder of images for each class")
    parser.add_argument("--seeds", type=int, nargs=2, default=(5, 20), help="for MNIST, for CIFAR-10")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    print("| data | convolutions | test accuracy of each seed, % | mean |")
    print("|---|---|---|---|")
    with ProcessPoolExecutor(args.processes, multiprocessing.get_context("spawn")) as pool:
        for name, folder, seeds in zip(RECIPES, (args.mnist, args.cifar10), args.seeds, strict=True):
            compare(name, folder, seeds, pool)


if __name__ == "__main__":
    main()
