"""What is special to Adagrad."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.optim import Adagrad


def one() -> Tensor:
    return Tensor(np.array([0.0]), requires_grad=True)


@pytest.mark.parametrize("option", ["lr_decay", "initial_accumulator_value", "eps"])
def test_numbers_are_not_negative(option):
    with pytest.raises(OptionError, match=f"Adagrad: expected {option} in"):
        Adagrad([one()], **{option: -1.0})


def test_arguments_stand_in_the_order_of_pytorch():
    group = Adagrad([one()], 0.5, 0.4, 0.3, 0.2, 0.1, None).param_groups[0]
    names = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
    assert [group[n] for n in names] == [0.5, 0.4, 0.3, 0.2, 0.1]


def test_steps_get_smaller_with_the_sum_of_squares():
    p = one()
    optimizer = Adagrad([p], lr=1.0, initial_accumulator_value=0.0, eps=0.0)
    for t in range(1, 5):
        before = p.item()
        p.grad = Tensor(np.array([3.0]))
        optimizer.step()
        assert before - p.item() == pytest.approx(1 / np.sqrt(t), rel=1e-12)
    assert optimizer.state[p]["sum"].tolist() == [36.0] and optimizer.state[p]["step"] == 4
