"""Trains with Winograd's algorithm and without, from the same seeds: does it cost accuracy?

    python benchmarks/winograd_accuracy.py MNIST_FOLDER CIFAR10_FOLDER [--seeds N] [--threads N]

Prints a table in Markdown: the test accuracy of each seed, their mean and standard deviation, and the
difference from seed to seed with its standard error.
"""

from __future__ import annotations

import argparse
import statistics
import sys

import numpy as np

import minicnn
from minicnn import datasets, models, nn, optim
from minicnn.nn import functional as F


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


def train(build, seed: int, epochs: int, train_set, test_set) -> float:
    """The test accuracy after so many epochs of Adam, batches of 64."""
    minicnn.manual_seed(seed)
    (x, y), rng = train_set, np.random.default_rng(seed)
    model = minicnn.compile(build())
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x) - 63, 64):
            batch = order[start : start + 64]
            optimizer.zero_grad()
            F.cross_entropy(model(minicnn.tensor(x[batch])), minicnn.tensor(y[batch])).backward()
            optimizer.step()
    return accuracy(model, *test_set)


def compare(name: str, build, epochs: int, seeds: int, train_set, test_set) -> None:
    found: dict[str, list[float]] = {"high": [], "highest": []}
    for seed in range(seeds):
        for precision, accuracies in found.items():
            minicnn.set_conv_precision(precision)
            accuracies.append(100 * train(build, seed, epochs, train_set, test_set))
            print(f"{name}, seed {seed}, {precision}: {accuracies[-1]:.2f} %", file=sys.stderr, flush=True)
    for precision, accuracies in found.items():
        each = ", ".join(f"{a:.2f}" for a in accuracies)
        mean, deviation = statistics.mean(accuracies), statistics.stdev(accuracies)
        label = {"high": "Winograd", "highest": "direct"}[precision]
        print(f"| {name} | {label} | {each} | {mean:.2f} ± {deviation:.2f} |")
    differences = [a - b for a, b in zip(found["high"], found["highest"], strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    each = ", ".join(f"{d:+.2f}" for d in differences)
    mean = statistics.mean(differences)
    print(f"| {name} | difference | {each} | {mean:+.2f} ± {error:.2f} (standard error) |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mnist", help="folder of the IDX files")
    parser.add_argument("cifar10", help="folder of one folder of images for each class")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    minicnn.set_num_threads(args.threads)
    print("| data | convolutions | test accuracy of each seed, % | mean ± standard deviation |")
    print("|---|---|---|---|")
    digits = [mnist(args.mnist, train) for train in (True, False)]
    compare("MNIST, 2 epochs", small_cnn, 2, args.seeds, *digits)
    x, y = some_of_a_folder(args.cifar10, 12_000)
    halves = (x[:10_000], y[:10_000]), (x[10_000:], y[10_000:])
    compare("CIFAR-10, 10,000 images, 5 epochs", models.vgg_small, 5, args.seeds, *halves)


if __name__ == "__main__":
    main()
