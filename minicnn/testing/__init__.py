"""The operation table, and the checks that hold for every operation in it.

Tests, ``minicnn gradcheck`` and authors of new operations walk over the same rows with the same checks.
"""

from minicnn.testing.checks import CHECKS, CaseReport, check_case
from minicnn.testing.registry import kernels, op_registry
from minicnn.testing.spec import Invalid, OpCase, Sample

__all__ = [
    "CHECKS",
    "CaseReport",
    "Invalid",
    "OpCase",
    "Sample",
    "check_case",
    "kernels",
    "op_registry",
]
