"""Hooks around the forward and the backward pass of a module."""

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.errors import GradError


def test_forward_hooks_run_in_order_and_replace():
    layer = nn.Identity()
    seen = []
    layer.register_forward_pre_hook(lambda m, args: seen.append("pre") or (args[0] + 1,))
    first = layer.register_forward_hook(lambda m, args, y: seen.append("first") or y * 10)
    layer.register_forward_hook(lambda m, args, y: seen.append(("second", args[0].item(), y.item())))
    layer.register_forward_hook(lambda m, args, y: seen.append("zeroth"), prepend=True)
    assert layer(minicnn.tensor(1.0)).item() == 20.0
    assert seen == ["pre", "zeroth", "first", ("second", 2.0, 20.0)]
    first.remove()
    first.remove()
    assert layer(minicnn.tensor(1.0)).item() == 2.0


def test_pre_hook_may_return_a_single_value():
    layer = nn.Identity()
    with layer.register_forward_pre_hook(lambda m, args: args[0] * 3):
        assert layer(minicnn.tensor(2.0)).item() == 6.0
    assert layer(minicnn.tensor(2.0)).item() == 2.0


class WithOption(nn.Module):
    def forward(self, x, factor=1.0):
        return x * factor


def test_hooks_with_keyword_arguments():
    layer = WithOption()
    seen = []
    layer.register_forward_pre_hook(lambda m, args, kwargs: (args, {"factor": 3.0}), with_kwargs=True)
    layer.register_forward_hook(lambda m, args, kwargs, y: seen.append(kwargs), with_kwargs=True)
    assert layer(minicnn.tensor(2.0), factor=5.0).item() == 6.0
    assert seen == [{"factor": 3.0}]


def test_full_backward_hook_sees_complete_gradients():
    layer = nn.Linear(2, 2, bias=False)
    seen = []
    layer.register_full_backward_hook(lambda m, gx, gy: seen.append((gx, gy)))
    x = minicnn.tensor([[1.0, 2.0]], requires_grad=True)
    y = layer(x)
    (y.sum() + (2 * y).sum()).backward()  # two ways back
    ((gx,), (gy,)) = seen[0]
    assert len(seen) == 1
    assert gy.tolist() == [[3.0, 3.0]]
    assert gx.array == pytest.approx(3 * layer.weight.array.sum(0, keepdims=True))
    assert x.grad.array == pytest.approx(gx.array)
    assert layer.weight.grad.array == pytest.approx(np.array([[3.0, 6.0], [3.0, 6.0]]))


def test_full_backward_hook_replaces_grad_input():
    layer = nn.ReLU()
    layer.register_full_backward_hook(lambda m, gx, gy: (gx[0] * 0 + 7,))
    layer.register_full_backward_hook(lambda m, gx, gy: gx[0] + 1)
    x = minicnn.tensor([1.0, -1.0], requires_grad=True)
    layer(x * 2).sum().backward()
    assert x.grad.tolist() == [16.0, 16.0]


class TwoByTwo(nn.Module):
    def forward(self, x, y, label):
        return x * y, x + y


def test_full_backward_hook_with_several_inputs_and_outputs():
    module = TwoByTwo()
    seen = []
    module.register_full_backward_hook(lambda m, gx, gy: seen.append((gx, gy)) or (gx[0], gx[1] * 2, None))
    x = minicnn.tensor([3.0], requires_grad=True)
    y = minicnn.tensor([5.0], requires_grad=True)
    product, _ = module(x, y, "label")
    product.sum().backward()
    ((gx, gy, label), (g_product, g_sum)) = seen[0]
    assert (gx.tolist(), gy.tolist(), label) == ([5.0], [3.0], None)
    assert (g_product.tolist(), g_sum) == ([1.0], None)
    assert (x.grad.tolist(), y.grad.tolist()) == ([5.0], [6.0])


def test_full_backward_hook_without_gradient_of_the_input():
    layer = nn.Linear(2, 1, bias=False)
    seen = []
    layer.register_full_backward_hook(lambda m, gx, gy: seen.append((gx, gy[0].tolist())))
    layer(minicnn.tensor([[1.0, 2.0]])).sum().backward()
    assert seen == [((None,), [[1.0]])]
    with minicnn.no_grad():
        layer(minicnn.tensor([[1.0, 2.0]]))
    assert len(seen) == 1


def test_full_backward_hook_errors():
    layer = nn.Identity()
    x = minicnn.ones(1, requires_grad=True)
    with layer.register_full_backward_hook(lambda m, gx, gy: (None, None)):
        y = layer(x)
    with pytest.raises(GradError, match="1 gradients from a backward hook, got 2"):
        y.sum().backward()
    layer.register_full_backward_hook(lambda m, gx, gy: None)
    layer.forward = lambda x: {"x": x}
    with pytest.raises(GradError, match="a tensor or a tuple of tensors, got dict"):
        layer(x)


def test_a_leaf_changed_behind_a_backward_hook_is_noticed():
    layer = nn.SiLU()  # keeps its input
    layer.register_full_backward_hook(lambda m, gx, gy: None)
    x = minicnn.ones(1, requires_grad=True)
    y = layer(x).sum()
    with minicnn.no_grad():
        x.write_(0.0)
    with pytest.raises(GradError, match="changed in place"):
        y.backward()
