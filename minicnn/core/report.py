"""What a gradient check found."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minicnn.typing import Shape

__all__ = ["ArgumentReport", "GradReport", "Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One comparison, of an element or along a direction.

    ``error`` is |numeric - analytic| in units of the tolerance: above 1 it failed.
    """

    numeric: float
    analytic: float
    error: float
    index: tuple[int, ...] | None = None  # None for a direction
    stepped_around: bool = False
    on_kink: bool = False

    @property
    def ok(self) -> bool:
        return self.error <= 1.0

    def __str__(self) -> str:
        where = "along a direction" if self.index is None else f"at {self.index}"
        return f"{where} numeric {self.numeric:.10g}, analytic {self.analytic:.10g}"


@dataclass(frozen=True)
class ArgumentReport:
    """What was found for one input.

    Attributes
    ----------
    name : str
    shape : tuple of int or None
        None for all inputs together.
    checked, total : int
        Elements that were checked one by one, and all of them.
    directions : int
        Directions, in all elements at once, that were checked beside.
    stepped_around, on_kink : int
        Comparisons that needed a shorter step because a kink was near, and that lay on one.
    wrong : int
        Comparisons that failed.
    worst : Outcome or None
        The comparison with the largest error, preferably of an element; None for an empty input.
    """

    name: str
    shape: Shape | None
    checked: int
    total: int
    directions: int
    stepped_around: int
    on_kink: int
    wrong: int
    worst: Outcome | None

    @classmethod
    def of(
        cls, name: str, shape: Shape | None, elements: list[Outcome], directions: list[Outcome]
    ) -> ArgumentReport:
        """Sum up the comparisons made."""
        outcomes = elements + directions
        total = 0 if shape is None else math.prod(shape)
        return cls(
            name,
            shape,
            len(elements),
            total,
            len(directions),
            sum(o.stepped_around for o in outcomes),
            sum(o.on_kink for o in outcomes),
            sum(not o.ok for o in outcomes),
            max(outcomes, key=lambda o: (not o.ok, not o.ok and o.index is not None, o.error), default=None),
        )

    def __str__(self) -> str:
        parts = [_count(self.directions, "direction")] if self.directions else []
        if self.checked or not self.directions:
            parts.insert(0, f"{self.checked} of {_count(self.total, 'element')}")
        name = self.name if self.shape is None else f"{self.name} {self.shape}"
        text = f"{name}: {' and '.join(parts)}"
        if self.stepped_around:
            text += f", stepped around {_count(self.stepped_around, 'kink')}"
        if self.on_kink:
            text += f", {self.on_kink} on a kink"
        if self.wrong and self.worst is not None:
            text += f", {self.wrong} wrong; worst {self.worst}"
        return text


@dataclass(frozen=True)
class GradReport:
    """The verdict of a gradient check; true if all passed.

    Attributes
    ----------
    name : str
        The function.
    arguments : tuple of ArgumentReport
    problems : tuple of str
        What is wrong beside the numbers.
    """

    name: str
    arguments: tuple[ArgumentReport, ...]
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything passed."""
        return not self.problems and not any(a.wrong for a in self.arguments)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def checked(self) -> int:
        """Elements checked one by one."""
        return sum(a.checked for a in self.arguments)

    @property
    def total(self) -> int:
        """Elements of all inputs."""
        return sum(a.total for a in self.arguments)

    @property
    def kinks(self) -> int:
        """Kinks met: stepped around, or lain on."""
        return sum(a.stepped_around + a.on_kink for a in self.arguments)

    @property
    def worst(self) -> tuple[str, Outcome] | None:
        """The input with the largest error, and that comparison."""
        found = [(a.name, a.worst) for a in self.arguments if a.worst is not None]
        return max(found, key=lambda pair: pair[1].error, default=None)

    def summary(self) -> str:
        """The verdict in one line."""
        if self.ok:
            return f"passed: {self.checked} of {_count(self.total, 'element')}"
        wrong = [str(a) for a in self.arguments if a.wrong]
        return "the gradient is wrong: " + "; ".join([*self.problems, *wrong])

    def __str__(self) -> str:
        head = self.summary() if self.ok else "failed"
        return "\n  ".join([head, *self.problems, *map(str, self.arguments)])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
