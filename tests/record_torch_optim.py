"""Record what PyTorch's optimisers and schedules do, for tests/optim; run it where torch is installed.

    python tests/record_torch_optim.py

It writes tests/optim/reference.json: for each row of tests/optim/rows.py the parameters after each
step, or the learning rates, in float64.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import torch

HERE = Path(__file__).parent / "optim"


def main() -> None:
    rows = runpy.run_path(str(HERE / "rows.py"))

    def set_gradient(parameter: torch.Tensor, gradient: list[float]) -> None:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)

    def parameter(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64, requires_grad=True)

    steps = [
        rows["parameters_in_time"](torch.optim, row, parameter(rows["START"]), set_gradient)
        for row in rows["OPTIMISERS"]
    ]
    pairs = [[parameter([0.0]), parameter([0.0])] for _ in rows["SCHEDULES"]]
    rates = [
        rows["rates_in_time"](torch.optim, row, pair)
        for row, pair in zip(rows["SCHEDULES"], pairs, strict=True)
    ]
    record = {"torch": torch.__version__, "parameters": steps, "rates": rates}
    text = json.dumps(record).replace("]], [[", "]],\n[[")
    (HERE / "reference.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
