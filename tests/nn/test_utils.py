"""Gradient clipping and parameter vectors."""

import math

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.errors import NonFiniteError, OptionError, ShapeError
from minicnn.nn import utils


def with_gradients(*gradients, dtype=np.float32):
    tensors = []
    for gradient in gradients:
        gradient = np.asarray(gradient, dtype)
        tensor = minicnn.Tensor(np.zeros_like(gradient), requires_grad=True)
        tensor.grad = minicnn.Tensor(gradient)
        tensors.append(tensor)
    return tensors


def test_clip_grad_norm_scales_all_together():
    tensors = with_gradients([3.0], [[0.0, 4.0]])
    tensors.append(minicnn.zeros(1, requires_grad=True))  # without a gradient
    assert utils.clip_grad_norm_(iter(tensors), 2.5).item() == 5.0
    assert tensors[0].grad.array == pytest.approx(np.array([3 * 2.5 / (5 + 1e-6)]), rel=1e-7)
    assert tensors[1].grad.array == pytest.approx(np.array([[0.0, 4 * 2.5 / (5 + 1e-6)]]), rel=1e-7)
    before = tensors[0].grad.tolist()
    assert utils.clip_grad_norm_(tensors, 2.6).item() == pytest.approx(2.5)
    assert tensors[0].grad.tolist() == before


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e20, 1e30])
def test_clip_grad_norm_does_not_overflow_or_vanish(scale):
    (tensor,) = with_gradients([3 * scale, -4 * scale])
    assert utils.clip_grad_norm_(tensor, scale).item() == pytest.approx(5 * scale, rel=1e-6, abs=0)
    expected = np.array([3 * scale, -4 * scale]) * scale / (5 * scale + 1e-6)
    np.testing.assert_allclose(tensor.grad.array, expected, rtol=1e-6, atol=1e-44)


def test_clip_grad_norm_is_that_of_pytorch():
    """It adds 1e-6 to the norm, and gives the norm in the gradients' type."""
    for dtype in (np.float32, np.float64):
        (tensor,) = with_gradients([3e-6, 4e-6], dtype=dtype)
        assert utils.clip_grad_norm_(tensor, 3e-6).dtype == dtype
        assert tensor.grad.array == pytest.approx(np.array([1.5e-6, 2e-6]), rel=1e-6, abs=0)
    assert (
        utils.clip_grad_norm_(with_gradients([1.0]) + with_gradients([1.0], dtype=np.float64), 1).dtype
        == np.float64
    )
    assert utils.clip_grad_norm_([], 1.0).dtype == np.float32


def test_clip_grad_norm_in_double_precision_at_the_limits():
    (tensor,) = with_gradients([3e300, 4e300], dtype=np.float64)
    assert utils.clip_grad_norm_(tensor, 1.0).item() == pytest.approx(5e300)
    assert tensor.grad.array == pytest.approx(np.array([0.6, 0.8]))


@pytest.mark.parametrize(("p", "norm"), [(1.0, 7.0), (2, 5.0), (3.0, 91 ** (1 / 3)), (math.inf, 4.0)])
def test_clip_grad_norm_of_other_norms(p, norm):
    tensors = with_gradients([-3.0], [4.0])
    assert utils.clip_grad_norm_(tensors, 100.0, p).item() == pytest.approx(norm)
    assert tensors[0].grad.tolist() == [-3.0]


def test_clip_grad_norm_of_nothing():
    assert utils.clip_grad_norm_([], 1.0).item() == 0.0
    (tensor,) = with_gradients([0.0, 0.0])
    assert utils.clip_grad_norm_(tensor, 0.0).item() == 0.0
    assert tensor.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_clip_grad_norm_of_what_is_not_finite(value):
    (tensor,) = with_gradients([1.0, value])
    with pytest.raises(NonFiniteError, match="clip_grad_norm_: the norm of the gradients is"):
        utils.clip_grad_norm_(tensor, 1.0, error_if_nonfinite=True)
    assert tensor.grad.tolist()[0] == 1.0
    assert not math.isfinite(utils.clip_grad_norm_(tensor, 1.0).item())
    assert tensor.grad.array == pytest.approx(
        np.array([math.nan if math.isnan(value) else 0.0, math.nan]), nan_ok=True
    )


def test_clip_grad_norm_sees_nan_in_any_tensor():
    for order in ([1.0], [math.nan]), ([math.nan], [1.0]):
        assert math.isnan(utils.clip_grad_norm_(with_gradients(*order), 1.0, math.inf).item())


def test_clip_grad_value():
    tensors = with_gradients([-3.0, 0.5], [4.0])
    utils.clip_grad_value_(tensors, 1)
    assert [t.grad.tolist() for t in tensors] == [[-1.0, 0.5], [1.0]]


def test_bad_limits_are_refused():
    (tensor,) = with_gradients([3.0])
    for call in (
        lambda: utils.clip_grad_norm_(tensor, -1.0),
        lambda: utils.clip_grad_norm_(tensor, math.nan),
        lambda: utils.clip_grad_norm_(tensor, 1.0, 0.0),
        lambda: utils.clip_grad_value_(tensor, -1.0),
    ):
        with pytest.raises(OptionError):
            call()
    assert tensor.grad.tolist() == [3.0]


def test_vector_round_trip():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.shape == (13,)
    utils.vector_to_parameters(vector.detach() * 2, model.parameters())
    again = utils.parameters_to_vector(model.parameters())
    assert again.array == pytest.approx(2 * vector.array)
    again.sum().backward()
    assert (model[0].weight.grad.array == 1).all()


@pytest.mark.parametrize("size", [12, 14])
def test_vector_of_the_wrong_size_changes_nothing(size):
    model = nn.Linear(4, 2)
    model.extra = nn.Parameter([1.0, 1.0, 1.0])
    before = utils.parameters_to_vector(model.parameters()).array
    with pytest.raises(ShapeError, match=r"a vector of shape \(13,\)"):
        utils.vector_to_parameters(minicnn.zeros(size), model.parameters())
    assert (utils.parameters_to_vector(model.parameters()).array == before).all()
