"""The losses over class probabilities, against their formulas in float64."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn.train.losses import LOSSES, mae, mse


@pytest.mark.parametrize("name, power", [("mae", 1), ("mse", 2)])
def test_formula(name, power, rng):
    logits = rng.standard_normal((5, 3))
    targets = np.array([0, 2, 1, 1, 0])
    total = 0.0
    for z, t in zip(logits, targets, strict=True):
        p = np.exp(z) / np.exp(z).sum()
        total += sum(abs(p[k] - (k == t)) ** power for k in range(3))
    value = LOSSES[name](minicnn.tensor(logits), minicnn.tensor(targets)).item()
    assert value == pytest.approx(total / 15, rel=1e-12)


@pytest.mark.parametrize("loss", [mae, mse])
def test_gradient(loss, rng):
    targets = minicnn.tensor(np.array([0, 2, 1]))
    assert minicnn.gradcheck(lambda z: loss(z, targets), minicnn.tensor(rng.standard_normal((3, 3))))


def test_mae_is_bounded_and_flat_where_the_model_is_surely_wrong():
    logits = minicnn.tensor([[-50.0, 50.0]], requires_grad=True)
    loss = mae(logits, minicnn.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(1.0)
    assert abs(logits.grad.numpy()).max() < 1e-6
