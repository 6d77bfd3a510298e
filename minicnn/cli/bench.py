"""Measure: every way to compute an operation, side by side, or whole steps of the benchmark networks.

`kernels` holds each pass of an operation against the roof of this machine, measured in the same minutes.
`train` and `infer` measure steps of the five benchmark networks, in processes of their own, and with
--compare other frameworks in turn with them. Where others use the machine, it is waited for as long as
--wait says; then the command ends with exit code 1 (--force measures all the same and marks with *).
Figures above a roof are refused.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from minicnn.bench import cases, judge, kernels, ladder, machine, plot, processes, quiet, report, roof
from minicnn.bench.steps import networks
from minicnn.bench.steps.job import Job
from minicnn.cli.output import print_json, tell
from minicnn.core.threads import get_num_threads, use_threads
from minicnn.errors import OptionError
from minicnn.train.config import suggest

HELP = "measured figures, and what they are worth"

PASSES = ("forward", "backward", "backward-data", "backward-weights", "update")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("what", metavar="kernels|train|infer", choices=("kernels", "train", "infer"))
    parser.add_argument("--threads", type=int, help="threads to use; default: all processors")
    parser.add_argument("--budget", type=float, help="seconds to time each candidate for (0.3; networks: 3)")
    parser.add_argument("--quick", action="store_true", help="short timings, one process each")
    parser.add_argument(
        "--wait", type=float, default=10.0, metavar="SECONDS", help="for a quiet machine, each time (10)"
    )
    parser.add_argument("--force", action="store_true", help="keep and mark figures of a busy machine")
    parser.add_argument("--markdown", action="store_true", help="print tables as rows of Markdown")
    group = parser.add_argument_group("kernels")
    group.add_argument("--op", help=f"only this operation: {', '.join(cases.OPERATIONS)}")
    group.add_argument("--shape", metavar="N,C,H,W", help="of its first operand; default: standard shapes")
    group.add_argument("--weight", metavar="K,C/g,KH,KW", help="of the second operand of a product")
    for name in ("stride", "padding", "dilation", "kernel-size"):
        group.add_argument(f"--{name}", metavar="N[,N]", help="of windows, in pixels")
    group.add_argument("--groups", type=int, help="of channels")
    group.add_argument("--pass", dest="only", choices=PASSES, help="only this pass")
    group.add_argument("--plot", metavar="FILE", help="draw them under the roofs (needs matplotlib)")
    group = parser.add_argument_group("train, infer")
    group.add_argument("--model", help=f"out of {', '.join(networks.LAYERS)}; default: all")
    group.add_argument("--batch", metavar="N[,N]", help="images a step; default: the model's, infer: 1,64")
    group.add_argument("--compare", default="", metavar="torch,jax,...", help="measure these in turn")
    group.add_argument("--python", metavar="PATH", help="the interpreter that has them; default: this one")
    group.add_argument("--pairs", type=int, default=5, help="processes of each, in turn (5)")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code: 1 if a figure was refused."""
    if args.budget is not None and args.budget <= 0 or args.pairs < 1:
        raise OptionError("--budget and --pairs must be more than 0")
    if not args.wait >= 0:
        raise OptionError("--wait must be at least 0")
    if args.threads is not None and not 1 <= args.threads <= machine.processors():
        there = f"--threads from 1 to {machine.processors()}, the processors there are"
        raise OptionError(expected=there, got=str(args.threads))
    _refuse_options_of_the_other(args)
    if args.plot:
        plot.check(args.plot)
    with use_threads(args.threads or get_num_threads()):
        measured: dict[str, Any] = {"machine": machine.facts()}
        try:
            (_kernels if args.what == "kernels" else _steps)(args, measured)
        except quiet.BusyError as error:
            tell(f"minicnn bench: {error}; refused, see --wait and --force")
            measured["busy"] = str(error)
    found = [c for made in measured.get("passes", ()) for c in made["candidates"]] + measured.get("rows", [])
    measured["refused"] = sum("refused" in c for c in found) + ("busy" in measured)
    if any(c.get("extrapolated") for c in found):
        print(report.ESTIMATED)
    if args.force:
        print(f"* others used more than {judge.BUSY} CPU meanwhile: not to be compared with anything")
    if args.json:
        print_json(measured)
    return 1 if measured["refused"] else 0


_WINDOW = ("stride", "padding", "dilation", "kernel_size", "groups")
_OF_KERNELS = ("op", "shape", "weight", *_WINDOW, "only", "plot")
_OF_STEPS = ("model", "batch", "compare", "python")


def _refuse_options_of_the_other(args: argparse.Namespace) -> None:
    """Options that would be passed over are a mistake, and minutes of measuring something else."""
    others = _OF_STEPS if args.what == "kernels" else _OF_KERNELS
    for name in others:
        if getattr(args, name):
            flag = {"only": "pass"}.get(name, name).replace("_", "-")
            raise OptionError(f"bench {args.what} takes no --{flag}")


def _wait(args: argparse.Namespace) -> Callable[[], None]:
    """What waits for a quiet machine: nothing, if a busy one will do."""
    if args.force:
        return lambda: None
    return quiet.Patience(args.wait, tell).wait


# -- kernels ---------------------------------------------------------------------------------------


def _kernels(args: argparse.Namespace, measured: dict[str, Any]) -> None:
    wanted = _cases(args)
    wait = _wait(args)
    print(machine.describe(measured["machine"]))
    for warning in machine.warnings():
        print(warning)
    wait()
    roofs = measured["roof"] = _roofs()
    rows = measured["passes"] = []
    budget = args.budget or (0.05 if args.quick else 0.3)
    for case in wanted:
        for made in kernels.measure_case(case, budget, args.force, args.only, wait):
            rows.append(made)
            intensity = f", {made['intensity']:.3g} operations a byte" if made["operations"] else ""
            title = f"{made['case']}, {made['pass']}: {made['operations'] / 1e6:.4g} million operations, "
            title += f"{made['bytes'] / 1e6:.3g} MB{intensity}{report.roof_of(made)}"
            report.show(title, report.KERNEL_HEAD, report.kernel_rows(made), args.markdown)
            for note in report.notes(made):
                print(note)
    if args.plot:
        plot.plot(args.plot, roofs, rows)
        print(f"drawn: {args.plot}")


def _roofs() -> dict[str, Any]:
    """The roofs of the kernels in use, printed; and NumPy's where it has wider vectors."""
    level = roof.serving_level()
    copies = roof.levels(level)
    own, best = roof.Roof(0, level=level), roof.Roof(0)
    for peak in (own, best):
        peak.sample(5)
    print(own.describe())
    rates = ", ".join(f"{name} {value / 1e9:.0f}" for name, value in copies.items())
    print(f"multiply-adds {own.peak / 1e9:.0f} GFLOP/s; copies (read and written) in GB/s: {rates}")
    if best.level != own.level:
        print(f"rows that are not native stand under the roof of {best.level}: {best.peak / 1e9:.0f} GFLOP/s")
    return {
        "level": own.level,
        "measured_by": own.describe(),
        "peak_gflops": own.peak / 1e9,
        "best_level": best.level,
        "best_peak_gflops": best.peak / 1e9,
        "copy_gbytes_per_s": {name: value / 1e9 for name, value in copies.items()},
    }


def _cases(args: argparse.Namespace) -> list[cases.Case]:
    """The case of the options, or the standard ones."""
    if args.op is not None and args.op not in cases.OPERATIONS:
        raise OptionError(f"there is no case of {args.op!r}", hint=suggest(args.op, list(cases.OPERATIONS)))
    if args.shape is None:
        for name in ("weight", *WINDOW):
            if getattr(args, name) is not None:
                raise OptionError(f"{_flag(name)} needs --op and --shape")
        found = cases.standard(args.op)
    elif args.op is None:
        raise OptionError("--shape needs --op")
    else:
        found = [_case(args)]
    if args.only is not None and not any(args.only in ladder.pass_names(case) for case in found):
        has = ", ".join(ladder.pass_names(found[0]))
        raise OptionError(f"{args.op} has no pass {args.only!r}", hint=f"it has {has}")
    return found


_KERNELS = {"weight": "kernel_size", "kernel_size": "weight"}  # the one often meant by the other
WINDOW = ("stride", "padding", "dilation", "kernel_size", "groups")  # attributes that are options


def _case(args: argparse.Namespace) -> cases.Case:
    _check_flags(args)
    attrs: dict[str, Any] = {}
    for name in ("stride", "dilation", "kernel_size"):
        if getattr(args, name) is not None:
            attrs[name] = _pair(name, getattr(args, name))
    if "kernel_size" in attrs:
        attrs.setdefault("stride", attrs["kernel_size"])
    if args.padding is not None:
        attrs["padding"] = tuple((p, p) for p in _pair("padding", args.padding))
    if args.groups is not None:
        attrs["groups"] = args.groups
    weight = None if args.weight is None else _numbers("weight", args.weight)
    return _checked(cases.Case(args.op, _numbers("shape", args.shape), weight, attrs))


def _check_flags(args: argparse.Namespace) -> None:
    """Refuse an option of another operation."""
    known = cases.Case(args.op, ()).full_attrs()
    takes = ["weight"] if args.op in cases.PRODUCTS else []
    takes += [name for name in WINDOW if name in known]
    others = ", ".join(map(_flag, takes)) or "nothing"
    for name in ("weight", *WINDOW):
        if getattr(args, name) is not None and name not in takes:
            meant = _KERNELS.get(name) if _KERNELS.get(name) in takes else None
            hint = f"did you mean {_flag(meant)}?" if meant else f"beside --shape it takes {others}"
            raise OptionError(f"{args.op} takes no {_flag(name)}", hint=hint)


def _flag(name: str) -> str:
    """An attribute as one types it: kernel_size is --kernel-size."""
    return "--" + name.replace("_", "-")


def _checked(case: cases.Case) -> cases.Case:
    """The case, once the operation's own rule takes its operands."""
    from minicnn.core.op import ops

    if case.op in ops:
        ops[case.op].output_shape(*case.operands(), **case.full_attrs())
    return case


def _numbers(name: str, text: str, least: int = 1) -> tuple[int, ...]:
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdigit() and int(part) >= least for part in parts):
        raise OptionError(
            expected=f"--{name} as whole numbers of at least {least}, such as 3,32", got=repr(text)
        )
    return tuple(int(part) for part in parts)


def _pair(name: str, text: str) -> tuple[int, int]:
    numbers = _numbers(name, text, 0 if name == "padding" else 1)
    if len(numbers) > 2:
        raise OptionError(expected=f"--{name} as one or two numbers", got=repr(text))
    return numbers[0], numbers[-1]


# -- train, infer ----------------------------------------------------------------------------------


def _steps(args: argparse.Namespace, measured: dict[str, Any]) -> None:
    names = [args.model] if args.model else list(networks.LAYERS)
    if names[0] not in networks.LAYERS:
        raise OptionError(
            f"there is no benchmark {names[0]!r}", hint=suggest(names[0], list(networks.LAYERS))
        )
    peers = processes.variants([name for name in args.compare.split(",") if name], args.what)
    if args.python is not None and not os.access(args.python, os.X_OK):
        raise OptionError(expected="--python to be an interpreter", got=args.python)
    jobs = [(name, batch) for name in names for batch in _batches(args, name)]
    budget = args.budget or (0.5 if args.quick else 3.0)
    pairs = 1 if args.quick or not peers else args.pairs
    print(machine.describe(measured["machine"]))
    measured["mode"] = args.what
    rows = measured["rows"] = []
    try:
        for name, batch in jobs:
            job = Job("minicnn", name, args.what, batch, get_num_threads(), budget)
            found = processes.compare(
                job, peers, pairs=pairs, force=args.force, python=args.python, tell=tell, wait=_wait(args)
            )
            rows += [processes.add_rates(row, job, _peak(row["framework"])) for row in found.values()]
    finally:
        title = f"{args.what}: seconds a step, float32, one resident batch"
        if rows:
            report.show(title, report.STEP_HEAD, report.step_rows(rows), args.markdown)


def _peak(framework: str) -> roof.Roof:
    """The roof of a framework: minicnn's is that of its kernels, others may use what the machine has."""
    peak = roof.Roof(0, level=roof.serving_level() if framework == "minicnn" else None)
    peak.sample(20)
    return peak


def _batches(args: argparse.Namespace, model: str) -> tuple[int, ...]:
    if args.batch is not None:
        return _numbers("batch", args.batch)
    return (networks.BATCH[model],) if args.what == "train" else (1, 64)
