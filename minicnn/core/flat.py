"""A function of tensors seen as f: R^p -> R^m, for checks of its gradient."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.core import gradients, random, tape
from minicnn.core.device import device, device_of, move
from minicnn.core.tensor import Tensor, as_array
from minicnn.errors import GradError
from minicnn.typing import Array, Shape

__all__ = ["FlatFunction", "Slot"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One checked input: where it stands among the operands, and in the vector."""

    name: str
    positions: tuple[int, ...]
    where: slice
    shape: Shape
    device: device

    def index(self, j: int) -> tuple[int, ...]:
        """The index in the input of element ``j`` of the vector."""
        return tuple(int(i) for i in np.unravel_index(j - self.where.start, self.shape))


class FlatFunction:
    """The checked inputs as one vector, the floating point results as another.

    Parameters
    ----------
    function, inputs, attrs, wrt
        As for :func:`minicnn.core.gradcheck.gradcheck`.
    dtype : dtype
        What the function computes in; the vectors are float64.
    fill : callable, optional
        ``fill(shape)`` gives the values of floating point inputs instead of their own.

    Attributes
    ----------
    slots : list of Slot
    start : (p,) the inputs' values
    problems : list of str
        What is wrong beside the numbers: shapes, dtypes, inputs that were changed.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Any,
        attrs: dict[str, Any],
        wrt: Sequence[int] | None,
        dtype: Any,
        fill: Callable[[Shape], np.ndarray] | None = None,
    ) -> None:
        given = [inputs] if hasattr(inputs, "dtype") else list(inputs)
        self.function = function
        self.attrs = attrs
        self.dtype = np.dtype(dtype)
        self.name = str(getattr(function, "name", None) or getattr(function, "__name__", "function"))
        self.problems: list[str] = []
        arrays = [as_array(x) if hasattr(x, "dtype") else x for x in given]
        floats = [i for i, array in enumerate(arrays) if hasattr(array, "dtype") and array.dtype.kind == "f"]
        self.fixed = [self._own(array, fill) if i in floats else array for i, array in enumerate(arrays)]
        self.slots = self._slots(given, floats, wrt)
        self.start = np.concatenate(
            [move(self.fixed[slot.positions[0]], "cpu").ravel() for slot in self.slots] or [np.empty(0)]
        ).astype(np.float64)
        self._generator = random.new_generator(0)
        self._random_state = self._generator.bit_generator.state

    def _own(self, array: Array, fill: Callable[[Shape], np.ndarray] | None) -> Array:
        values = move(array, "cpu") if fill is None else fill(array.shape)
        return move(np.array(values, self.dtype, order="C"), device_of(array))

    def _slots(self, given: list[Any], floats: list[int], wrt: Sequence[int] | None) -> list[Slot]:
        checked = floats if wrt is None else list(wrt)
        if not checked or not set(checked) <= set(floats):
            raise GradError(
                expected="floating point tensors or arrays to check",
                got=f"positions {checked} of {len(given)} inputs",
                op=self.name,
            )
        names = _parameter_names(self.function, len(given))
        together: dict[int, list[int]] = {}  # the same object at several positions is one input
        for i in checked:
            together.setdefault(id(given[i]), []).append(i)
        slots, start = [], 0
        for positions in together.values():
            array = self.fixed[positions[0]]
            name = " = ".join(names[i] for i in positions)
            where = slice(start, start + array.size)
            slots.append(Slot(name, tuple(positions), where, array.shape, device_of(array)))
            start += array.size
        return slots

    def call(self, x: np.ndarray, *, record: bool) -> tuple[list[Tensor], list[Tensor]]:
        """Call the function at ``x``: its floating point results, and the checked inputs' leaves."""
        operands = [Tensor.wrap(a) if hasattr(a, "dtype") else a for a in self.fixed]
        leaves = []
        for slot in self.slots:
            values = x[slot.where].reshape(slot.shape).astype(self.dtype)  # always a copy
            leaf = Tensor.wrap(move(values, slot.device))
            leaf.requires_grad = record
            leaves.append(leaf)
            for i in slot.positions:
                operands[i] = leaf
        with self._same_random_numbers(), np.errstate(all="ignore"):
            result = self.function(*operands, **self.attrs)
        results = result if isinstance(result, (tuple, list)) else (result,)
        return [r for r in results if isinstance(r, Tensor) and r.dtype.kind == "f"], leaves

    @contextmanager
    def _same_random_numbers(self) -> Iterator[None]:
        self._generator.bit_generator.state = self._random_state
        with random.use_generator(self._generator):
            yield

    def value(self, x: np.ndarray) -> np.ndarray:
        """f(x), all results in one vector."""
        with tape.no_grad():
            results, _ = self.call(x, record=False)
        if not results:
            raise GradError("the function gives no floating point tensor", op=self.name)
        return np.concatenate([r.cpu_array().ravel() for r in results]).astype(np.float64)

    def require_pure(self, y: np.ndarray) -> None:
        """Note it if the results at the start are not finite or not the same when computed again."""
        if not np.isfinite(y).all():
            self.problems.append("the result is not finite")
        if not np.array_equal(y, self.value(self.start), equal_nan=True):
            self.problems.append("two calls on the same input give different results")

    def gradients(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """uᵀJ at ``x``, by the function's own backward.

        Parameters
        ----------
        x : (p,)
        u : (k, m)

        Returns
        -------
        (k, p)
        """
        before = [None if not hasattr(a, "dtype") else a.copy() for a in self.fixed]
        with tape.enable_grad():
            results, leaves = self.call(x, record=True)
        for result in results:
            if result.dtype != self.dtype:
                self._problem(f"the result is {result.dtype}, not {self.dtype}")
        rows = (
            np.stack([self._pull_back(row, results, leaves) for row in u])
            if len(u)
            else np.empty((0, x.size))
        )
        self._find_changes(x, leaves, before)
        return rows

    def _pull_back(self, row: np.ndarray, results: list[Tensor], leaves: list[Tensor]) -> np.ndarray:
        total = np.zeros(self.start.size)
        at = 0
        for result in results:
            size = result.array.size
            values = row[at : at + size].reshape(result.shape).astype(result.dtype)
            at += size
            if not result.requires_grad:
                continue
            gy = move(values.copy(), result.device)
            with np.errstate(all="ignore"):
                found = gradients.find([result], [gy], retain_graph=True)[0]
            if not np.array_equal(move(gy, "cpu"), values):
                self._problem("backward changed the incoming gradient")
            for slot, leaf in zip(self.slots, leaves, strict=True):
                if leaf in found:
                    total[slot.where] += self._checked(found[leaf], slot)
        return total

    def _checked(self, gradient: Array, slot: Slot) -> np.ndarray:
        if gradient.shape != slot.shape:
            self._problem(f"the gradient of {slot.name} has shape {gradient.shape}, not {slot.shape}")
            return np.full(slot.where.stop - slot.where.start, np.nan)
        if gradient.dtype != self.dtype:
            self._problem(f"the gradient of {slot.name} is {gradient.dtype}, not {self.dtype}")
        return move(gradient, "cpu").ravel().astype(np.float64)

    def _find_changes(self, x: np.ndarray, leaves: list[Tensor], before: list[Any]) -> None:
        pairs = [
            (slot.name, x[slot.where].astype(self.dtype), leaf.array)
            for slot, leaf in zip(self.slots, leaves, strict=True)
        ]
        pairs += [
            (f"input {i}", b, a)
            for i, (a, b) in enumerate(zip(self.fixed, before, strict=True))
            if b is not None
        ]
        for name, old, new in pairs:
            if not np.array_equal(
                move(old, "cpu").ravel(), move(new, "cpu").ravel(), equal_nan=old.dtype.kind == "f"
            ):
                self._problem(f"{name} was changed")

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


def _parameter_names(function: Callable[..., Any], count: int) -> list[str]:
    """The names of a function's positional parameters, as far as it tells."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [f"input {i}" for i in range(count)]
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [names[i] if i < len(names) else f"input {i}" for i in range(count)]
