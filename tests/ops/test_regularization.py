"""What the operation table cannot say of dropout: statistics, seeds, and the functional's choices."""

import numpy as np
import pytest

import minicnn
from minicnn import Tensor
from minicnn.core import random
from minicnn.errors import OptionError, ShapeError
from minicnn.nn import functional as F
from minicnn.ops.regularization import dropout


def test_zeros_and_scaled_elements_in_the_right_proportion():
    y = dropout(minicnn.ones(100_000), p=0.3, seed=0).array
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((y == 0).mean() - 0.3) < 0.006  # four standard deviations
    assert abs(y.mean() - 1) < 0.01


def test_the_seed_decides_what_is_kept():
    x = minicnn.ones(200)
    first, again, other = (dropout(x, p=0.5, seed=seed).array for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_backward_keeps_what_forward_kept(dtype):
    x = Tensor(np.ones((50, 4), dtype), requires_grad=True)
    y = F.dropout(x, 0.4)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == dtype
    np.testing.assert_array_equal(x.grad.array, y.array)


def test_dropout2d_drops_whole_channels():
    y = F.dropout2d(minicnn.ones(20, 10, 3, 3), 0.5).array.reshape(200, 9)
    assert (y == y[:, :1]).all()
    assert 60 < (y[:, 0] == 0).sum() < 140


def test_manual_seed_repeats_and_calls_differ():
    def draw():
        return F.dropout(minicnn.ones(100)).array

    minicnn.manual_seed(3)
    first, second = draw(), draw()
    minicnn.manual_seed(3)
    np.testing.assert_array_equal(draw(), first)
    assert (first != second).any()


def test_nothing_is_drawn_when_nothing_is_dropped():
    x = minicnn.ones(5)
    state = random.get_state()
    assert F.dropout(x, training=False) is x
    assert F.dropout(x, p=0) is x
    assert random.get_state() == state


def test_p_1_drops_all_and_gives_no_gradient():
    x = minicnn.ones(5, requires_grad=True)
    y = F.dropout(x, p=1)
    y.sum().backward()
    assert y.tolist() == x.grad.tolist() == [0] * 5


def test_a_refused_call_draws_nothing():
    state = random.get_state()
    for training in (True, False):
        with pytest.raises(OptionError, match=r"dropout: expected p from 0 to 1, got 1\.2"):
            F.dropout(minicnn.ones(3), 1.2, training)
    assert random.get_state() == state
    with pytest.raises(ShapeError, match=r"\(N, C, \.\.\.\)"):
        F.dropout2d(minicnn.ones(3))


def test_inplace_leaves_the_input_alone():
    x = minicnn.ones(20)
    F.dropout(x, 0.5, True, True)
    assert x.tolist() == [1] * 20
