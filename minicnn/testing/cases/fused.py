"""Rows of the operation table: fused operations, whose oracles are those of their parts."""

from __future__ import annotations

import numpy as np

from minicnn.errors import DTypeError, ShapeError
from minicnn.ops import conv as ops
from minicnn.ops import fused
from minicnn.oracles import activation, conv, linear, normalization, pooling
from minicnn.testing.cases.conv import conv2d_samples, conv2d_tails
from minicnn.testing.cases.linear import layer_tails, layers
from minicnn.testing.cases.normalization import OVERFLOW, channel_tails, over_batch, steepness
from minicnn.testing.cases.pooling import max_pool2d_samples, max_pool2d_tails
from minicnn.testing.spec import SUMS, Invalid, OpCase, Sample

__all__ = ["CASES"]


def _conv2d_relu(x, w, b=None, **attrs):
    return activation.relu(conv.conv2d(x, w, b, **attrs))


def _conv2d_add(x, w, z, b=None, **attrs):
    return conv.conv2d(x, w, b, **attrs) + z


def _conv2d_add_relu(x, w, z, b=None, **attrs):
    return activation.relu(_conv2d_add(x, w, z, b, **attrs))


def _with_shortcut(samples):
    """The samples of a convolution, with numbers to add behind w."""

    def added(rng):
        for sample in samples(rng):
            x, w, *bias = sample.inputs
            size = ops.conv2d.output_shape(x, w, **sample.attrs)
            yield Sample((x, w, rng.standard_normal(size), *bias), sample.attrs)

    return lambda rng: list(added(rng))


def _linear_relu(x, w, b=None):
    return activation.relu(linear.linear(x, w, b))


def _relu_max_pool2d(x, **attrs):
    return pooling.max_pool2d(activation.relu(x), **attrs)


def _batch_norm_relu(x, w=None, b=None, **attrs):
    return activation.relu(normalization.batch_norm(x, w, b, **attrs))


def _batch_norm_add(x, z, w=None, b=None, **attrs):
    return normalization.batch_norm(x, w, b, **attrs) + z


def _batch_norm_add_relu(x, z, w=None, b=None, **attrs):
    return activation.relu(_batch_norm_add(x, z, w, b, **attrs))


def _steepness(x, z, w=None, b=None, **attrs):
    """Of what is added the slope is 1."""
    of_x, *of_parameters = steepness(0, 2, 3)(x, w, b, **attrs)
    return of_x, 0.0, *of_parameters


def _with_addition(samples):
    """The samples of a normalization, with numbers to add behind x."""

    def added(rng):
        for sample in samples(rng):
            x, *parameters = sample.inputs
            yield Sample((x, rng.standard_normal(x.shape), *parameters), sample.attrs)

    return lambda rng: list(added(rng))


IMAGE = np.zeros((2, 3, 2, 2))
WRONG_ADDITION = (
    Invalid((IMAGE, IMAGE[:1]), {}, ShapeError, r"z of the shape of x, \(2, 3, 2, 2\), got \(1, 3, 2, 2\)"),
    Invalid((IMAGE, IMAGE.astype(np.float32)), {}, DTypeError, "z in the dtype of the input, float64"),
    Invalid((IMAGE[:1, :, :1, :1],) * 2, {}, ShapeError, "more than 1 value per channel when training"),
)
WEIGHT = np.zeros((3, 3, 1, 1))
WRONG_SHORTCUT = (
    Invalid(
        (IMAGE, WEIGHT, IMAGE[:1]), {}, ShapeError, r"z of the result's shape, \(2, 3, 2, 2\), got \(1, 3"
    ),
    Invalid(
        (IMAGE, WEIGHT, IMAGE.astype(np.float32)), {}, DTypeError, "z in the dtype of the input, float64"
    ),
)
PADDED = {1: "padding is multiplied as zeros, and 0 · NaN = 0 · ∞ = NaN; the oracle leaves it out"}
KINKS = "where a result is 0, derivative 0"

CASES = [
    OpCase(
        "conv2d_relu",
        fused.conv2d_relu,
        conv2d_samples,
        _conv2d_relu,
        kinks=KINKS,
        exact=True,
        tails=conv2d_tails,
        nonfinite=PADDED,
        padded=1,
        sums=SUMS,
    ),
    OpCase(
        "conv2d_add",
        fused.conv2d_add,
        _with_shortcut(conv2d_samples),
        _conv2d_add,
        linear=(0, 1, 2, 3),
        exact=True,
        tails=_with_shortcut(conv2d_tails),
        nonfinite=PADDED,
        padded=1,
        invalid=WRONG_SHORTCUT,
        sums=SUMS,
    ),
    OpCase(
        "conv2d_add_relu",
        fused.conv2d_add_relu,
        _with_shortcut(conv2d_samples),
        _conv2d_add_relu,
        kinks=KINKS,
        exact=True,
        tails=_with_shortcut(conv2d_tails),
        nonfinite=PADDED,
        padded=1,
        invalid=WRONG_SHORTCUT,
        sums=SUMS,
    ),
    OpCase(
        "linear_relu",
        fused.linear_relu,
        layers,
        _linear_relu,
        kinks=KINKS,
        exact=True,
        tails=layer_tails,
        sums=SUMS,
    ),
    OpCase(
        "batch_norm_relu",
        fused.batch_norm_relu,
        over_batch,
        _batch_norm_relu,
        overflow=OVERFLOW,
        inner_slope=steepness(0, 2, 3),
        tails=channel_tails,
        kinks=KINKS,
        sums=SUMS,
    ),
    OpCase(
        "batch_norm_add",
        fused.batch_norm_add,
        _with_addition(over_batch),
        _batch_norm_add,
        overflow=OVERFLOW,
        inner_slope=_steepness,
        tails=_with_addition(channel_tails),
        invalid=WRONG_ADDITION,
        sums=SUMS,
    ),
    OpCase(
        "batch_norm_add_relu",
        fused.batch_norm_add_relu,
        _with_addition(over_batch),
        _batch_norm_add_relu,
        overflow=OVERFLOW,
        inner_slope=_steepness,
        tails=_with_addition(channel_tails),
        invalid=WRONG_ADDITION,
        kinks=KINKS,
        sums=SUMS,
    ),
    OpCase(
        "relu_max_pool2d",
        fused.relu_max_pool2d,
        max_pool2d_samples,
        _relu_max_pool2d,
        kinks=f"{KINKS}; a tie between largest values: the first in row-major order",
        exact=True,
        tails=max_pool2d_tails,
        sums=("gradient",),
    ),
]
