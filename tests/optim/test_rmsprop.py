"""What is special to RMSprop."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.optim import RMSprop


def one() -> Tensor:
    return Tensor(np.array([0.0]), requires_grad=True)


@pytest.mark.parametrize("alpha", [-0.1, 1.0])
def test_alpha_lies_below_1(alpha):
    with pytest.raises(OptionError, match=r"alpha in \[0, 1\)"):
        RMSprop([one()], alpha=alpha)


def test_arguments_stand_in_the_order_of_pytorch():
    group = RMSprop([one()], 0.6, 0.5, 0.4, 0.3, 0.2, True, False, None, True, False).param_groups[0]
    names = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize")
    assert [group[n] for n in names] == [0.6, 0.5, 0.4, 0.3, 0.2, True, True]


def test_a_constant_gradient_gives_no_nan_when_centred():
    """Its variance is 0, and may come out as less than that."""
    p = one()
    optimizer = RMSprop([p], lr=1e-3, alpha=0.3, centered=True, eps=1.0)
    for _ in range(200):
        p.grad = Tensor(np.array([0.1]))
        optimizer.step()
    entry = optimizer.state[p]
    assert np.isfinite(p.array).all()
    np.testing.assert_allclose(entry["square_avg"].array, entry["grad_avg"].array ** 2)


def test_the_root_of_the_mean_square_divides():
    p = one()
    optimizer = RMSprop([p], lr=0.5, alpha=0.75, eps=1.0)
    p.grad = Tensor(np.array([6.0]))
    optimizer.step()
    assert optimizer.state[p]["square_avg"].tolist() == [9.0] and p.tolist() == [-0.5 * 6 / 4]
