"""Hooks, retained gradients, and what ``.grad`` may be."""

import threading
import time

import numpy as np
import pytest

import minicnn
from minicnn import tensor
from minicnn.errors import DTypeError, GradError


def leaf(value):
    return tensor(value, requires_grad=True)


# -- hooks -----------------------------------------------------------------------------------


def test_hooks_see_and_replace_complete_gradients():
    x = leaf(1.0)
    seen = []
    h = x * 2
    h.register_hook(lambda g: seen.append(g.item()))
    h.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: -g)
    (h * 3 + h).backward()
    assert seen == [4.0] and x.grad.item() == -80.0


def test_a_hook_can_be_removed():
    x = leaf(1.0)
    handle = x.register_hook(lambda g: g * 10)
    handle.remove()
    handle.remove()
    (x * 1).backward()
    assert x.grad.item() == 1.0
    with pytest.raises(GradError, match="does not require grad"):
        tensor([1.0]).register_hook(print)


def test_retain_grad_fills_the_gradient_of_a_result():
    x = leaf(1.0)
    h = x * 2
    h.retain_grad()
    x.retain_grad()
    (h * 3).backward()
    assert h.grad.item() == 3.0 and x.grad.item() == 6.0


def test_retain_grad_takes_the_gradient_after_all_hooks_and_only_of_a_whole_backward():
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    minicnn.autograd.grad((y * 3).sum(), x, retain_graph=True)
    assert y.grad is None
    failing = x.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        (y * 3).backward(retain_graph=True)
    assert y.grad is None and x.grad is None
    failing.remove()
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    (y * 3).backward()
    assert y.grad.item() == 30.0 and x.grad.item() == 60.0


def test_retain_grad_follows_a_change_in_place():
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    y += 1
    (y * 3).backward()
    assert y.grad.item() == 3.0


def test_a_hook_may_remove_itself():
    x = leaf(1.0)
    seen = []
    first = x.register_hook(lambda g: seen.append("first") or first.remove())
    with x.register_hook(lambda g: seen.append("second")):
        (x * 1).backward()
    (x * 1).backward()
    assert seen == ["first", "second"]


# -- what .grad and requires_grad may be -----------------------------------------------------


@pytest.mark.parametrize(
    ("grad", "message"),
    [
        (tensor([0, 0]), "a gradient in float32, got int64"),
        (tensor([0.0]), r"a gradient of shape \(2,\), got \(1,\)"),
        (tensor([0.0, 0.0]).to("meta"), "a gradient in cpu, got meta"),
        (np.zeros(2, np.float32), "a tensor or None for grad, got ndarray"),
        (tensor([0.0]).expand(2), "read-only"),
    ],
    ids=repr,
)
def test_a_gradient_fits_its_tensor(grad, message):
    v = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(GradError, match=message):
        v.grad = grad
    assert v.grad is None
    v.grad = tensor([3.0, 3.0])
    v.grad = None


def test_a_gradient_that_no_longer_fits_changes_nothing():
    v, w = (tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    v.grad, w.grad = tensor([0.0, 0.0]), tensor([0.0, 0.0])
    v.grad.data = tensor([0, 0])
    with pytest.raises(GradError, match="a gradient in float32, got int64"):
        (w * v).sum().backward()
    assert w.grad.tolist() == [0.0, 0.0]


def test_requires_grad_is_checked_when_it_is_set():
    for value in (tensor([1]), tensor([True])):
        with pytest.raises(DTypeError, match="floating point"):
            value.requires_grad = True
    y = leaf(1.0) * 2
    with pytest.raises(GradError, match="only be set on a leaf"):
        y.requires_grad = False
    x = tensor(1.0)
    x.requires_grad = True
    assert (x * 2).requires_grad


# -- threads ----------------------------------------------------------------------------------


class _Slow(np.ndarray):
    """Numbers that give other threads time between reading and writing, as large ones do."""

    def __iadd__(self, other):
        total = self + other
        time.sleep(0.001)
        self[...] = total
        return self


def test_threads_that_share_a_leaf_lose_no_gradient():
    x = minicnn.zeros(2, requires_grad=True)
    x.grad = minicnn.zeros(2)
    x.grad.array = x.grad.array.view(_Slow)

    def work():
        for _ in range(10):
            (x * 1).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert x.grad.tolist() == [40.0, 40.0]
