"""Softmax and its logarithm; kernels/probability.cpp."""

from __future__ import annotations

from minicnn.backends.native.maps import lay_over
from minicnn.ops.probability import log_softmax, softmax

lay_over(softmax, saved="y")
lay_over(log_softmax, saved="y")
