"""Rows of the operation table: convolution and its transpose."""

from __future__ import annotations

import numpy as np

from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.ops import conv
from minicnn.oracles import conv as oracle
from minicnn.testing.spec import SUMS, Invalid, OpCase, Sample

__all__ = ["CASES"]


def _sample(rng, x, w, bias=True, **attrs):
    """A call on normal numbers in these shapes; the bias is per output channel."""
    outputs = w[1] * attrs.get("groups", 1) if "output_padding" in attrs else w[0]
    operands = [rng.standard_normal(x), rng.standard_normal(w)]
    return Sample((*operands, rng.standard_normal(outputs) if bias else None), attrs)


def conv2d_samples(rng):
    return [
        _sample(rng, (2, 2, 4, 3), (2, 2, 3, 2)),
        _sample(rng, (1, 1, 7, 8), (2, 1, 3, 3), bias=False, stride=(3, 2)),
        _sample(rng, (1, 2, 4, 5), (3, 2, 2, 3), stride=(2, 1), padding=((2, 0), (1, 3))),
        _sample(rng, (1, 1, 7, 6), (1, 1, 3, 2), padding=((0, 1), (1, 0)), dilation=(2, 3)),
        _sample(rng, (1, 4, 3, 4), (6, 2, 2, 2), groups=2, stride=(1, 2), padding=((1, 1), (0, 1))),
        _sample(rng, (1, 3, 4, 3), (3, 1, 3, 3), groups=3, padding=((1, 1), (1, 1))),  # depthwise
        _sample(rng, (2, 3, 2, 3), (2, 3, 1, 1), bias=False, stride=(1, 2)),  # 1 x 1
        _sample(rng, (2, 1, 3, 2), (2, 1, 5, 4), padding=((1, 1), (2, 0))),  # as large as the padded image
        _sample(rng, (0, 2, 3, 3), (2, 2, 2, 2)),
    ]


def _conv_transpose2d_samples(rng):
    return [
        _sample(rng, (2, 2, 2, 3), (2, 3, 3, 2), output_padding=(0, 0)),
        _sample(rng, (1, 2, 3, 2), (2, 1, 2, 3), bias=False, stride=(3, 2), output_padding=(2, 1)),
        _sample(
            rng, (1, 1, 3, 4), (1, 2, 3, 3), stride=(2, 1), padding=((2, 0), (1, 2)), output_padding=(1, 0)
        ),
        _sample(
            rng, (1, 1, 3, 2), (1, 2, 2, 3), dilation=(3, 2), output_padding=(2, 1), padding=((0, 1), (1, 0))
        ),
        _sample(rng, (1, 4, 2, 3), (4, 3, 2, 2), groups=2, stride=(2, 2), output_padding=(0, 1)),
        _sample(rng, (2, 3, 2, 2), (3, 1, 3, 3), groups=3, padding=((1, 1), (1, 1)), output_padding=(0, 0)),
        _sample(rng, (1, 2, 1, 1), (2, 2, 1, 1), bias=False, output_padding=(0, 0)),
        _sample(rng, (0, 2, 2, 2), (2, 1, 2, 2), output_padding=(0, 0)),
    ]


def conv2d_tails(rng):
    """Channels and columns around multiples of 4, 8 and 16; one pixel; kernels larger than the image."""
    one = ((1, 1), (1, 1))
    return [
        *(_sample(rng, (1, 2, 1, 3 + n), (2, 2, 1, 3), bias=False) for n in (1, 7, 8, 9, 15, 16, 17)),
        *(_sample(rng, (1, 1, 3, n), (2, 1, 3, 3), padding=one) for n in (4, 7, 8, 9)),
        *(_sample(rng, (1, c, 2, 2), (2, c, 2, 2)) for c in (3, 5, 8, 17)),
        *(_sample(rng, (1, 1, 2, 3), (o, 1, 2, 2)) for o in (3, 5, 8, 9, 17)),
        *(_sample(rng, (n, 1, 2, 2), (1, 1, 2, 2)) for n in (3, 5, 9)),
        *(_sample(rng, (2, c, 1, 1), (o, c, 1, 1)) for c, o in ((1, 1), (9, 5), (16, 17))),
        _sample(rng, (1, 2, 1, 1), (3, 2, 3, 3), padding=one),  # one pixel
        _sample(rng, (1, 1, 2, 1), (2, 1, 7, 5), padding=((3, 3), (2, 2))),  # much larger than the image
        _sample(rng, (1, 1, 9, 9), (1, 1, 2, 2), stride=(4, 4)),  # pixels that no window sees
        _sample(rng, (1, 1, 5, 9), (1, 1, 3, 3), dilation=(2, 4)),
        _sample(rng, (1, 8, 3, 3), (8, 1, 3, 3), groups=8, padding=one),  # depthwise
        *(
            _sample(rng, (1, 2, 5, n), (2, 1, 3, 3), groups=2, padding=one, stride=(s, s))
            for n in (1, 7, 8, 15, 16, 17)
            for s in (1, 2)
        ),
        _sample(rng, (2, 2, 6, 9), (2, 1, 5, 5), groups=2, padding=((2, 2), (2, 1))),
        _sample(rng, (1, 2, 5, 18), (2, 1, 5, 5), groups=2, padding=((1, 2), (3, 0)), stride=(2, 2)),
        _sample(rng, (1, 6, 2, 3), (9, 2, 2, 2), groups=3, stride=(2, 1), padding=one),
    ]


def _conv_transpose2d_tails(rng):
    plain = {"output_padding": (0, 0)}
    return [
        *(_sample(rng, (1, 2, 1, n), (2, 1, 1, 3), **plain) for n in (1, 6, 7, 8, 15, 17)),
        *(_sample(rng, (1, c, 2, 2), (c, o, 2, 2), **plain) for c, o in ((3, 5), (8, 9), (17, 1), (1, 17))),
        _sample(rng, (2, 2, 1, 1), (2, 3, 5, 4), padding=((2, 1), (1, 2)), **plain),  # one pixel
        _sample(
            rng, (1, 1, 2, 2), (1, 1, 1, 1), stride=(4, 3), output_padding=(3, 2)
        ),  # pixels never painted
        _sample(rng, (1, 8, 2, 2), (8, 1, 3, 3), groups=8, stride=(2, 2), output_padding=(1, 0)),
    ]


def _zeros(*shapes, dtype=np.float64):
    return tuple(np.zeros(shape, dtype) for shape in shapes)


_INVALID = [
    Invalid(
        _zeros((1, 3, 8), (4, 3, 3, 3)),
        {},
        ShapeError,
        r"x of 4 dimensions \(N, C, H, W\), got .*\(1, 3, 8\)",
    ),
    Invalid(_zeros((1, 3, 8, 8), (3, 3, 3)), {}, ShapeError, "w of 4 dimensions"),
    Invalid(_zeros((1, 3, 8, 8), (3, 3, 0, 3)), {}, ShapeError, "at least 1 x 1"),
    Invalid(
        _zeros((1, 3, 8, 8), (3, 3, 3, 3), (1, 3)),
        {},
        ShapeError,
        r"b of shape \(3,\), got b of shape \(1, 3\)",
    ),
    Invalid(_zeros((1, 3, 8, 8), (3, 3, 3, 3), dtype=np.int64), {}, DTypeError, "got x int64, w int64"),
    Invalid(_zeros((1, 3, 8, 8), (3, 3, 3, 3), dtype=np.float16), {}, DTypeError, "got x float16"),
    Invalid(_zeros((1, 3, 8, 8), (3, 3, 3, 3)), {"stride": (0, 1)}, OptionError, r"stride .* got \(0, 1\)"),
    Invalid(_zeros((1, 3, 8, 8), (3, 3, 3, 3)), {"dilation": (1, 0)}, OptionError, "dilation"),
    Invalid(
        _zeros((1, 3, 8, 8), (3, 3, 3, 3)), {"padding": ((0, -1), (0, 0))}, OptionError, "top and bottom"
    ),
    Invalid(_zeros((1, 3, 8, 8), (3, 3, 3, 3)), {"padding": (1, 1)}, OptionError, "padding"),
    Invalid(_zeros((1, 3, 8, 8), (3, 3, 3, 3)), {"groups": 0}, OptionError, "groups"),
]

CASES: list[OpCase] = [
    OpCase(
        name="conv2d",
        function=conv.conv2d,
        samples=conv2d_samples,
        oracle=oracle.conv2d,
        invalid=[
            *_INVALID,
            Invalid(
                _zeros((8, 3, 32, 32), (16, 4, 3, 3)),
                {},
                ShapeError,
                r"w\.shape\[1\] = C / groups = 3 / 1, got w of shape \(16, 4, 3, 3\) for x of shape \(8, 3, ",
            ),
            Invalid(_zeros((8, 32, 32, 3), (16, 3, 3, 3)), {}, ShapeError, r"permute\(0, 3, 1, 2\)"),
            Invalid(
                _zeros((1, 4, 8, 8), (3, 2, 3, 3)), {"groups": 2}, ShapeError, "O a multiple of groups = 2"
            ),
            Invalid(
                _zeros((1, 1, 4, 4), (1, 1, 3, 3)),
                {"dilation": (1, 2)},
                ShapeError,
                r"padded image of 4 x 4 pixels, got one that spans 3 x 5",
            ),
        ],
        linear=(0, 1, 2),
        exact=True,
        tails=conv2d_tails,
        nonfinite={1: "padding is multiplied as zeros, and 0 · NaN = 0 · ∞ = NaN; the oracle leaves it out"},
        padded=1,
        sums=SUMS,
    ),
    OpCase(
        name="conv_transpose2d",
        function=conv.conv_transpose2d,
        samples=_conv_transpose2d_samples,
        oracle=oracle.conv_transpose2d,
        invalid=[
            *_INVALID,
            Invalid(
                _zeros((1, 3, 4, 4), (4, 3, 3, 3)), {}, ShapeError, r"w\.shape\[0\] = C = 3, got w of shape"
            ),
            Invalid(
                _zeros((1, 3, 4, 4), (3, 2, 3, 3)), {"groups": 2}, ShapeError, "C a multiple of groups = 2"
            ),
            Invalid(
                _zeros((1, 3, 4, 4), (3, 3, 3, 3)),
                {"stride": (2, 2), "output_padding": (2, 0)},
                OptionError,
                r"output_padding less than stride \(2, 2\)",
            ),
            Invalid(
                _zeros((1, 1, 1, 1), (1, 1, 2, 2)), {"padding": ((1, 1), (0, 0))}, ShapeError, "got 0 x 2"
            ),
        ],
        linear=(0, 1, 2),
        exact=True,
        tails=_conv_transpose2d_tails,
        padded=1,
        sums=SUMS,
    ),
]
