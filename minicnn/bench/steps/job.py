"""What one process measures: reads a job, runs it, prints the facts as one line of JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from . import clock, networks

__all__ = ["FRAMEWORKS", "Job", "main"]

# By name: the module here, what it is called with, and what must be installed for it.
FRAMEWORKS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "minicnn": ("with_minicnn", {}, ("numpy",)),
    "torch": ("with_torch", {}, ("torch",)),
    "torch-channels-last": ("with_torch", {"channels_last": True}, ("torch",)),
    "torch-compile": ("with_torch", {"compiled": True}, ("torch",)),
    "jax": ("with_jax", {}, ("jax",)),
    "onnxruntime": ("with_onnxruntime", {}, ("onnxruntime", "onnx")),
}


@dataclass(frozen=True)
class Job:
    """One measurement.

    Attributes
    ----------
    framework, model : str
        Out of :data:`FRAMEWORKS` and :data:`networks.LAYERS`.
    mode : str
        ``"train"``: forward, mean cross-entropy, backward, Adam's step (lr 1e-3), in float32, on the same
        resident batch; ``"infer"``: forward alone, in evaluation mode, nothing recorded.
    batch, threads : int
        Images a step, and threads to use.
    budget : float
        Seconds to measure for, after the warm-up.
    """

    framework: str
    model: str
    mode: str
    batch: int
    threads: int
    budget: float


# What a framework's module offers: prepare(job, x, y, **options) -> the step, and facts to report.
Step = Callable[[], object]


def main(text: str) -> None:
    """Run the job in ``text`` (JSON) and print one line: the facts, or {"missing": package}."""
    job = Job(**json.loads(text))
    module, options, needed = FRAMEWORKS[job.framework]
    _limit_threads(job)
    for package in needed:
        try:
            import_module(package)
        except ImportError as error:
            print(json.dumps({"missing": package, "reason": str(error)}))
            return
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.standard_normal((job.batch, *networks.INPUT[job.model]), dtype=np.float32)
    y = rng.integers(0, 10, job.batch)
    step, facts = import_module(f".{module}", __package__).prepare(job, x, y, **options)
    times, used, first = clock.measure(step, job.budget, least=10, warm_up=5)
    print(json.dumps(_facts(job, times, used) | {"first_step_s": first} | facts))
    sys.stdout.flush()


def _limit_threads(job: Job) -> None:
    """Before the framework is imported: most read their number of threads only then."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MINICNN_NUM_THREADS"):
        os.environ[name] = str(job.threads)
    if job.framework == "jax":
        os.environ["JAX_PLATFORMS"] = "cpu"
        if hasattr(os, "sched_setaffinity"):  # it has no switch for the number of its threads
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-job.threads :])


def _facts(job: Job, times: clock.Spread, used: clock.Usage) -> dict[str, Any]:
    return {
        **dataclasses.asdict(job),
        "median_s": times.median,
        "min_s": times.minimum,
        "p10_s": times.p10,
        "q1_s": times.q1,
        "q3_s": times.q3,
        "steps": times.count,
        "images_per_s": job.batch / times.median,
        "peak_rss_bytes": _peak_memory(),
        "page_faults_per_step": used.page_faults / times.count,
        "own_cpus": used.own_cpus,
        "other_cpus": used.other_cpus,
        "stolen_cpus": used.stolen_cpus,
    }


def _peak_memory() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
