"""Plans as programs of native kernels: weights packed once, results in one small arena, no Python between.

A plan is traced with two images, so that its arrays show which dimension is the batch. It becomes a
program if each step has an instruction and treats each image on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minicnn.backends.native.instructions import INSTRUCTIONS
from minicnn.backends.native.lowering import Lowering, UnfitError
from minicnn.core.dispatch import Declined
from minicnn.core.plan import Plan
from minicnn.typing import Array

__all__ = ["lower"]


def lower(plan: Plan, counts: Sequence[int]) -> list[tuple[Callable[[Array], Array], list[str]]] | Declined:
    """For each count a function that computes the plan for any images, best for so many; and its instructions
    in words. What they have packed alike they share."""
    weights: dict[object, Array] = {}
    programs = []
    try:
        for images in counts:
            lowering = Lowering(plan, images, weights)
            program = lowering.run(INSTRUCTIONS)
            if program.chunk != images:  # again: the algorithms depend on the size of the chunks
                lowering = Lowering(plan, program.chunk, weights)
                program = lowering.run(INSTRUCTIONS)
            programs.append((program, lowering.lines))
    except UnfitError as reason:
        return Declined(str(reason))
    return programs
