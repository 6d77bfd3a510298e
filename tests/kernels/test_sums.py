"""Long sums of numbers of one sign: where errors do not cancel, they must not grow with the length either.

u is the unit roundoff, 2⁻²⁴. A sum of n numbers in a row, all of one sign, may lose n·u of itself; cut into
chains of c numbers whose m results are added up, (c + m)·u, and a rounding each for products, means and
results. Every case says how its kernel cuts: most chains have 128 numbers, the last up to 256, and m is
n / 128; where vectors lie along the sum, each of their lanes has a chain of its own.
"""

import numpy as np
import pytest

import minicnn
from minicnn import backends, nn
from minicnn.core.op import ops
from minicnn.testing.tolerance import unit

LANES = {"avx512": 16, "avx2": 8, "baseline": 4}
DRAWS = {
    "constant": lambda rng, shape: np.full(shape, 0.1, np.float32),
    "normal": lambda rng, shape: abs(rng.standard_normal(shape, dtype=np.float32)),
}
CONV = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
SEVERAL = 6  # other roundings: products, divisions, the lanes' own sums


def by(name, backward=None, **attrs):
    """call(x, y): an operation, or its gradient `backward` with y as what comes in."""

    def call(*arrays):
        op = ops[name]
        operands = arrays if backward is None else arrays[:-1]
        result, saved = op.run([*operands], op.defaults | attrs)
        if backward is None:
            return result
        needs = tuple(i == backward for i in range(len(operands)))
        return op.run_backward(arrays[-1], saved, needs, op.defaults | attrs)[backward]

    return call


def columns_in_runs(a, b):
    return by("matmul")(a, b.T)


def frozen_layer(x, w):
    if x.dtype == np.float64:
        return x @ w.T
    layer = nn.Linear(w.shape[1], w.shape[0], bias=False)
    with minicnn.no_grad():
        layer.weight.copy_(minicnn.tensor(w))
    frozen = minicnn.freeze(layer, minicnn.tensor(x))
    assert frozen.reason is None
    return frozen(minicnn.tensor(x)).numpy()


def probabilities(dim):
    """Of logits below the first one, the largest: so exponentials of equal ones are no whole numbers."""

    def call(x):
        logits = -x
        logits[0, 0] = 2
        return by("softmax", dim=dim)(logits)

    return call


# call, shapes of its operands, chain, how many of them are added (of so many lanes)
CASES = {
    "direct convolution": (by("conv2d", groups=1, **CONV), [(1, 2048, 4, 6), (5, 2048, 3, 3)], 256, 144),
    "direct convolution, backward": (
        by("conv2d", 0, groups=1, **CONV),
        [(1, 3, 6, 7), (2048, 3, 3, 3), (1, 2048, 4, 5)],
        256,
        144,
    ),
    "weights' gradient by numbers": (
        by("conv2d", 1, groups=1, **CONV),
        [(8, 24, 130, 130), (40, 24, 3, 3), (8, 40, 128, 128)],
        128,
        lambda lanes: 128 + 128 + 8,  # an image a task, its pixels in chains and blocks
    ),
    "weights' gradient by lanes": (
        by("conv2d", 1, groups=1, **CONV),
        [(16, 1, 258, 260), (3, 1, 3, 3), (16, 3, 256, 258)],
        512,
        lambda lanes: 2 * 16 * 258 // lanes + lanes + 8,
    ),
    "depthwise convolution": (by("conv2d", groups=2, **CONV), [(1, 2, 100, 100), (2, 1, 99, 97)], 256, 75),
    "depthwise, weights' gradient": (
        by("conv2d", 1, groups=8, **CONV),
        [(6000, 8, 10, 10), (8, 1, 3, 3), (6000, 8, 8, 8)],
        2 * 128,  # images: half a vector holds a row of each
        lambda lanes: 8 + lanes,
    ),
    "depthwise, weights' gradient of tall images": (
        by("conv2d", 1, groups=1, **CONV),
        [(1, 1, 9002, 18), (1, 1, 3, 3), (1, 1, 9000, 16)],
        128,
        lambda lanes: 128 + lanes,
    ),
    "depthwise, weights' gradient of 4x4": (
        by("conv2d", 1, groups=2, **CONV),
        [(2, 2, 515, 515), (2, 1, 4, 4), (2, 2, 512, 512)],
        128,
        lambda lanes: lanes,
    ),
    "dense product": (by("matmul"), [(16, 1 << 16), (1 << 16, 33)], 256, 128 + 4),
    "dense product of few rows": (by("matmul"), [(3, 1 << 16), (1 << 16, 70)], 256, 512),
    "dense product of columns and a vector": (
        lambda a, b: by("matmul")(a.T, b),
        [(1 << 16, 70), (1 << 16, 1)],
        256,
        512,
    ),
    "dense product of runs": (
        columns_in_runs,
        [(3, 1 << 19), (8, 1 << 19)],
        128,
        lambda lanes: (1 << 19) // (128 * lanes) + lanes,
    ),
    "frozen dense layer": (frozen_layer, [(3, 25088), (40, 25088)], 256, 196),
    "global average pooling": (
        by("adaptive_avg_pool2d", output_size=(1, 1)),
        [(1, 2, 2048, 1024)],
        128,
        lambda lanes: (1 << 21) // (4 * 128 * lanes) + lanes,
    ),
    "adaptive pooling": (by("adaptive_avg_pool2d", output_size=(2, 1)), [(1, 1, 40001, 9)], 256, 160 + 9),
    "average pooling of tall windows": (
        by("avg_pool2d", kernel_size=(16384, 1), stride=(1, 1), padding=((0, 0), (0, 0))),
        [(1, 1, 16385, 5)],
        256,
        128,
    ),
    "average pooling of wide windows": (
        by("avg_pool2d", kernel_size=(1, 16384), stride=(1, 1), padding=((0, 0), (0, 0))),
        [(1, 1, 3, 16385)],
        256,
        128,
    ),
    "softmax of runs": (
        probabilities(1),
        [(2, 1 << 19)],
        256,
        lambda lanes: (1 << 19) // (128 * lanes) + lanes,
    ),
    "softmax of columns": (probabilities(0), [(1 << 16, 5)], 256, 512),
    "mean squared error": (
        lambda x: by("mse_loss", reduction="mean")(x, np.zeros_like(x)),
        [(1 << 22,)],
        32,
        lambda lanes: lanes,
    ),
    "layer normalization": (
        by("layer_norm", 2, normalized_shape=(70,)),
        [(1 << 16, 70), (70,), (70,), (1 << 16, 70)],
        64,
        8,
    ),
}


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("case", CASES)
def test_long_sums_lose_no_more_than_their_chains(case, draw, level, rng):
    call, shapes, chain, more = CASES[case]
    arrays = [DRAWS[draw](rng, shape) for shape in shapes]
    exact = call(*(a.astype(np.float64) for a in arrays))
    with backends.use_strict():
        found = call(*arrays)
    more = more(LANES[level]) if callable(more) else more
    assert found.dtype == np.float32
    assert (exact > 0).all()
    assert (abs(found / exact - 1) / unit(np.float32)).max() < chain + more + SEVERAL
