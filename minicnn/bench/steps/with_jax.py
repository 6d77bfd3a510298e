"""The step of JAX: one compiled function, images as (N, H, W, C), buffers donated."""

from __future__ import annotations

import math
from typing import Any

import jax  # type: ignore[import-not-found, unused-ignore]
import jax.numpy as jnp  # type: ignore[import-not-found, unused-ignore]
import numpy as np
from jax import lax

from . import networks
from .job import Job, Step

Arrays = dict[str, Any]


class Network:
    """A network as a function; ``parameters`` are trained, ``statistics`` follow the batches."""

    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers
        self.rng = np.random.default_rng(0)
        self.parameters: Arrays = {}
        self.statistics: Arrays = {}
        for i, layer in enumerate(layers):
            self.make(str(i), *layer)

    def make(self, name: str, kind: str, *sizes: int) -> None:
        """The numbers of one layer, see :mod:`.networks`."""
        if kind == "conv":
            c_in, c_out, kernel, _, _, groups, bias = sizes
            self.make_weight(name, (kernel, kernel, c_in // groups, c_out), bool(bias))
        elif kind == "linear":
            self.make_weight(name, sizes, True)
        elif kind == "bn":
            ones, zeros = np.ones(sizes[0], np.float32), np.zeros(sizes[0], np.float32)
            self.parameters |= {f"{name}.w": ones, f"{name}.b": zeros}
            self.statistics |= {f"{name}.mean": zeros, f"{name}.var": ones}
        elif kind == "block":
            for part, layer in self.parts(*sizes).items():
                self.make(name + part, *layer)

    def make_weight(self, name: str, shape: tuple[int, ...], bias: bool) -> None:
        scale = math.sqrt(2 / math.prod(shape[:-1]))
        self.parameters[f"{name}.w"] = self.rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)
        if bias:
            self.parameters[f"{name}.b"] = np.zeros(shape[-1], np.float32)

    @staticmethod
    def parts(c_in: int, c_out: int, stride: int) -> dict[str, tuple[Any, ...]]:
        """The layers of a residual block."""
        return {
            "a": ("conv", c_in, c_out, 3, stride, 1, 1, False),
            "b": ("bn", c_out),
            "c": ("relu",),
            "d": ("conv", c_out, c_out, 3, 1, 1, 1, False),
            "e": ("bn", c_out),
        }

    def __call__(self, p: Arrays, s: Arrays, x: Any, training: bool) -> tuple[Any, Arrays]:
        """The logits, and the new statistics."""
        new = dict(s)
        for i, layer in enumerate(self.layers):
            x = self.apply(str(i), layer, p, new, x, training)
        return x, new

    def apply(self, name: str, layer: Any, p: Arrays, s: Arrays, x: Any, training: bool) -> Any:
        kind, *sizes = layer
        if kind == "conv":
            y = convolve(p[f"{name}.w"], x, *sizes[3:6])
            return y + p[f"{name}.b"] if sizes[6] else y
        if kind == "linear":
            return x @ p[f"{name}.w"] + p[f"{name}.b"]
        if kind == "bn":
            return normalize(name, p, s, x, training)
        if kind == "pool":  # as a maximum over axes: its gradient is faster here than reduce_window's
            n, h, w, c = x.shape
            return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
        if kind == "block":
            y = x
            for part, inner in self.parts(*sizes).items():
                y = self.apply(name + part, inner, p, s, y, training)
            return jax.nn.relu(shortcut(x, *sizes) + y)
        return {"relu": jax.nn.relu, "mean": lambda x: x.mean((1, 2)), "flatten": flatten}[kind](x)


def flatten(x: Any) -> Any:
    return x.reshape(x.shape[0], -1)


def convolve(w: Any, x: Any, stride: int, padding: int, groups: int) -> Any:
    return lax.conv_general_dilated(
        x,
        w,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def normalize(name: str, p: Arrays, s: Arrays, x: Any, training: bool) -> Any:
    mean, var = s[f"{name}.mean"], s[f"{name}.var"]
    if training:
        here, here_var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        s[f"{name}.mean"], s[f"{name}.var"] = 0.9 * mean + 0.1 * here, 0.9 * var + 0.1 * here_var
        mean, var = here, here_var
    scale = p[f"{name}.w"] * lax.rsqrt(var + 1e-5)
    return x * scale + (p[f"{name}.b"] - mean * scale)


def shortcut(x: Any, c_in: int, c_out: int, stride: int) -> Any:
    more = (c_out - c_in) // 2
    return jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (more, more))) if more else x


def adam(p: Arrays, g: Arrays, m: Arrays, v: Arrays, t: Any) -> tuple[Arrays, Arrays, Arrays]:
    m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
    v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
    rate, root = 1e-3 / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
    p = jax.tree.map(lambda w, a, b: w - rate * a / (jnp.sqrt(b) / root + 1e-8), p, m, v)
    return p, m, v


def prepare(job: Job, images: Any, labels: Any) -> tuple[Step, dict[str, Any]]:
    """The step, and facts about it; see :mod:`.job`."""
    network = Network(networks.LAYERS[job.model])
    x = jnp.asarray(images.transpose(0, 2, 3, 1) if images.ndim == 4 else images)
    y = jnp.asarray(labels.astype(np.int32))
    p, s = (jax.tree.map(jnp.asarray, tree) for tree in (network.parameters, network.statistics))
    facts = {"version": jax.__version__, "parameters": sum(w.size for w in network.parameters.values())}
    if job.mode == "infer":
        forward = jax.jit(lambda p, s, x: network(p, s, x, False)[0])
        return lambda: forward(p, s, x).block_until_ready(), facts

    def loss(p: Arrays, s: Arrays, x: Any, y: Any) -> tuple[Any, Arrays]:
        logits, new = network(p, s, x, True)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean(), new

    def update(state: Any, x: Any, y: Any) -> Any:
        p, s, m, v, t = state
        (_, s), g = jax.value_and_grad(loss, has_aux=True)(p, s, x, y)
        p, m, v = adam(p, g, m, v, t + 1)
        return p, s, m, v, t + 1

    compiled = jax.jit(update, donate_argnums=0)
    state = [(p, s, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.float32(0))]

    def train() -> None:
        state[0] = jax.block_until_ready(compiled(state[0], x, y))

    return train, facts
