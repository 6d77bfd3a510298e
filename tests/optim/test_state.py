"""What an optimiser takes back as its state per parameter, and what it refuses."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

from minicnn import optim
from minicnn.core.tensor import Tensor
from minicnn.errors import CheckpointError


def parameter(values) -> Tensor:
    return Tensor(np.array(values, np.float64), requires_grad=True)


def run(optimizer, tensors, steps):
    for t in steps:
        for tensor in tensors:
            tensor.grad = Tensor(np.sin(np.arange(tensor.array.size) + t))
        optimizer.step()


KEPT = {
    "SGD": (["momentum_buffer"], {"momentum": 0.9}),
    "Adam": (["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"], {"amsgrad": True}),
    "AdamW": (["step", "exp_avg", "exp_avg_sq"], {}),
    "RMSprop": (["step", "square_avg", "grad_avg", "momentum_buffer"], {"centered": True, "momentum": 0.5}),
    "Adagrad": (["step", "sum"], {}),
}


def entry_of(name, **change):
    entry = {key: 2 if key == "step" else np.ones(2) for key in KEPT[name][0]} | change
    return {key: value for key, value in entry.items() if value is not ...}


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        *((name, {key: ...}, key) for name in KEPT for key in KEPT[name][0] if len(KEPT[name][0]) > 1),
        *((name, {KEPT[name][0][-1]: None, "step": 3}, KEPT[name][0][-1]) for name in KEPT),
        *((name, {"junk": 3}, "junk") for name in KEPT),
        *((name, {KEPT[name][0][-1]: 1.0}, r"of shape \(2,\), got 1.0") for name in KEPT),
        *(
            (name, {"step": step}, "step to be a whole number >= 0")
            for name in ("Adam", "RMSprop", "Adagrad")
            for step in (-1, 1.5, math.nan, math.inf, "two", np.float32(-1))
        ),
    ],
)
def test_what_a_rule_does_not_keep_is_refused_and_changes_nothing(name, change, match):
    a = parameter([1.0, 2.0])
    optimizer = getattr(optim, name)([a], lr=0.1, **KEPT[name][1])
    run(optimizer, [a], range(2))
    before, groups = optimizer.state, optimizer.param_groups
    entry = entry_of(name, **change)
    with pytest.raises(CheckpointError, match=f"{name}.load_state_dict: .*{match}"):
        optimizer.load_state_dict({**optimizer.state_dict(), "state": {0: entry}})
    assert optimizer.state is before and optimizer.param_groups is groups


@pytest.mark.parametrize("name", KEPT)
def test_a_parameter_without_a_state_starts_afresh(name):
    """Also where PyTorch wrote None, as its SGD without momentum does."""
    for entry in ({}, dict.fromkeys(KEPT[name][0])):
        a, b = parameter([1.0, 2.0]), parameter([1.0, 2.0])
        optimizer, fresh = (getattr(optim, name)([p], lr=0.1, **KEPT[name][1]) for p in (a, b))
        optimizer.load_state_dict({**optimizer.state_dict(), "state": {0: entry}})
        run(optimizer, [a], range(2))
        run(fresh, [b], range(2))
        assert a.tolist() == b.tolist()


def test_what_an_option_no_longer_needs_may_stay():
    a = parameter([1.0, 2.0])
    optimizer = optim.SGD([a], lr=0.1, momentum=0.9)
    run(optimizer, [a], range(2))
    optimizer.param_groups[0]["momentum"] = 0.0
    saved = copy.deepcopy(optimizer.state_dict())
    optimizer.load_state_dict(saved)
    assert optimizer.state[a]["momentum_buffer"].tolist() == saved["state"][0]["momentum_buffer"].tolist()
