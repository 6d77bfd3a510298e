"""Fused operations: two or three plain ones computed at once, for backends that have a kernel for it.

They have no formulas of their own. The reference of each is the composition of its parts, and a test
holds them to it. Which fuse is said in ``rules``; how, in :mod:`minicnn.core.fusion`.
"""

from minicnn.ops.fused import rules  # noqa: F401 - makes the operations partners
from minicnn.ops.fused.layers import conv2d_add, conv2d_add_relu, conv2d_relu, linear_relu
from minicnn.ops.fused.normalization import batch_norm_add, batch_norm_add_relu, batch_norm_relu
from minicnn.ops.fused.pooling import relu_max_pool2d

__all__ = [
    "batch_norm_add",
    "batch_norm_add_relu",
    "batch_norm_relu",
    "conv2d_add",
    "conv2d_add_relu",
    "conv2d_relu",
    "linear_relu",
    "relu_max_pool2d",
]
