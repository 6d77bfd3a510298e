"""Where a bad number came from: only what does harm is blamed, and what is meant to be infinite is not."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.nn import functional as F
from minicnn.train.anomaly import all_finite, explain

X = np.arange(1.0, 9.0, dtype=np.float32).reshape(2, 4)
UPPER = np.triu(np.ones((4, 4), bool), 1)


class Model(nn.Module):
    """A dense layer, and after it what a test wants."""

    def __init__(self, rest):
        super().__init__()
        minicnn.manual_seed(0)
        self.dense = nn.Linear(4, 4)
        self.rest = rest

    def forward(self, x):
        return self.rest(self.dense(x))


def explained(rest, x=X, prepare=lambda model: None):
    model = Model(rest)
    prepare(model)
    with np.errstate(all="ignore"):
        error = explain(model, lambda: model(minicnn.tensor(x)).sum())
    assert all(p.grad is None for p in model.parameters())
    return str(error)


def masked(h):
    """Attention's way: what must not be seen is minus infinity."""
    scores = (h.T @ h).masked_fill(minicnn.tensor(UPPER), -np.inf)
    return F.softmax(scores, dim=1)


def padded(h):
    return F.pad(h.abs(), (1, 1), value=-np.inf).amax(dim=1)


def overflowing(h):
    """An infinity that vanishes again: 1 / (1 + e^h)."""
    return 1 / (1 + (h * 0 + 1000).exp().detach()) + h


@pytest.mark.parametrize("harmless", [masked, padded, overflowing])
def test_an_infinity_that_reaches_nothing_is_not_blamed(harmless):
    text = explained(lambda h: (harmless(h) * 0 - 1).log())
    assert text.startswith("Model: log: the result is not finite")
    text = explained(lambda h: (harmless(h) * 0).sqrt())  # the slope at 0
    assert text.startswith("Model: sqrt.backward: the gradient of x is not finite")


def test_the_operation_that_makes_nan_of_a_mask_is_blamed():
    nothing_left = minicnn.tensor(np.ones((2, 4), bool))
    text = explained(lambda h: F.softmax(h.masked_fill(nothing_left, -np.inf), dim=1))
    assert text.startswith("Model: softmax: the result is not finite in 8 of 8 places, first nan")
    assert "its operand x has such numbers" in text


def test_minus_infinity_that_turns_round_is_blamed_where_it_turns():
    first = minicnn.tensor(np.array([True, False, False, False]))
    target = minicnn.tensor([0, 0])
    text = explained(lambda h: F.cross_entropy(h.masked_fill(first, -np.inf), target))
    assert text.startswith("Model: cross_entropy: the result is not finite in 1 of 1 places, first inf")


def test_an_infinite_constant_that_nothing_else_explains_is_named():
    assert explained(lambda h: h + np.inf).startswith("Model: add: the result is not finite in 8 of 8")


def test_overflow_is_blamed_before_the_nan_that_comes_of_it():
    text = explained(lambda h: (h * 0 + 1000).exp() * 0)
    assert text.startswith("Model: exp: the result is not finite in 8 of 8 places, first inf")


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_bad_weights_and_bad_images_are_found_at_their_first_use(number):
    def spoil(model):
        with minicnn.no_grad():
            model.dense.weight.write_(np.full((4, 4), number, np.float32))

    text = explained(lambda h: h - h, prepare=spoil)
    assert text.startswith("dense: Linear: linear: ") and text.endswith("its operand w has such numbers")
    text = explained(lambda h: h - h, x=X * number)
    assert text.startswith("dense: Linear: linear: ") and text.endswith("its operand x has such numbers")


# -- hooks -----------------------------------------------------------------------------------


def spoiling(g):
    return g * np.nan


def test_a_hook_on_a_parameter_is_named():
    text = explained(lambda h: h, prepare=lambda model: model.dense.bias.register_hook(spoiling))
    assert text == (
        "a hook was here: the gradient of dense.bias is not finite in 4 of 4 places, first nan at (0,)"
    )


def test_a_hook_on_a_result_is_named():
    def hooked(h):
        h.register_hook(spoiling)
        return h * 1

    text = explained(hooked)
    assert text.startswith("dense: Linear: linear: a hook was here: the gradient of the result is not finite")


def test_a_full_backward_hook_of_a_module_is_named():
    def prepare(model):
        model.rest.register_full_backward_hook(lambda module, gx, gy: (spoiling(gx[0]),))

    assert "a hook was here" in explained(nn.ReLU(), prepare=prepare)


def test_what_a_hook_has_mended_is_not_blamed():
    def prepare(model):
        model.dense.weight.register_hook(lambda g: minicnn.zeros(4, 4))
        model.dense.bias.register_hook(lambda g: minicnn.zeros(4) + np.nan)

    text = explained(lambda h: h, prepare=prepare)
    assert text.startswith("a hook was here: the gradient of dense.bias")

    def mend(model):
        for p in model.dense.parameters():
            p.register_hook(lambda g: g * 0 if np.isfinite(g.numpy()).all() else minicnn.zeros(*g.shape))

    assert "but not again" in explained(lambda h: (h * 0).sqrt(), prepare=mend)


def test_gradients_that_are_too_large_together_are_named():
    def twice(h):
        small = h * 1e-30
        return small * 3e38 + small * 3e38

    assert explained(twice).startswith("Model: mul: summed up, the gradient of the result is not finite")


# -- the watch ------------------------------------------------------------------------------


def test_all_finite_sees_each_bad_number_and_no_other():
    good = np.array([1e30, -1e30, 3e38], np.float32)  # the sum of squares overflows
    assert all_finite([good, np.arange(3), np.zeros((0, 2), np.float32)])
    for bad in (np.nan, np.inf, -np.inf):
        assert not all_finite([good, np.array([1, bad], np.float32)])
        assert not all_finite([np.array([[bad]])])
    assert all_finite([])
