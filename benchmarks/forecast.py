"""Holds the expected time of each layer (``minicnn summary``) beside the clock.

    python benchmarks/forecast.py [--threads N] [--rows]

Each layer of the five benchmark networks runs alone, forward and backward, on the batch that it gets there.
Prints how many of the expected times are within a factor of two, and whole training steps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import minicnn
from minicnn import models, nn, optim
from minicnn.bench.forecast import Forecast
from minicnn.bench.steps import networks
from minicnn.nn import functional as F
from minicnn.nn.summary import summarize


def median(run: Callable[[], object], least: float = 0.2) -> float:
    """Seconds of one call, the median of as many as fit in ``least`` seconds, at least nine."""
    for _ in range(3):
        run()
    taken: list[float] = []
    while len(taken) < 9 or sum(taken) < least:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def inputs_of(model: nn.Module, images: minicnn.Tensor) -> dict[str, minicnn.Tensor]:
    """What each layer without others inside gets first."""
    found: dict[str, minicnn.Tensor] = {}
    handles = []
    for name, layer in model.named_modules():
        if not any(layer.children()):

            def keep(layer: nn.Module, args: tuple[minicnn.Tensor, ...], name: str = name) -> None:
                found.setdefault(name, args[0].detach())

            handles.append(layer.register_forward_pre_hook(keep))
    model(images)
    for handle in handles:
        handle.remove()
    return found


def measured(model: nn.Module, images: minicnn.Tensor) -> Iterator[tuple[str, float]]:
    """Name and seconds of each layer, less what it takes to start a backward pass at all."""
    layers = dict(model.named_modules())
    started = median(training(nn.Identity(), minicnn.ones(1, requires_grad=True)))
    for number, (name, x) in enumerate(inputs_of(model, images).items()):
        layer = layers[name]
        x.requires_grad = number > 0
        yield name, median(training(layer, x)) - started


def training(layer: nn.Module, x: minicnn.Tensor) -> Callable[[], None]:
    """The layer, forward and backward."""
    grad = minicnn.randn(*layer(x).shape)

    def step() -> None:
        y = layer(x)
        if y.requires_grad:
            y.backward(grad)
        x.grad = None
        layer.zero_grad()

    return step


def whole_step(model: nn.Module, images: minicnn.Tensor, labels: minicnn.Tensor) -> float:
    """Seconds of a training step, layer by layer."""
    optimizer = optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return median(step, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", action="store_true", help="print every layer")
    args = parser.parse_args()
    minicnn.set_num_threads(args.threads)
    minicnn.manual_seed(0)
    near = count = 0
    for name in networks.LAYERS:
        model, shape = models.build(name), (networks.BATCH[name], *networks.INPUT[name])
        images, labels = minicnn.randn(*shape), minicnn.zeros(shape[0], dtype=minicnn.int64)
        forecast = Forecast()
        rows = summarize(model, shape, seconds_of=forecast.seconds)
        expected = {row.name: row.seconds for row in reversed(rows)}  # of a layer used twice, the first call
        for layer, seconds in measured(model, images):
            if not expected.get(layer):
                continue  # it computes nothing
            ratio = expected[layer] / seconds
            near += 0.5 <= ratio <= 2
            count += 1
            if args.rows:
                print(f"| {name} {layer} | {expected[layer] * 1e6:.1f} | {seconds * 1e6:.1f} | {ratio:.2f} |")
        step = rows.seconds + forecast.update(rows.parameters)
        taken = whole_step(model, images, labels)
        print(f"{name}: step expected {step * 1e3:.3f} ms, taken {taken * 1e3:.3f} ms, {step / taken:.2f}")
    print(f"{near} of {count} layers within a factor of two")


if __name__ == "__main__":
    main()
