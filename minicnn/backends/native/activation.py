"""Activations; kernels/activation.cpp."""

from __future__ import annotations

from minicnn.backends.native.maps import lay_over
from minicnn.ops import activation

for _name in ("relu", "sigmoid", "tanh"):
    lay_over(getattr(activation, _name), saved="y")
for _name in ("leaky_relu", "hardtanh", "elu", "softplus", "silu", "gelu"):
    lay_over(getattr(activation, _name), saved="x")
