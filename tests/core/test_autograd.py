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
    assert h.node.hooks is None


def test_grad_of_several_outputs_is_that_of_their_sum():
    x = minicnn.tensor([1.0, 2.0], requires_grad=True)
    y, z = x * 3, x * x
    (g,) = grad([y.sum(), z.sum()], x, retain_graph=True)
    assert g.tolist() == [5.0, 7.0]
    (g,) = grad((y, z), [x], [minicnn.tensor([1.0, 0.0]), minicnn.tensor([0.0, 10.0])], retain_graph=True)
    assert g.tolist() == [3.0, 40.0]
    g, gy = grad([y.sum(), y.sum()], [x, y], retain_graph=True)
    assert (g.tolist(), gy.tolist()) == ([6.0, 6.0], [2.0, 2.0])
    (g,) = grad(y, x, (minicnn.tensor([1.0, 2.0]),), retain_graph=True)
    assert g.tolist() == [3.0, 6.0]
    assert grad([x.sum(), x], [x], [None, minicnn.ones(2)])[0].tolist() == [2.0, 2.0]
    with pytest.raises(GradError, match="one of grad_outputs for each of 2 outputs, got 1"):
        grad([y, z], x, [minicnn.ones(2)])


def test_grad_runs_the_hooks_of_what_is_wanted():
    x, other = (minicnn.tensor([1.0], requires_grad=True) for _ in range(2))
    x.register_hook(lambda g: g * 10)
    other.register_hook(lambda g: 1 / 0)
    h = x * other
    h.register_hook(lambda g: g + 1)
    gx, gh = grad(h.sum(), [x, h])
    assert (gx.tolist(), gh.tolist()) == ([20.0], [2.0])
