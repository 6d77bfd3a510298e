"""The step of minicnn: the four lines that its users write; for inference, a frozen model."""

from __future__ import annotations

from typing import Any

import minicnn
from minicnn import backends
from minicnn.bench.machine import blas
from minicnn.nn import functional as F

from .job import Job, Step


def prepare(job: Job, images: Any, labels: Any) -> tuple[Step, dict[str, Any]]:
    """The step, and facts about it; see :mod:`.job`."""
    minicnn.manual_seed(0)
    minicnn.set_num_threads(job.threads)
    plain = minicnn.models.build(job.model)
    optimizer = minicnn.optim.Adam(plain.parameters(), lr=1e-3)
    x, y = minicnn.tensor(images), minicnn.tensor(labels)
    model = minicnn.compile(plain) if job.mode == "train" else minicnn.freeze(plain, x)

    def train() -> None:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    def infer() -> None:
        model(x)

    facts = {
        "version": minicnn.__version__,
        "backend": backends.active().name,
        "compiled": True,
        "blas_threads": max((library["threads"] for library in blas()), default=None),
        "parameters": sum(parameter.numel() for parameter in plain.parameters()),
    }
    return train if job.mode == "train" else infer, facts
