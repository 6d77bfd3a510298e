"""The same training runs for minicnn and for PyTorch: weights, batches and optimisers.

It imports neither; NumPy's PCG64 makes the same numbers everywhere, so only losses are recorded.
"""

from __future__ import annotations

import numpy as np

STEPS = 20

# model -> (batch size, shape of an image)
MODELS = {"lenet5": (8, (1, 28, 28)), "resnet20": (4, (3, 32, 32))}

OPTIMISERS = {
    "momentum": ("SGD", {"lr": 0.005, "momentum": 0.9}),
    "momentum and decay": ("SGD", {"lr": 0.005, "momentum": 0.9, "weight_decay": 5e-3}),
    "adam": ("Adam", {"lr": 1e-3}),
}


def weights(shapes):
    """By name, in the order of names: He-scaled weights, factors near 1, small offsets; float64.

    ``shapes`` maps the names of parameters to their shapes.
    """
    rng = np.random.Generator(np.random.PCG64(1))
    made = {}
    for name, shape in sorted(shapes.items()):
        noise = rng.standard_normal(shape)
        if len(shape) > 1:
            made[name] = noise * np.sqrt(2 / np.prod(shape[1:]))
        else:
            made[name] = 0.1 * noise + (1.0 if name.endswith("weight") else 0.0)
    return made


def batches(model):
    """(images, labels) for each step: float64 (N, C, H, W), and int64 (N,) in 0..9.

    Two batches take turns, so there is something to learn in 20 steps.
    """
    count, shape = MODELS[model]
    rng = np.random.Generator(np.random.PCG64(2))
    pair = [(0.5 * rng.standard_normal((count, *shape)), rng.integers(0, 10, count)) for _ in range(2)]
    for step in range(STEPS):
        yield pair[step % 2]
