"""Batch normalization with given statistics, as part of the weights of the convolution before it."""

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, backends, nn
from minicnn.core.fusion import fusing
from minicnn.errors import ShapeError
from minicnn.nn import functional as F


@pytest.fixture(autouse=True)
def _native():
    reason = backends.unavailable("native")
    if reason:
        pytest.skip(reason)
    with backends.use_backend("native"):
        yield


def calls(name):
    return backends.report().get(name, {}).get("native", {}).get("kernel", 0)


def evaluated(rng, groups=1, bias=True, affine=True):
    """A convolution and a normalization with statistics, in evaluation mode."""
    layers = nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1, groups=groups, bias=bias), nn.BatchNorm2d(6, affine=affine), nn.ReLU()
    )
    with minicnn.no_grad():
        for tensor in (*layers[1].parameters(), layers[1].running_mean, layers[1].running_var):
            tensor.write_(rng.uniform(0.5, 2.0, 6).astype(np.float32))
    return layers.eval()


def both(model, x):
    """Results of a model as it is and compiled."""
    model.__dict__["_fuses"] = False
    plain = model(x)
    return plain.detach().numpy(), minicnn.compile(model)(x).detach().numpy()


@pytest.mark.parametrize(
    "options", [{}, {"groups": 2}, {"bias": False}, {"affine": False}, {"bias": False, "affine": False}]
)
def test_a_normalization_is_folded_into_the_convolution(options, rng):
    model = evaluated(rng, **options)
    x = Tensor(rng.standard_normal((3, 4, 5, 6)).astype(np.float32))
    with minicnn.no_grad():
        both(model, x)
        before = calls("batch_norm_inference"), calls("conv2d_relu"), calls("relu"), calls("conv2d")
        plain, fused = both(model, x)
        after = calls("batch_norm_inference"), calls("conv2d_relu"), calls("relu"), calls("conv2d")
    assert [a - b for a, b in zip(after, before, strict=True)] == [1, 1, 1, 1]
    np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-5)


def test_statistics_that_change_are_folded_anew(rng):
    model = evaluated(rng)
    x = Tensor(rng.standard_normal((3, 4, 5, 6)).astype(np.float32))
    with minicnn.no_grad():
        both(model, x)
        model[1].running_mean.add_(1.0)
        model[0].weight.mul_(2.0)
        plain, fused = both(model, x)
    np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-5)


def test_nothing_is_folded_where_gradients_are_recorded(rng):
    model = evaluated(rng)
    x = Tensor(rng.standard_normal((3, 4, 5, 6)).astype(np.float32))
    before = calls("batch_norm_inference")
    plain, fused = both(model, x)
    assert calls("batch_norm_inference") == before + 2 and np.array_equal(plain, fused)
    for parameter in model.parameters():
        parameter.requires_grad = False
    both(model, x)
    assert calls("batch_norm_inference") == before + 3


def test_statistics_of_another_shape_are_refused_by_the_normalization(rng):
    x, w = (Tensor(rng.standard_normal(s).astype(np.float32)) for s in ((2, 3, 6, 6), (4, 3, 3, 3)))
    with fusing(), pytest.raises(ShapeError, match="batch_norm_inference"):
        F.batch_norm(F.conv2d(x, w), minicnn.zeros(5), minicnn.ones(5))


def test_a_residual_block_in_evaluation_mode_is_two_convolutions(rng):
    block = minicnn.models.resnet.BasicBlock(3, 3)
    x = Tensor(rng.standard_normal((4, 3, 5, 7)).astype(np.float32))
    block(x)  # statistics that are not 0 and 1
    names = ("conv2d_relu", "conv2d_add_relu", "conv2d", "batch_norm_inference", "relu")
    with minicnn.no_grad():
        plain = block.eval()(x).numpy()
        before = [calls(op) for op in names]
        fused = minicnn.compile(block)(x).numpy()
    assert [calls(op) - b for op, b in zip(names, before, strict=True)] == [1, 1, 0, 0, 0]
    np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-5)
