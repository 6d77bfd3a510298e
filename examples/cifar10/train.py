"""Trains a small network on CIFAR-10, in minicnn or, by the same lines, in PyTorch.

    python examples/cifar10/train.py DATA [--budget 5|30|90] [--framework minicnn|torch] [--out RUN.jsonl]

Writes one line for each epoch: seconds since the start, and the accuracy on the images held out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import images
import network
import numpy as np


@dataclass(frozen=True)
class Recipe:
    """What to train; rates are for the mean loss of a batch of 1,024."""

    epochs: int
    widths: tuple[int, int, int] = (64, 256, 256)
    depth: int = 2
    batch_size: int = 512
    lr: float = 1.5
    weight_decay: float = 0.002  # a step's, not yet divided by the learning rate
    momentum: float = 0.85
    bias_scale: float = 64.0
    label_smoothing: float = 0.2
    cutout: int = 0


#: By the minutes they take on two cores of an EPYC "Turin"; found by experiment, see README.md.
RECIPES = {5: Recipe(epochs=8), 30: Recipe(epochs=40), 90: Recipe(epochs=60, widths=(128, 384, 384))}


def triangle(step: int, steps: int, start: float = 0.2, peak: float = 0.23, end: float = 0.07) -> float:
    """The factor of the learning rate: up from ``start`` to 1 at the share ``peak`` of the steps, down to ``end``."""
    return float(np.interp(step / steps, (0, peak, 1), (start, 1, end)))


def optimizer_of(torch: Any, model: Any, recipe: Recipe) -> Any:
    """SGD with Nesterov's momentum; the biases of the normalisations learn much faster than the weights."""
    lr, decay = (value * recipe.batch_size / 1024 for value in (recipe.lr, recipe.weight_decay))
    biases = [layer.bias for layer in model if isinstance(layer, torch.nn.BatchNorm2d)]
    chosen = set(map(id, biases))
    weights = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    groups = [
        {"params": weights, "lr": lr, "weight_decay": decay / lr},
        {"params": biases, "lr": lr * recipe.bias_scale, "weight_decay": decay / lr / recipe.bias_scale},
    ]
    return torch.optim.SGD(groups, lr=lr, momentum=recipe.momentum, nesterov=True)


def fastest(torch: Any, model: Any) -> Any:
    """The model as its framework computes it fastest, from batches of NumPy arrays."""
    if torch.__name__ == "minicnn":
        compiled = torch.compile(model)
        return lambda x: compiled(torch.tensor(x))
    layout = {"memory_format": torch.channels_last}
    model.to(**layout)
    return lambda x: model(torch.tensor(x).to(**layout))


class Lookahead:
    """Every few steps, the weights go back to their slowly following average (Zhang et al. 2019)."""

    def __init__(self, torch: Any, model: Any, every: int = 5, decay: float = 0.95) -> None:
        self.torch, self.every, self.decay = torch, every, decay
        self.fast = [value for value in model.state_dict().values() if value.dtype == torch.float32]
        self.slow = [value.clone() for value in self.fast]

    def step(self, step: int, steps: int) -> None:
        """The average follows ever more slowly; at the last step it is what remains."""
        if step % self.every and step < steps:
            return
        decay = self.decay**self.every * (step / steps) ** 3 if step < steps else 1.0
        with self.torch.no_grad():
            for slow, fast in zip(self.slow, self.fast, strict=True):
                slow.mul_(decay).add_(fast, alpha=1 - decay)
                fast.copy_(slow)


def accuracy(torch: Any, model: Any, held_out: images.Images) -> tuple[float, float]:
    """Of each image as it is, and of the mean of the scores for it and its mirror image."""
    right = np.zeros(2)
    with torch.no_grad():
        for start in range(0, len(held_out.labels), 500):
            x = held_out.normalised(held_out.pixels[start : start + 500])
            mirrored = np.ascontiguousarray(x[..., ::-1])
            plain, turned = (model(view).numpy() for view in (x, mirrored))
            y = held_out.labels[start : start + 500]
            right += [(scores.argmax(1) == y).sum() for scores in (plain, plain + turned)]
    plain, both = right / len(held_out.labels)
    return float(plain), float(both)


def train(torch: Any, recipe: Recipe, train_set: Any, held_out: Any, seed: int) -> Iterator[dict[str, float]]:
    """The figures of each epoch as it ends."""
    torch.manual_seed(seed)
    start = time.perf_counter()
    batches = images.Batches(train_set, recipe.batch_size, seed, recipe.cutout)
    model = network.build(torch, images.whitening_filters(train_set), recipe.widths, recipe.depth)
    optimizer, lookahead = optimizer_of(torch, model, recipe), Lookahead(torch, model)
    rates = [group["lr"] for group in optimizer.param_groups]
    forward = fastest(torch, model)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    step, steps = 0, recipe.epochs * len(batches)
    for epoch in range(recipe.epochs):
        model.train()
        losses = 0.0
        for x, y in batches.epoch(epoch):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * triangle(step, steps)
            optimizer.zero_grad()
            loss = loss_of(forward(x), torch.tensor(y))
            loss.backward()
            optimizer.step()
            step += 1
            lookahead.step(step, steps)
            losses += loss.item()
        model.eval()
        plain, both = accuracy(torch, forward, held_out)
        seconds = time.perf_counter() - start
        yield {
            "epoch": epoch + 1,
            "seconds": round(seconds, 2),
            "loss": round(losses / len(batches), 4),
            "accuracy": plain,
            "accuracy_with_mirror": both,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="CIFAR-10 in any form that minicnn reads")
    parser.add_argument("--budget", type=int, choices=RECIPES, default=5, help="minutes")
    parser.add_argument("--framework", choices=("minicnn", "torch"), default="minicnn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="file for the figures, a line of JSON for each epoch")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="change the recipe")
    args = parser.parse_args()
    changes = {name: json.loads(value) for name, value in (item.split("=") for item in args.set)}
    recipe = Recipe(**{**asdict(RECIPES[args.budget]), **changes})
    torch = importlib.import_module(args.framework)
    torch.set_num_threads(2)
    for record in train(torch, recipe, *images.load(args.data), args.seed):
        line = json.dumps({"framework": args.framework, "budget": args.budget, **record})
        print(line, flush=True)
        if args.out:
            with open(args.out, "a", encoding="utf-8") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
