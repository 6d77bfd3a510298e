import numpy as np
import pytest

import minicnn
from minicnn.autograd import grad
from minicnn.errors import GradError


def test_grad_of_leaf_and_of_intermediate():
    x = minicnn.tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    gx, gh = grad((h * h).sum(), [x, h])
    np.testing.assert_allclose(gx.numpy(), [18.0, 36.0])
    np.testing.assert_allclose(gh.numpy(), [6.0, 12.0])
    assert x.grad is None


def test_grad_refuses_unused_input_unless_allowed():
    x = minicnn.tensor([1.0], requires_grad=True)
    other = minicnn.tensor([1.0], requires_grad=True)
    with pytest.raises(GradError, match="do not depend on input 0"):
        grad((x * 2).sum(), other)
    assert grad((x * 2).sum(), other, allow_unused=True) == (None,)


def test_grad_refuses_a_second_derivative():
    x = minicnn.tensor([1.0], requires_grad=True)
    with pytest.raises(GradError, match="second derivative"):
        grad((x * x).sum(), x, create_graph=True)


def test_grad_leaves_no_hook_behind():
    x = minicnn.tensor([1.0], requires_grad=True)
    h = x * 2
    grad(h.sum(), h, retain_graph=True)
    assert h.node.hooks == []
