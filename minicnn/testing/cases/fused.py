"""Rows of the operation table: fused operations, whose oracles are those of their parts."""

from __future__ import annotations

from minicnn.ops import fused
from minicnn.oracles import activation, conv, linear
from minicnn.testing.cases.conv import conv2d_samples, conv2d_tails
from minicnn.testing.cases.linear import layer_tails, layers
from minicnn.testing.spec import OpCase

__all__ = ["CASES"]


def _conv2d_relu(x, w, b=None, **attrs):
    return activation.relu(conv.conv2d(x, w, b, **attrs))


def _linear_relu(x, w, b=None):
    return activation.relu(linear.linear(x, w, b))


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
        nonfinite={1: "padding is multiplied as zeros, and 0 · NaN = 0 · ∞ = NaN; the oracle leaves it out"},
    ),
    OpCase(
        "linear_relu", fused.linear_relu, layers, _linear_relu, kinks=KINKS, exact=True, tails=layer_tails
    ),
]
