"""The five benchmark networks as data, which every framework's module builds in its own words.

=================  ===============  ==================================================================
network            one sample       layers
=================  ===============  ==================================================================
mlp                784              dense 256, 128, 10 with ReLU between
lenet5             1 x 28 x 28      LeCun's, with ReLU and max pooling
vgg_small          3 x 32 x 32      two 3 x 3 convolutions and max pooling for 32, 64, 128 channels
resnet20           3 x 32 x 32      He's for CIFAR, shortcuts without parameters
depthwise_small    3 x 32 x 32      a small MobileNet
=================  ===============  ==================================================================

A layer is a tuple: its kind, then its sizes. ``conv`` has channels in and out, kernel, stride, padding,
groups, and whether there is a bias; ``bn`` and ``linear`` their sizes; ``block`` a residual block's
channels in and out and its stride; ``relu``, ``pool`` (2 x 2 maximum), ``mean`` (of each channel) and
``flatten`` none.
"""

from __future__ import annotations

from typing import Any

__all__ = ["BATCH", "INPUT", "LAYERS", "parameters"]

Layer = tuple[Any, ...]

INPUT: dict[str, tuple[int, ...]] = {
    "mlp": (784,),
    "lenet5": (1, 28, 28),
    "vgg_small": (3, 32, 32),
    "resnet20": (3, 32, 32),
    "depthwise_small": (3, 32, 32),
}
BATCH = {"mlp": 128, "lenet5": 64, "vgg_small": 64, "resnet20": 128, "depthwise_small": 64}  # in training


def _conv(
    c_in: int, c_out: int, kernel: int, stride: int = 1, padding: int = 1, groups: int = 1
) -> list[Layer]:
    """Convolution without bias, batch normalisation, ReLU."""
    return [("conv", c_in, c_out, kernel, stride, padding, groups, False), ("bn", c_out), ("relu",)]


def _dense(*sizes: int) -> list[Layer]:
    layers: list[Layer] = []
    for before, after in zip(sizes, sizes[1:], strict=False):
        layers += [("linear", before, after), ("relu",)]
    return layers[:-1]


def _vgg() -> list[Layer]:
    layers: list[Layer] = []
    for before, channels in ((3, 32), (32, 64), (64, 128)):
        for c_in in (before, channels):
            layers += [("conv", c_in, channels, 3, 1, 1, 1, True), ("relu",)]
        layers.append(("pool",))
    return [*layers, ("flatten",), *_dense(2048, 256, 10)]


def _resnet() -> list[Layer]:
    layers, before = _conv(3, 16, 3), 16
    for channels in (16, 32, 64):
        for _ in range(3):
            layers.append(("block", before, channels, 1 if before == channels else 2))
            before = channels
    return [*layers, ("mean",), ("linear", 64, 10)]


def _depthwise() -> list[Layer]:
    layers = _conv(3, 32, 3)
    for c_in, c_out, stride in ((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2)):
        layers += _conv(c_in, c_in, 3, stride, groups=c_in) + _conv(c_in, c_out, 1, padding=0)
    return [*layers, ("mean",), ("linear", 256, 10)]


LAYERS: dict[str, list[Layer]] = {
    "mlp": _dense(784, 256, 128, 10),
    "lenet5": [
        ("conv", 1, 6, 5, 1, 2, 1, True),
        ("relu",),
        ("pool",),
        ("conv", 6, 16, 5, 1, 0, 1, True),
        ("relu",),
        ("pool",),
        ("flatten",),
        *_dense(400, 120, 84, 10),
    ],
    "vgg_small": _vgg(),
    "resnet20": _resnet(),
    "depthwise_small": _depthwise(),
}


def parameters(layers: list[Layer]) -> int:
    """How many numbers are trained.

    Examples
    --------
    >>> parameters(LAYERS["lenet5"])
    61706
    """
    return sum(_parameters(*layer) for layer in layers)


def _parameters(kind: str, *sizes: int) -> int:
    if kind == "conv":
        c_in, c_out, kernel, _, _, groups, bias = sizes
        return c_out * (c_in // groups * kernel * kernel + bias)
    if kind == "bn":
        return 2 * sizes[0]
    if kind == "linear":
        return (sizes[0] + 1) * sizes[1]
    if kind == "block":
        c_in, c_out, _ = sizes
        return c_out * (c_in + c_out) * 9 + 4 * c_out
    return 0
