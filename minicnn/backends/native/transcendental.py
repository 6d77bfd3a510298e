"""Exponential and logarithm; kernels/transcendental.cpp. Unlike NumPy they give no warnings."""

from __future__ import annotations

from minicnn.backends.native.maps import lay_over
from minicnn.ops.transcendental import exp, log

lay_over(exp, saved="y")
lay_over(log, saved="x")
