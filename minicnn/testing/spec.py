"""What a row of the operation table says.

The table itself is ``minicnn/testing/cases/``, one file per family of operations. Every test
that holds for all operations, and ``minicnn gradcheck``, walk over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["LENGTHS", "SUMS", "Invalid", "OpCase", "Sample"]

LENGTHS = (3, 4, 5, 8, 9, 12, 15, 16, 17, 31, 32, 33, 64, 65)  # around the widths of vector registers
SUMS = ("result", "gradient")  # for rows of which both are, see OpCase.sums


@dataclass(frozen=True)
class Sample:
    """One call: float64 arrays (integers where indices are meant), numbers or None; attributes."""

    inputs: tuple[Any, ...]
    attrs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Invalid:
    """A call that must be refused with this error, its text matching the regular expression."""

    inputs: tuple[Any, ...]
    attrs: dict[str, Any]
    error: type[Exception]
    match: str


@dataclass(frozen=True, eq=False)
class OpCase:
    """One operation, and all that a test needs to know of it.

    Attributes
    ----------
    name : str
        Its public name, such as ``"conv2d"``.
    function : callable
        Called on tensors: ``function(*inputs, **attrs)``; an ``Op`` or a composition of some.
    samples : callable
        ``samples(rng)`` gives the calls to try: small, covering every attribute, edge and tail
        (batch 0 and 1, size-1 dimensions, broadcasting). ``rng`` is a NumPy generator.
    oracle : callable
        ``oracle(*inputs, **attrs)`` in literal loops on float64, from ``minicnn.oracles``; sharing
        nothing with the operation.
    invalid : sequence of Invalid
        Calls to refuse.
    linear : sequence of int
        Operand positions in which, all else fixed and other additive operands left out, it is
        linear: these pass the adjoint test exactly, on integers in float32.
    constant : sequence of int
        Operand positions that have no derivative (indices, masks, targets).
    differentiable : bool
        False for comparisons and the like.
    inner : float
        The size of numbers of which rounding shows in the result however small that is; see
        :mod:`minicnn.testing.tolerance`. 0 if only the operands' rounding shows.
    inner_slope : callable
        The same for the gradients, in units of the largest incoming one: ``inner_slope(*inputs,
        **attrs)`` gives the size of slopes, a number or one for each operand.
    roundings : float
        How many roundings the formula makes beyond those of a sum, such as in a series.
    exact : bool
        Linear or like a maximum, so that on small integers nothing is rounded, whatever the order of
        additions: results and gradients are then compared for equality.
    tails : callable, optional
        As ``samples``, for kernels: sizes around multiples of 4, 8 and 16, images of one pixel, windows
        larger than the image. At most a few hundred elements each. Here, and nowhere else, the
        author of a kernel adds shapes; they go through ``forward`` and ``exact`` on every backend.
    nonfinite : dict
        By operand position: why NaN and infinities in it go elsewhere than in the oracle.
    padded : int, optional
        The position of the weights of a convolution, which may meet zeros that stand for no pixel, or
        not, or be declined if they are not finite; see :mod:`minicnn.testing.special`.
    overflow : str
        Why a kernel may overflow where the reference does not yet, with numbers as large as float32 has.
    sums : sequence of str
        Out of "result" and "gradient": what adds up, or multiplies by a factor that a kernel may fold into
        others. The sign of a zero is then free; all else must give the reference's.
    kinks : str
        Where it is not smooth, and the derivative taken there; empty if smooth everywhere.
    """

    name: str
    function: Callable[..., Any]
    samples: Callable[[np.random.Generator], Sequence[Sample]]
    oracle: Callable[..., Any]
    invalid: Sequence[Invalid] = ()
    linear: Sequence[int] = ()
    constant: Sequence[int] = ()
    differentiable: bool = True
    inner: float = 0.0
    inner_slope: Callable[..., float | Sequence[float]] | None = None
    roundings: float = 0.0
    exact: bool = False
    tails: Callable[[np.random.Generator], Sequence[Sample]] | None = None
    nonfinite: dict[int, str] = field(default_factory=dict)
    padded: int | None = None
    overflow: str = ""
    sums: Sequence[str] = ()
    kinks: str = ""
