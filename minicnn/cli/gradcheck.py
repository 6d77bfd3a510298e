"""Check the gradients of operations: against difference quotients, and exactly where they are linear."""

from __future__ import annotations

import argparse

from minicnn.cli.arguments import whole
from minicnn.cli.output import print_json, table
from minicnn.errors import OptionError
from minicnn.testing import CaseReport, check_case, op_registry
from minicnn.train.config import suggest

HELP = "check gradients, with coverage and the worst element"

_CHECKS = ("gradient", "adjoint")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("ops", metavar="OP", nargs="*", help="operations; default: all")
    parser.add_argument("--seed", type=whole(0), default=0, help="chooses the numbers")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code: 1 if a gradient is wrong."""
    rows = op_registry()
    for name in args.ops:
        if name not in rows:
            raise OptionError(f"there is no operation {name!r}", hint=suggest(name, list(rows)))
    names = args.ops or [name for name, case in rows.items() if case.differentiable]
    reports = [check_case(rows[name], seed=args.seed, checks=_CHECKS) for name in names]
    failed = [report for report in reports if not report.ok]
    if args.json:
        print_json({"ok": not failed, "operations": {report.name: _facts(report) for report in reports}})
        return 1 if failed else 0
    head = ["operation", "samples", "elements", "kinks", "worst error", "verdict"]
    print(table(head, [_row(report) for report in reports]))
    print("\nThe worst error is in units of the tolerance, 1e-6 of the value and 1e-8 of the largest.")
    for report in failed:
        print(report)
    print(f"{len(reports) - len(failed)} of {len(reports)} operations passed")
    return 1 if failed else 0


def _facts(report: CaseReport) -> dict[str, object]:
    worst = report.worst
    return {
        "ok": report.ok,
        "samples": report.samples,
        "checked": report.checked,
        "elements": report.total,
        "kinks": report.kinks,
        "worst_error": None if worst is None else worst[1].error,
        "worst_at": None if worst is None else f"{worst[0]} {worst[1]}",
        "failures": report.failures,
    }


def _row(report: CaseReport) -> list[object]:
    worst = "-" if report.worst is None else f"{report.worst[1].error:.2g}"
    coverage = f"{report.checked}/{report.total}"
    return [report.name, report.samples, coverage, report.kinks, worst, "ok" if report.ok else "WRONG"]
