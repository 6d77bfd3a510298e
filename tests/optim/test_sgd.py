"""What is special to SGD."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.ops.update import sgd_update
from minicnn.optim import SGD
from minicnn.oracles.optim import soft_threshold


def one() -> Tensor:
    return Tensor(np.array([1.0]), requires_grad=True)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_needs_momentum_without_dampening(options):
    with pytest.raises(OptionError, match="momentum > 0 and dampening = 0 for Nesterov"):
        SGD([one()], lr=0.1, nesterov=True, **options)


def test_nesterov_is_checked_in_each_group():
    with pytest.raises(OptionError, match="Nesterov"):
        SGD([{"params": [one()]}, {"params": [one()], "momentum": 0.0}], lr=0.1, momentum=0.9, nesterov=True)


def test_arguments_stand_in_the_order_of_pytorch():
    group = SGD([one()], 0.5, 0.4, 0.3, 0.2, False).param_groups[0]
    assert [group[n] for n in ("lr", "momentum", "dampening", "weight_decay")] == [0.5, 0.4, 0.3, 0.2]
    assert SGD([one()]).param_groups[0]["lr"] == 1e-3


def test_the_first_gradient_enters_the_buffer_undamped_and_later_ones_damped():
    p = one()
    optimizer = SGD([p], lr=0.5, momentum=0.5, dampening=0.75)
    for expected in (8.0, 6.0):
        p.grad = Tensor(np.array([8.0]))
        optimizer.step()
        assert optimizer.state[p]["momentum_buffer"].tolist() == [expected]


def test_without_momentum_there_is_no_state():
    p = one()
    optimizer = SGD([p], lr=0.5)
    p.grad = Tensor(np.array([1.0]))
    optimizer.step()
    assert optimizer.state_dict()["state"] == {}


def test_gradient_descent_on_a_quadratic_follows_its_closed_form():
    """On a/2 p² each step multiplies p by 1 - lr a."""
    p = one()
    optimizer = SGD([p], lr=0.1)
    for _ in range(20):
        p.grad = Tensor(3.0 * p.array)
        optimizer.step()
    np.testing.assert_allclose(p.array, 0.7**20, rtol=1e-13)


@pytest.mark.parametrize("target", [2.0, 0.1, 0.0, -0.3, -2.0])
def test_l1_finds_the_soft_threshold(target):
    """The minimum of (p - a)²/2 + l1 |p| is a moved by l1 towards 0, and exactly 0 for |a| <= l1."""
    p = one()
    optimizer = SGD([p], lr=0.25, l1=0.5)
    for _ in range(150):
        p.grad = Tensor(p.array - target)
        optimizer.step()
    expected = soft_threshold(target, 0.5)
    np.testing.assert_allclose(p.array, expected, rtol=1e-13)
    assert expected or p.item() == 0


def test_the_kernel_is_known_under_its_name():
    from minicnn.core.dispatch import kernels

    assert kernels["sgd_update"] is sgd_update and sgd_update.__doc__.startswith("One step of")
