"""The kernel of dropout draws what NumPy's generator draws, bit for bit."""

import itertools

import numpy as np
import pytest

from minicnn.core import dispatch
from minicnn.testing import kernels

SEEDS = (0, 1, 2**40 + 3, 2**63 - 1)


def compare(x, **attrs):
    forward, backward = dispatch.kernels["dropout"], dispatch.kernels["dropout.backward"]
    y, (kept,) = kernels()["dropout"]["native"](x, **attrs)
    expected, (expected_kept,) = forward.reference(np, x, **attrs)
    assert kept.dtype == expected_kept.dtype and kept.shape == expected_kept.shape
    np.testing.assert_array_equal(kept, expected_kept)
    assert y.tobytes() == expected.tobytes()
    gx = kernels()["dropout.backward"]["native"](x, (kept,), (True,), **attrs)[0]
    assert gx.tobytes() == backward.reference(np, x, (kept,), (True,), **attrs)[0].tobytes()


def test_every_tail(native, level, rng):
    for n, seed in itertools.product((*range(35), 16_383, 16_384, 16_385, 49_153), SEEDS):
        compare(rng.standard_normal(n).astype(np.float32), p=0.3, seed=seed, channelwise=False)


@pytest.mark.parametrize("p", (0.0, 1e-9, 0.1, 0.5, 2 / 3, 1 - 2**-24, 1 - 2**-30, 1.0))
def test_every_probability(p, native, level, rng):
    compare(rng.standard_normal(100_000).astype(np.float32), p=p, seed=7, channelwise=False)


@pytest.mark.parametrize("steps", (-1, 0, 1))
def test_a_number_at_the_limit_itself(steps, native, level, rng):
    drawn = np.random.default_rng(7).random(100, dtype=np.float32)
    limit = float(drawn[drawn < 0.25][0]) + steps * 2.0**-26  # numbers drawn are multiples of 2^-24
    compare(rng.standard_normal(100).astype(np.float32), p=limit, seed=7, channelwise=False)


@pytest.mark.parametrize(
    "shape", ((3, 5), (0, 3), (2, 0, 4), (2, 3, 0), (5, 7, 1), (4, 5, 17), (2, 900, 3, 11))
)
def test_whole_channels(shape, native, level, rng):
    compare(rng.standard_normal(shape).astype(np.float32), p=0.4, seed=3, channelwise=True)


def test_dropped_infinities_are_nan_as_in_the_reference(native, level):
    x = np.array([np.inf, -np.inf, np.nan, -0.0, -1.0] * 20, np.float32)
    attrs = {"p": 0.5, "seed": 1, "channelwise": False}
    with np.errstate(invalid="ignore"):
        expected = dispatch.kernels["dropout"].reference(np, x, **attrs)[0]
    np.testing.assert_array_equal(kernels()["dropout"]["native"](x, **attrs)[0], expected)


def test_same_bits_for_any_number_of_threads(native, level, rng, steady):
    x = rng.standard_normal((70, 1000)).astype(np.float32)

    def call():
        y, (kept,) = kernels()["dropout"]["native"](x, p=0.5, seed=9, channelwise=False)
        return y, kept

    steady(call)
