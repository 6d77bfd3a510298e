"""Steps of whole networks, each measured in a process of its own; peers take turns with minicnn, A B A B."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minicnn import models
from minicnn.bench import judge
from minicnn.bench.machine import SLOWS_BLAS
from minicnn.bench.roof import Roof
from minicnn.bench.steps import networks
from minicnn.bench.steps.job import Job
from minicnn.errors import MiniCNNError, OptionError
from minicnn.nn.summary import summarize

__all__ = ["OPERATIONS_SAVED", "compare", "measure", "operations", "variants"]

HERE = Path(__file__).parent
_CODE = "import sys; sys.path.append(sys.argv[1]); from steps.job import main; main(sys.argv[2])"

# Keeps freed memory in the process, which spares the peers 15 to 55 % of a step in page faults.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**28),
}
_PEERS = {
    "torch": ("torch", "torch-channels-last"),
    "torch-compile": ("torch-compile",),
    "jax": ("jax",),
    "onnxruntime": ("onnxruntime",),
}
OPERATIONS_SAVED = 4.0  # at most: Winograd's F(4x4, 3x3)
ATTEMPTS = 3  # measurements of a pair, until the machine is quiet


def variants(names: Sequence[str], mode: str) -> list[str]:
    """The frameworks that were asked for, each with the variants that may be its fastest.

    Raises
    ------
    OptionError
        If a name is unknown.

    Examples
    --------
    >>> variants(["torch", "onnxruntime"], "train")
    ['torch', 'torch-channels-last']
    """
    for name in names:
        if name not in _PEERS:
            raise OptionError(expected=f"--compare out of {', '.join(_PEERS)}", got=repr(name))
    found = [variant for name in names for variant in _PEERS[name]]
    return [name for name in found if not (mode == "train" and name == "onnxruntime")]


def measure(job: Job, python: str | None = None) -> dict[str, Any]:
    """Run one job in a new process.

    Parameters
    ----------
    python : str, optional
        The interpreter for a peer; this one by default.

    Returns
    -------
    dict
        See :func:`minicnn.bench.steps.job.main`.

    Raises
    ------
    MiniCNNError
        If it fails, with the last line that it wrote.
    """
    ours = job.framework == "minicnn"
    interpreter = sys.executable if ours or python is None else python
    command = [interpreter, "-c", _CODE, str(HERE), json.dumps(dataclasses.asdict(job))]
    environment = _environment(ours, python)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise MiniCNNError(f"{job.framework} failed on {job.model}: {last}")
    return {**json.loads(lines[-1]), "malloc": "default" if ours else "tuned"}


def _environment(ours: bool, python: str | None) -> dict[str, str]:
    """What a process sees: nothing that slows BLAS; a peer its tuning, and no paths of ours."""
    environment = {name: value for name, value in os.environ.items() if name not in SLOWS_BLAS}
    environment["PYTHONSAFEPATH"] = "1"  # a checkout in the working directory is not what is measured
    if ours:
        paths = [str(HERE.parents[1]), environment.get("PYTHONPATH", "")]
        return environment | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    if python is not None:
        environment.pop("PYTHONPATH", None)
    return environment | _MALLOC


def operations(job: Job) -> int:
    """Operations of one step as the formulas have them, of convolutions and dense layers.

    Training needs three times the forward pass, but for the first layer's gradient of the images.
    """
    rows = summarize(models.build(job.model), (job.batch, *networks.INPUT[job.model]))
    first = next(row.macs for row in rows if row.macs)
    return 2 * (rows.macs if job.mode == "infer" else 3 * rows.macs - first)


def compare(
    job: Job,
    peers: Sequence[str],
    *,
    pairs: int,
    force: bool,
    python: str | None = None,
    tell: Callable[[str], None] = lambda text: None,
    wait: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Measure minicnn, and in turn with it some peers.

    Parameters
    ----------
    job : Job
        Of minicnn.
    peers : sequence of str
        Out of :data:`minicnn.bench.steps.job.FRAMEWORKS`.
    pairs : int
        How often each peer is measured beside minicnn.
    force : bool
        Keep what was measured on a busy machine, and mark it.
    tell : callable
        Told what is measured next.
    wait : callable
        Called before each round.

    Returns
    -------
    dict
        "minicnn" and each peer: its median process, with "ratio" (peer's time over minicnn's, pair by
        pair: median, min, max). A reason in "refused" or "missing" stands in place of figures.
    """
    names = ["minicnn", *peers]
    missing: dict[str, str] = {}
    rounds: list[dict[str, dict[str, Any]]] = []
    quiet: list[dict[str, dict[str, Any]]] = []
    for attempt in range(pairs * ATTEMPTS):
        wait()
        tell(f"{job.model}, batch {job.batch}, {job.mode}: round {attempt + 1}")
        found = {}
        for name in (name for name in names if name not in missing):
            facts = measure(dataclasses.replace(job, framework=name), python)
            if "missing" in facts:
                missing[name] = f"{facts['missing']} is not installed"
            else:
                found[name] = facts
        rounds.append(found)
        if force or not any(judge.busy(facts["other_cpus"]) for facts in found.values()):
            quiet.append(found)
        if len(quiet) == pairs:
            break
    kept = quiet if len(quiet) == pairs else []
    return {name: _row(name, job, kept, rounds, missing) for name in names}


def _row(
    name: str,
    job: Job,
    kept: list[dict[str, dict[str, Any]]],
    rounds: list[dict[str, dict[str, Any]]],
    missing: dict[str, str],
) -> dict[str, Any]:
    """One framework's row, see :func:`compare`."""
    row: dict[str, Any] = {
        "framework": name,
        "model": job.model,
        "mode": job.mode,
        "batch": job.batch,
        "threads": job.threads,
    }
    if name in missing:
        return row | {"missing": missing[name]}
    if not kept:
        others = max((facts["other_cpus"] or 0.0) for found in rounds for facts in found.values())
        return row | {"refused": judge.busy(others)}
    ordered = sorted((found[name] for found in kept), key=lambda facts: facts["median_s"])
    row = {**row, **ordered[(len(ordered) - 1) // 2], "framework": name, "processes": len(ordered)}
    row["min_s"] = min(facts["min_s"] for facts in ordered)
    row["other_cpus"] = max((facts["other_cpus"] or 0.0) for facts in ordered)
    row["busy"] = judge.busy(row["other_cpus"]) is not None
    if name != "minicnn":
        ratios = [found[name]["median_s"] / found["minicnn"]["median_s"] for found in kept]
        row["ratio"] = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
    return row


def add_rates(row: dict[str, Any], job: Job, roof: Roof) -> dict[str, Any]:
    """The row with operations a second and the fraction of the FMA peak, if these can be."""
    if "median_s" not in row:
        return row
    gflops = operations(job) / row["median_s"] / 1e9
    fraction = gflops * 1e9 / roof.peak
    refused = judge.above_roof(fraction / OPERATIONS_SAVED) if roof.hard else None
    if refused:
        kept = ("framework", "model", "mode", "batch", "threads")
        return {name: row[name] for name in kept} | {"refused": refused}
    return row | {"gflops": gflops, "peak_fraction": fraction}
