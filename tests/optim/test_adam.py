"""What is special to Adam and AdamW."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn.core.tensor import Tensor
from minicnn.errors import CheckpointError, OptionError
from minicnn.optim import SGD, Adam, AdamW


def one(value=1.0, dtype=np.float64) -> Tensor:
    return Tensor(np.array([value], dtype=dtype), requires_grad=True)


def step(optimizer, p, gradient) -> None:
    p.grad = Tensor(np.array([gradient], dtype=p.dtype))
    optimizer.step()


@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.9, -0.1), (0.9, math.nan), (0.9,), 0.9, None, ("a", 0.9)])
def test_betas_are_two_numbers_below_1(betas):
    with pytest.raises(OptionError, match="Adam: expected betas"):
        Adam([one()], betas=betas)


def test_arguments_stand_in_the_order_of_pytorch():
    group = Adam([one()], 0.5, (0.4, 0.3), 0.2, 0.1, True).param_groups[0]
    names = ("lr", "betas", "eps", "weight_decay", "amsgrad")
    assert [group[n] for n in names] == [0.5, (0.4, 0.3), 0.2, 0.1, True]
    assert AdamW([one()]).param_groups[0]["weight_decay"] == 0.01


@pytest.mark.parametrize("gradient", [1e-4, 1.0, 1e15])
def test_the_first_step_has_the_length_lr_whatever_the_gradient(gradient):
    """That is what the bias correction is for: m̂ = g and v̂ = g²."""
    p = one(0.0, np.float32)
    step(Adam([p], lr=0.25, betas=(0.9, 0.999)), p, gradient)
    np.testing.assert_allclose(p.array, -0.25, rtol=1e-3)


def test_no_gradient_no_step():
    p = one()
    step(Adam([p], lr=0.25), p, 0.0)
    assert p.tolist() == [1.0]


def test_a_late_step_is_no_special_case():
    """At t = 10⁶ the bias corrections are 1, and nothing overflows or divides by 0."""
    p = one(0.0)
    optimizer = Adam([p], lr=0.5)
    step(optimizer, p, 1.0)
    optimizer.state[p].update(step=999_999)
    optimizer.state[p]["exp_avg"].array[:] = 2.0
    optimizer.state[p]["exp_avg_sq"].array[:] = 4.0
    p.array[:] = 0.0
    step(optimizer, p, 2.0)
    np.testing.assert_allclose(p.array, -0.5 * 2.0 / np.sqrt(4.0), rtol=1e-8)
    assert optimizer.state[p]["step"] == 1_000_000


def test_decay_of_adamw_does_not_depend_on_the_gradient_and_that_of_adam_does():
    def shrinkage(kind, gradient):
        moved = []
        for decay in (0.0, 0.1):
            p = one()
            optimizer = kind([p], lr=0.01, weight_decay=decay)
            for t in range(10):
                step(optimizer, p, gradient * (-1) ** t)
            moved.append(p.item())
        return moved[0] - moved[1]

    assert shrinkage(AdamW, 1.0) == pytest.approx(shrinkage(AdamW, 100.0), rel=0.02)
    assert shrinkage(Adam, 1.0) > 20 * shrinkage(Adam, 100.0)


def test_amsgrad_never_forgets_the_largest_square():
    p = one()
    optimizer = Adam([p], lr=0.1, betas=(0.9, 0.5), amsgrad=True)
    largest = []
    for gradient in (10.0, 0.0, 0.0, 1.0):
        step(optimizer, p, gradient)
        largest.append(optimizer.state[p]["max_exp_avg_sq"].item())
    assert largest == [50.0] * 4


def test_adamw_stays_decoupled_when_it_loads_the_state_of_adam():
    adam, p = Adam([one()], lr=0.1, weight_decay=0.5), one()
    adamw = AdamW([p], lr=0.1)
    adamw.load_state_dict(adam.state_dict())
    step(adamw, p, 0.0)
    assert p.tolist() == [0.95]


def test_the_state_of_another_rule_is_refused():
    with pytest.raises(CheckpointError, match="Adam.load_state_dict: expected the option"):
        Adam([one()]).load_state_dict(SGD([one()]).state_dict())
