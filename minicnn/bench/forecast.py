"""What the layers of a model will take before any of them runs: their work, under the measured roof.

A pass of an operation that does F multiplications and additions of a product, or moves B bytes, takes about

    call + F / (share · FMA peak)     or     call + B / (share · copy)

FMA peak and copy are measured here and now (:mod:`.roof`), the latter for the level of the memory in which
the bytes have room. The shares are what the kernels reach of them: those that ``minicnn bench kernels`` found
(benchmarks/README.md). ``benchmarks/forecast.py`` holds the outcome beside the clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from minicnn import backends
from minicnn.bench.roof import Roof, home, levels, serving_level
from minicnn.errors import BackendError
from minicnn.nn.summary import macs
from minicnn.typing import Attrs

__all__ = ["Forecast"]


class _Passes(NamedTuple):
    """A number for each pass: forward, backward to the input, backward to the weights where there are any."""

    forward: float
    data: float
    weights: float = math.inf


_CALL = _Passes(4.5e-6, 5e-6, 8e-6)  # seconds of Python, and of waking the threads

# Shares of the FMA peak. Winograd does with a quarter of the multiplications; its shares are those of many
# channels, of which so many bring half of it.
_COMPUTING = {
    "product": _Passes(0.72, 0.70, 0.72),
    "direct": _Passes(0.68, 0.52, 0.57),
    "winograd": _Passes(3.1, 3.1, 2.5),
}
_HALF_AT = 24
_LANES = 16  # results that are computed side by side: fewer take as long

# Shares of the copy. In training the gradients need room beside what a pass moves, and both are old by then.
_MOVING = {
    "depthwise": _Passes(0.45, 0.45, 0.35),
    "batch_norm": _Passes(0.25, 0.25),
    "max_pool2d": _Passes(0.2, 0.2),
}
_OTHERS = _Passes(0.5, 0.5)
_ROOM = 3


class Forecast:
    """Expected seconds of operations by the native kernels, with the present number of threads.

    Parameters
    ----------
    training : bool
        Count the backward passes too.

    Raises
    ------
    BackendError
        If other kernels serve: nobody has measured what they reach.

    Examples
    --------
    >>> from minicnn import models
    >>> from minicnn.nn.summary import summarize
    >>> summary = summarize(models.lenet5(), (64, 1, 28, 28), Forecast().seconds)  # doctest: +SKIP
    >>> summary.seconds  # doctest: +SKIP
    0.0013
    """

    def __init__(self, training: bool = True) -> None:
        if backends.active().name != "native":
            raise BackendError(
                f"expected times are those of the native kernels, not of {backends.active().name}"
            )
        self.training = training
        roof = Roof(2**14, level=serving_level())
        roof.sample(5)
        self.peak = roof.peak
        self.copy = levels(serving_level())

    def seconds(self, op: str, arrays: Sequence[Any], attrs: Attrs, result: Any, leaf: bool) -> float:
        """Of one operation.

        Parameters
        ----------
        op : str
            Its name.
        arrays : sequence of array or None
            The operands, of which the shapes and types count.
        attrs : dict
            In canonical form.
        result : array
        leaf : bool
            The first operand is the model's input, which needs no gradient.
        """
        work, shares = self._work(op, arrays, attrs, result)
        passes = [call + work / share for call, share in zip(_CALL, shares, strict=True) if share < math.inf]
        if not self.training:
            return passes[0]
        return sum(passes) - (passes[1] if leaf else 0.0)

    def update(self, parameters: int) -> float:
        """Of Adam's step over so many parameters: it reads four arrays and writes three."""
        return _CALL.forward + self._copying(7 * 4 * parameters)

    def _work(self, op: str, arrays: Sequence[Any], attrs: Attrs, result: Any) -> tuple[float, _Passes]:
        """Seconds at the roof, and the shares of it that the passes reach."""
        algorithm = _algorithm(op, arrays, attrs)
        if algorithm == "batch_norm_inference" and self.training:  # summaries run in evaluation mode
            algorithm = "batch_norm"
        if algorithm in _COMPUTING:
            work = 2 * macs(op, arrays, result) * _waste(algorithm, arrays, result)
            return work / self.peak, _COMPUTING[algorithm]
        moved = sum(array.nbytes for array in arrays if array is not None) + result.nbytes
        return self._copying(moved), _MOVING.get(algorithm, _OTHERS)

    def _copying(self, moved: int) -> float:
        """Seconds in which so many bytes can be copied."""
        return moved / self.copy[home(_ROOM * moved if self.training else moved)]


def _algorithm(op: str, arrays: Sequence[Any], attrs: Attrs) -> str:
    """What computes it: the key in the tables above."""
    if op in ("linear", "matmul"):
        return "product"
    if op == "conv2d":
        from minicnn.backends.native import conv  # there is none where the extension is missing

        return conv.algorithm(arrays[1].shape, arrays[0].shape, attrs)
    return "direct" if op == "conv_transpose2d" else op


def _waste(algorithm: str, arrays: Sequence[Any], result: Any) -> float:
    """How much more there is to do than the formula says: vectors not filled, tiles over the edge."""
    if algorithm == "direct":
        return 1.0
    if algorithm == "product":
        return -(-result.shape[-1] // _LANES) * _LANES / result.shape[-1]
    height, width = result.shape[2:]
    tiles = -(-height // 4) * -(-width // 4)
    channels = min(arrays[1].shape[:2])
    return 16 * tiles / (height * width) * (1 + _HALF_AT / channels)
