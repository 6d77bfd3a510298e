"""Trains a small network on CIFAR-10 within some minutes, in minicnn or, by the same lines, in PyTorch.

    python examples/cifar10/train.py DATA [--minutes 5|12|30|90] [--framework minicnn|torch] [--out RUNS.jsonl]

Prints a line of JSON with the recipe and one for each epoch, and appends them to ``--out``: seconds since the
start, and the accuracy on the images held out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import images
import network
import numpy as np


@dataclass(frozen=True)
class Recipe:
    """What to train, and how; rates are for the mean loss of a batch of 1,024."""

    epochs: int
    widths: tuple[int, int, int] = (64, 256, 256)
    depth: int = 2
    activation: str = "GELU"
    shift: int = 2
    cutout: int = 0
    batch_size: int = 512
    lr: float = 1.5
    weight_decay: float = 0.002  # of one step: not to be multiplied by the rate
    momentum: float = 0.85
    bias_scale: float = 64.0
    label_smoothing: float = 0.2


#: By minutes: the recipe, with the number of epochs for which minicnn has the time on two cores, and PyTorch's.
RECIPES = {
    5: (Recipe(epochs=8, widths=(64, 192, 192)), 5),
    12: (Recipe(epochs=15), 9),
    30: (Recipe(epochs=17, widths=(128, 384, 384), shift=4), 9),
    90: (
        Recipe(epochs=45, widths=(128, 384, 384), shift=4, cutout=8),
        27,
    ),  # 83: both in one sitting of 3 hours
}


def triangle(step: int, steps: int, start: float = 0.2, peak: float = 0.23, end: float = 0.07) -> float:
    """The rate's factor: from ``start`` up to 1 at the share ``peak`` of the steps, and down to ``end``."""
    return float(np.interp(step / steps, (0, peak, 1), (start, 1, end)))


def optimizer_of(torch: Any, model: Any, recipe: Recipe) -> Any:
    """SGD with Nesterov's momentum; the biases of the normalisations learn much faster than the weights."""
    lr, decay = (value * recipe.batch_size / 1024 for value in (recipe.lr, recipe.weight_decay))
    biases = [layer.bias for layer in model if isinstance(layer, torch.nn.BatchNorm2d)]
    fast = set(map(id, biases))
    weights = [p for p in model.parameters() if p.requires_grad and id(p) not in fast]
    groups = [
        {"params": weights, "lr": lr, "weight_decay": decay / lr},
        {"params": biases, "lr": lr * recipe.bias_scale, "weight_decay": decay / lr / recipe.bias_scale},
    ]
    fused = torch.__name__ == "torch" or None  # minicnn's is always
    return torch.optim.SGD(groups, lr=lr, momentum=recipe.momentum, nesterov=True, fused=fused)


class Lookahead:
    """Every few steps, the weights go back to their average, which follows them slowly (Zhang et al. 2019)."""

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


def fastest(torch: Any, model: Any) -> Callable[[np.ndarray], Any]:
    """The model as its framework computes it fastest, from a batch of images to scores."""
    if torch.__name__ == "minicnn":
        compiled = torch.compile(model)
        return lambda x: compiled(torch.tensor(x))
    layout = {"memory_format": torch.channels_last}
    model.to(**layout)
    return lambda x: model(torch.tensor(x).to(**layout))


def accuracy(
    torch: Any, scores_of: Callable[[np.ndarray], Any], held_out: images.Images, mirror: bool
) -> float:
    """The share of images classified rightly, by the mean of the scores of both mirror images if asked for."""
    right = 0
    with torch.no_grad():
        for start in range(0, len(held_out.labels), 500):
            x = held_out.normalised(held_out.pixels[start : start + 500])
            scores = scores_of(x).numpy()
            if mirror:
                scores = scores + scores_of(np.ascontiguousarray(x[..., ::-1])).numpy()
            right += int((scores.argmax(1) == held_out.labels[start : start + 500]).sum())
    return right / len(held_out.labels)


def train(torch: Any, recipe: Recipe, parts: tuple[Any, Any], seed: int) -> Iterator[dict[str, float]]:
    """The figures of each epoch as it ends."""
    start = time.perf_counter()
    torch.manual_seed(seed)
    train_set, held_out = parts
    batches = images.Batches(train_set, recipe.batch_size, seed, recipe.shift, recipe.cutout)
    filters = images.whitening_filters(train_set)
    model = network.build(torch, filters, recipe.widths, recipe.activation, recipe.depth)
    scores_of = fastest(torch, model)  # first: PyTorch gives the parameters new memory for another layout
    optimizer, lookahead = optimizer_of(torch, model, recipe), Lookahead(torch, model)
    rates = [group["lr"] for group in optimizer.param_groups]
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    step, steps = 0, recipe.epochs * len(batches)
    for epoch in range(recipe.epochs):
        model.train()
        losses = 0.0
        for x, y in batches.epoch(epoch):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * triangle(step, steps)
            optimizer.zero_grad()
            loss = loss_of(scores_of(x), torch.tensor(y))
            loss.backward()
            optimizer.step()
            step += 1
            lookahead.step(step, steps)
            losses += loss.item()
        model.eval()
        last = epoch == recipe.epochs - 1
        figures = {
            "loss": losses / len(batches),
            "accuracy": accuracy(torch, scores_of, held_out, mirror=False),
        }
        if last:
            figures["accuracy_with_mirror"] = accuracy(torch, scores_of, held_out, mirror=True)
        yield {"epoch": epoch + 1, "seconds": round(time.perf_counter() - start, 2), **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="CIFAR-10 in any form that minicnn reads")
    parser.add_argument("--minutes", type=int, choices=RECIPES, default=5)
    parser.add_argument("--framework", choices=("minicnn", "torch"), default="minicnn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", help="file to append the figures to")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="change the recipe")
    args = parser.parse_args()
    recipe, torch_epochs = RECIPES[args.minutes]
    if args.framework == "torch":
        recipe = replace(recipe, epochs=torch_epochs)
    recipe = replace(recipe, **{name: json.loads(value) for name, value in (s.split("=") for s in args.set)})
    torch = importlib.import_module(args.framework)
    torch.set_num_threads(args.threads)
    facts = {"framework": args.framework, "minutes": args.minutes, "seed": args.seed}
    write(
        {**facts, "version": torch.__version__, "threads": args.threads, "recipe": asdict(recipe)}, args.out
    )
    for figures in train(torch, recipe, images.load(args.data), args.seed):
        write({**facts, **figures}, args.out)


def write(record: dict[str, Any], path: str | None) -> None:
    """A line of JSON, for people and for the file."""
    line = json.dumps(record)
    print(line, flush=True)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
