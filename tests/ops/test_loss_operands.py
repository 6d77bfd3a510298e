"""What losses take: types that fit, weights, no samples, numbers that are not finite."""

import numpy as np
import pytest

import minicnn
from minicnn import Tensor
from minicnn.errors import DTypeError
from minicnn.nn import functional as F
from minicnn.ops import loss as ops


@pytest.mark.parametrize(
    "function", [F.l1_loss, F.mse_loss, F.huber_loss, F.kl_div, F.binary_cross_entropy_with_logits]
)
def test_a_target_of_another_type_than_the_input_is_refused(function):
    with pytest.raises(DTypeError, match="expected target in the dtype of the input, float32, got float64"):
        function(Tensor(np.ones(3, np.float32)), Tensor(np.ones(3)))


@pytest.mark.parametrize("name", ["weight", "pos_weight"])
def test_a_weight_of_another_type_than_the_input_is_refused(name):
    x = Tensor(np.ones(3, np.float32))
    with pytest.raises(DTypeError, match=f"expected {name} in the dtype of the input, float32, got float64"):
        F.binary_cross_entropy_with_logits(x, x, **{name: Tensor(np.ones(3))})


def test_a_weight_may_be_a_number():
    x = Tensor(np.ones(3, np.float32))
    weighted = F.binary_cross_entropy_with_logits(x, x, weight=2.0)
    assert weighted.item() == pytest.approx(2 * F.binary_cross_entropy_with_logits(x, x).item())


@pytest.mark.parametrize("weighted", [False, True])
def test_no_classes_and_no_samples_are_no_division_by_zero(weighted):
    w = minicnn.ones(0) if weighted else None
    options = {"weight": w, "label_smoothing": 0.1, "reduction": "sum"}
    for target in (minicnn.zeros(0, dtype=np.int64), minicnn.zeros(0, 0)):
        x = minicnn.zeros(0, 0, requires_grad=True)
        loss = F.cross_entropy(x, target, **options)
        loss.backward()
        assert loss.item() == 0.0 and x.grad.shape == (0, 0)


@pytest.mark.parametrize("loss", [ops.cross_entropy, ops.nll_loss])
def test_nan_from_above_does_not_reach_ignored_positions(loss):
    x = Tensor(np.zeros((2, 3)), requires_grad=True)
    loss(x, np.array([1, -100]), reduction="none").backward(np.array([1.0, np.nan]))
    assert np.isfinite(x.grad.array).all() and (x.grad.array[1] == 0).all()


def test_smoothing_of_1_takes_nothing_from_the_label_itself():
    assert ops.cross_entropy(Tensor([[-np.inf, 0.0]]), np.array([0]), label_smoothing=1.0).item() == np.inf
