"""Rows of the operation table: pooling."""

from __future__ import annotations

import numpy as np

from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.ops import pooling
from minicnn.oracles import pooling as oracle
from minicnn.testing.spec import SUMS, Invalid, OpCase, Sample

__all__ = ["CASES"]

_TIES = "a tie between largest values: the first in row-major order"


def _distinct(rng, *shape):
    """Numbers no two of which are close: a small step does not change which is the largest."""
    count = int(np.prod(shape))
    return (rng.permutation(count).reshape(shape) - count / 2) / 4.0


def max_pool2d_samples(rng):
    def sample(shape, kernel_size, stride, **attrs):
        return Sample((_distinct(rng, *shape),), {"kernel_size": kernel_size, "stride": stride, **attrs})

    return [
        sample((2, 2, 4, 3), (2, 3), (2, 1)),
        sample((1, 2, 5, 5), (3, 2), (1, 2), padding=((1, 0), (0, 1))),  # overlapping
        sample((1, 1, 7, 7), (2, 3), (2, 1), dilation=(3, 2), padding=((2, 1), (0, 2))),
        sample((1, 2, 5, 4), (2, 2), (2, 3), ceil_mode=True),
        sample((1, 1, 6, 5), (3, 3), (3, 2), padding=((1, 1), (1, 0)), ceil_mode=True),
        sample((2, 1, 3, 4), (3, 4), (1, 1)),  # as large as the image
        sample((1, 3, 4, 4), (1, 1), (3, 2)),
        sample((0, 2, 4, 4), (2, 2), (2, 2)),
    ]


def _average(rng, shape, kernel_size, stride, **attrs):
    return Sample((rng.standard_normal(shape),), {"kernel_size": kernel_size, "stride": stride, **attrs})


def _avg_pool2d_samples(rng):
    """All divisors are powers of two, so that sums and means of small integers are exact."""
    return [
        _average(rng, (2, 2, 4, 3), (2, 2), (2, 1)),
        _average(rng, (1, 2, 5, 5), (4, 2), (1, 2), padding=((2, 1), (0, 1))),
        _average(rng, (1, 1, 5, 6), (2, 2), (2, 3), padding=((1, 0), (1, 1)), count_include_pad=False),
        _average(rng, (1, 2, 5, 4), (2, 2), (2, 3), ceil_mode=True),
        _average(
            rng, (1, 1, 6, 5), (3, 3), (3, 2), padding=((1, 1), (1, 0)), ceil_mode=True, divisor_override=8
        ),
        _average(rng, (2, 1, 4, 2), (4, 2), (1, 1)),
        _average(rng, (1, 3, 4, 4), (1, 1), (3, 2), divisor_override=-2),
        _average(rng, (0, 2, 4, 4), (2, 2), (2, 2)),
    ]


def _avg_pool2d_other_samples(rng):
    return [
        _average(rng, (2, 2, 4, 3), (3, 2), (1, 1)),
        _average(rng, (1, 1, 5, 6), (3, 3), (2, 2), padding=((1, 1), (0, 1)), count_include_pad=False),
        _average(rng, (1, 1, 6, 5), (3, 3), (2, 3), padding=((1, 0), (1, 1)), ceil_mode=True),
        _average(rng, (1, 1, 6, 5), (3, 3), (2, 3), ceil_mode=True, count_include_pad=False),
        _average(rng, (1, 2, 5, 5), (5, 3), (1, 2), divisor_override=7),
    ]


_TAILS = (  # image, window, stride, padding
    *(((1, 2, 2, n), (2, 2), (2, 2), ((0, 0), (0, 0))) for n in (2, 7, 8, 9, 15, 16, 17, 33)),
    *(((1, c, 2, 2), (2, 2), (1, 1), ((0, 0), (0, 0))) for c in (3, 5, 8, 17)),
    ((3, 1, 1, 1), (1, 1), (1, 1), ((0, 0), (0, 0))),  # one pixel
    ((1, 2, 1, 1), (2, 2), (1, 1), ((1, 1), (1, 1))),  # a window larger than the image
    ((1, 1, 9, 9), (4, 2), (5, 3), ((2, 2), (1, 1))),
    ((1, 1, 8, 9), (4, 4), (1, 1), ((0, 0), (0, 0))),  # much overlap
)


def _tails(draw):
    return lambda rng: [
        Sample((draw(rng, shape),), {"kernel_size": size, "stride": stride, "padding": padding})
        for shape, size, stride, padding in _TAILS
    ]


max_pool2d_tails = _tails(lambda rng, shape: _distinct(rng, *shape))


def _adaptive_samples(sizes):
    def samples(rng):
        return [Sample((_distinct(rng, *shape),), {"output_size": size}) for shape, size in sizes]

    return samples


_POWERS_OF_TWO = [
    ((2, 3, 4, 2), (1, 1)),  # global
    ((1, 2, 4, 6), (2, 3)),
    ((1, 1, 7, 6), (6, 4)),  # overlapping windows of two
    ((1, 1, 2, 3), (4, 3)),  # more windows than rows
    ((0, 2, 4, 4), (2, 2)),
]
_OTHERS = [((2, 2, 5, 3), (1, 1)), ((1, 1, 7, 6), (3, 4)), ((1, 2, 5, 5), (3, 2)), ((1, 1, 3, 2), (5, 3))]


def _invalid(attrs, error, match, shape=(1, 1, 4, 4), dtype=np.float64):
    return Invalid((np.zeros(shape, dtype),), attrs, error, match)


_WINDOW = {"kernel_size": (2, 2), "stride": (2, 2)}
_INVALID = [
    _invalid(_WINDOW, ShapeError, r"x of 4 dimensions \(N, C, H, W\)", shape=(4, 4)),
    _invalid(_WINDOW, ShapeError, "a window that fits into the padded image of 1 x 4", shape=(1, 1, 1, 4)),
    _invalid(_WINDOW, DTypeError, "bool", dtype=np.bool_),
    _invalid({**_WINDOW, "kernel_size": (2, 0)}, OptionError, "kernel_size"),
    _invalid({**_WINDOW, "stride": (0, 2)}, OptionError, "stride"),
    _invalid({**_WINDOW, "stride": (1.5, 2)}, OptionError, "stride"),
    _invalid({**_WINDOW, "padding": ((0, 2), (0, 0))}, OptionError, "at most half the window"),
    _invalid({**_WINDOW, "padding": ((-1, 0), (0, 0))}, OptionError, "top and bottom"),
]
_INVALID_ADAPTIVE = [
    _invalid({"output_size": (1, 1)}, ShapeError, "x of 4 dimensions", shape=(4, 4)),
    _invalid({"output_size": (1, 1)}, ShapeError, "images of at least 1 x 1", shape=(1, 1, 0, 4)),
    _invalid({"output_size": (1, 1)}, DTypeError, "bool", dtype=np.bool_),
    _invalid({"output_size": (0, 1)}, OptionError, "output_size"),
]

CASES: list[OpCase] = [
    OpCase(
        name="max_pool2d",
        function=pooling.max_pool2d,
        samples=max_pool2d_samples,
        oracle=oracle.max_pool2d,
        invalid=[
            *_INVALID,
            _invalid({**_WINDOW, "dilation": (1, 0)}, OptionError, "dilation"),
            # The only window has its two taps on either side of the one pixel.
            _invalid(
                {**_WINDOW, "padding": ((1, 1), (0, 0)), "dilation": (2, 1)},
                OptionError,
                "a window must hold a pixel",
                shape=(1, 1, 1, 4),
            ),
        ],
        kinks=_TIES,
        exact=True,
        tails=max_pool2d_tails,
        sums=("gradient",),
    ),
    OpCase(
        name="avg_pool2d",
        function=pooling.avg_pool2d,
        samples=_avg_pool2d_samples,
        oracle=oracle.avg_pool2d,
        invalid=[
            *_INVALID,
            _invalid(_WINDOW, DTypeError, "int64", dtype=np.int64),
            _invalid({**_WINDOW, "divisor_override": 0}, OptionError, "divisor_override"),
        ],
        linear=(0,),
        exact=True,
        tails=_tails(lambda rng, shape: rng.standard_normal(shape)),
        sums=SUMS,
    ),
    OpCase(
        name="avg_pool2d, any divisor",
        function=pooling.avg_pool2d,
        samples=_avg_pool2d_other_samples,
        oracle=oracle.avg_pool2d,
        sums=SUMS,
    ),
    OpCase(
        name="adaptive_avg_pool2d",
        function=pooling.adaptive_avg_pool2d,
        samples=_adaptive_samples(_POWERS_OF_TWO),
        oracle=oracle.adaptive_avg_pool2d,
        invalid=[*_INVALID_ADAPTIVE, _invalid({"output_size": (1, 1)}, DTypeError, "int64", dtype=np.int64)],
        linear=(0,),
        exact=True,
        sums=SUMS,
    ),
    OpCase(
        name="adaptive_avg_pool2d, any divisor",
        function=pooling.adaptive_avg_pool2d,
        samples=_adaptive_samples(_OTHERS),
        oracle=oracle.adaptive_avg_pool2d,
        sums=SUMS,
    ),
    OpCase(
        name="adaptive_max_pool2d",
        function=pooling.adaptive_max_pool2d,
        samples=_adaptive_samples(_POWERS_OF_TWO + _OTHERS),
        oracle=oracle.adaptive_max_pool2d,
        invalid=_INVALID_ADAPTIVE,
        kinks=_TIES,
        exact=True,
        sums=("gradient",),
    ),
]
