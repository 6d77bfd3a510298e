"""One sample of a row on one device, and the report that the checks of it write into."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minicnn.core import gradients, random
from minicnn.core.device import move
from minicnn.core.report import GradReport
from minicnn.core.tensor import Tensor
from minicnn.testing.bounds import Bounds
from minicnn.testing.spec import OpCase, Sample

__all__ = ["SCALES", "CaseReport", "Trial", "attempt", "describe", "split"]


@dataclass
class CaseReport:
    """What the checks found for one row of the operation table; true if all passed.

    Attributes
    ----------
    name : str
    samples : int
    gradients : list of GradReport
        One per gradient check that was made.
    failures : list of str
        A sentence for each failure.
    """

    name: str
    samples: int
    gradients: list[GradReport] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything passed."""
        return not self.failures

    def __bool__(self) -> bool:
        return self.ok

    @property
    def checked(self) -> int:
        """Elements whose gradient was checked one by one."""
        return sum(report.checked for report in self.gradients)

    @property
    def total(self) -> int:
        """Elements of all differentiable inputs of all samples."""
        return sum(report.total for report in self.gradients)

    @property
    def kinks(self) -> int:
        """Kinks stepped around or lain on."""
        return sum(report.kinks for report in self.gradients)

    @property
    def worst(self) -> tuple[str, Any] | None:
        """The input with the largest error of all gradient checks, and that comparison."""
        found = [report.worst for report in self.gradients if report.worst is not None]
        return max(found, key=lambda pair: pair[1].error, default=None)

    def __str__(self) -> str:
        verdict = "ok" if self.ok else "FAILED"
        head = f"{self.name}: {verdict}, {self.samples} samples, {self.checked} of {self.total} elements"
        if self.kinks:
            head += f", {self.kinks} kinks"
        return "\n  ".join([head, *self.failures])


SCALES = (1e-3, 1.0, 1e3)


@dataclass(eq=False)
class Trial:
    """One sample on one device, and what the checks of it share."""

    case: OpCase
    sample: Sample
    place: str
    report: CaseReport

    def operands(self, dtype: Any) -> list[Any]:
        """Arrays on the device, floating point ones in this dtype; all else as it is."""
        return [self.array(x, dtype) if isinstance(x, np.ndarray) else x for x in self.sample.inputs]

    def array(self, x: np.ndarray, dtype: Any) -> Any:
        return move(x.astype(dtype if x.dtype.kind == "f" else x.dtype), self.place)

    @property
    def floating(self) -> list[int]:
        """Positions of the floating point operands."""
        inputs = enumerate(self.sample.inputs)
        return [i for i, x in inputs if isinstance(x, np.ndarray) and x.dtype.kind == "f"]

    def floats(self) -> list[int]:
        """Positions of the operands that have a derivative."""
        return [i for i in self.floating if self.case.differentiable and i not in self.case.constant]

    def on(self, inputs: Sequence[Any]) -> Trial:
        """The same call on other operands."""
        return replace(self, sample=Sample(tuple(inputs), self.sample.attrs))

    def scaled(self) -> Iterator[Trial]:
        """This trial; then its floating point operands times 1e-3, 1 and 1e3, each in its own order."""
        yield self
        rng = random.new_generator(len(self.sample.inputs))
        if any(self.sample.inputs[i].size for i in self.floating):
            orders = {i: rng.permutation(SCALES) for i in self.floating}
            for turn in range(len(SCALES)):
                factors = {i: order[turn] for i, order in orders.items()}
                if set(factors.values()) != {1.0}:
                    inputs = enumerate(self.sample.inputs)
                    yield self.on([np.asarray(x * factors[i]) if i in factors else x for i, x in inputs])

    def sized(self) -> str:
        """The operands' scales in words, to put before a message."""
        sizes = [float(np.abs(self.sample.inputs[i]).max(initial=0.0)) for i in self.floating]
        return f"operands up to {', '.join(f'{size:.1g}' for size in sizes)}: "

    def expected(self) -> list[np.ndarray]:
        """The oracle's results."""
        with np.errstate(all="ignore"):
            results = self.case.oracle(*self.sample.inputs, **self.sample.attrs)
        return [np.asarray(r) for r in (results if isinstance(results, (tuple, list)) else [results])]

    def call(self, operands: list[Any], *, record: bool = False) -> tuple[list[Tensor], dict[int, Tensor]]:
        """The results on these arrays, and the tensors of the operands that have a derivative."""
        tensors = [Tensor(x) if hasattr(x, "dtype") else x for x in operands]
        leaves = {i: tensors[i] for i in self.floats()} if record else {}
        for leaf in leaves.values():
            leaf.requires_grad = True
        result = self.case.function(*tensors, **self.sample.attrs)
        return (list(result) if isinstance(result, (tuple, list)) else [result]), leaves

    def numbers(self, operands: list[Any], gys: list[Any]) -> tuple[list[np.ndarray], dict[int, np.ndarray]]:
        """Results and, by operand, gradients for these incoming gradients, as NumPy arrays."""
        results, leaves = self.call(operands, record=True)
        total: dict[int, np.ndarray] = {}
        for result, gy in zip(results, gys, strict=True):
            if result.requires_grad:
                found = gradients.find([result], [gy], retain_graph=True)[0]
                for i, leaf in leaves.items():
                    if leaf in found:
                        gradient = move(found[leaf], "cpu")
                        total[i] = total[i] + gradient if i in total else gradient
        return [result.cpu_array() for result in results], total

    def bounds(self) -> Bounds | None:
        """What rounding may do to this call; None if it must not round at all."""
        wrt = self.floats()
        return Bounds(self.case, self.sample, wrt) if wrt else None


def split(vector: np.ndarray, results: Sequence[np.ndarray]) -> list[np.ndarray]:
    """A vector of all floating point results' elements, cut up again; 0 for other results."""
    parts, at = [], 0
    for result in results:
        size = result.size if result.dtype.kind == "f" else 0
        parts.append(vector[at : at + size].reshape(result.shape) if size else np.zeros(()))
        at += size
    return parts


def attempt(check: Callable[[Trial], Iterator[str]], trial: Trial) -> list[str]:
    """The failures a check finds; an error on the way is one too."""
    try:
        return list(check(trial))
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def describe(sample: Sample) -> str:
    """A sample in a few words."""
    shapes = ", ".join(str(x.shape) if isinstance(x, np.ndarray) else repr(x) for x in sample.inputs)
    attrs = "".join(f", {name}={value!r}" for name, value in sample.attrs.items())
    return f"({shapes}{attrs})"
