"""The tape: sums over uses, order, what is freed and refused, threads."""

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

import minicnn
from minicnn import tensor
from minicnn.core import gradients
from minicnn.core.op import op
from minicnn.core.tape import reachable
from minicnn.errors import GradError


@pytest.fixture
def no_collector():
    """With the collector off, only reference counting frees memory."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(*numbers, dtype=None):
    return tensor(list(numbers), dtype=dtype, requires_grad=True)


# -- sums ------------------------------------------------------------------------------------


def test_gradients_of_several_uses_add_up():
    x = leaf(2.0, 3.0)
    (x * x + x + x).sum().backward()
    assert x.grad.tolist() == [6.0, 8.0]


def test_gradients_of_several_backwards_add_up():
    x = leaf(2.0)
    for _ in range(3):
        (x * 5).backward()
    assert x.grad.tolist() == [15.0]


def test_a_diamond_is_walked_once():
    calls = []
    x = leaf(2.0)
    base = x * x
    base.register_hook(lambda g: calls.append(g.item()))
    (base * 3 + base.exp() * 0 + base).backward()
    assert calls == [4.0] and x.grad.item() == 16.0


def test_a_ladder_of_diamonds_takes_linear_time():
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2^60 paths
        y = (y + y) * 0.5
    y.backward()
    assert x.grad.item() == 1.0


def test_nodes_are_walked_after_all_their_uses():
    x = leaf(1.0)
    early = x * 2
    late = early * 3
    (late + early).backward()
    assert x.grad.item() == 8.0
    numbers = [node.number for node in reachable([(late + early).node])]
    assert numbers == sorted(numbers, reverse=True)


def test_an_unused_leaf_keeps_no_gradient():
    x, unused = leaf(1.0), leaf(1.0)
    (x * 1).backward()
    assert unused.grad is None


def test_a_part_that_gets_no_gradient_is_left_out():
    x = leaf(1.0, 2.0)
    y = x * 2
    minicnn.where(tensor([True, True]), x, y.detach()).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


# -- ownership -------------------------------------------------------------------------------


def test_a_gradient_is_the_leafs_own_contiguous_memory():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    gy = np.array([1.0, 2.0], np.float32)
    (x + y).backward(gy)
    assert not np.shares_memory(x.grad.array, y.grad.array)
    assert not np.shares_memory(x.grad.array, gy)
    x.grad.zero_()
    assert y.grad.tolist() == [1.0, 2.0]


def test_a_broadcast_gradient_becomes_writeable_memory():
    x = leaf(1.0, 2.0, 3.0)
    x.sum().backward()
    assert x.grad.array.flags.writeable and x.grad.array.strides == (4,)


def test_a_fortran_leaf_gets_a_row_major_gradient():
    x = minicnn.from_numpy(np.asfortranarray(np.ones((2, 3)))).requires_grad_()
    (x * 2).sum().backward()
    assert x.grad.array.flags.c_contiguous


def test_accumulation_keeps_the_buffer():
    x = leaf(1.0)
    (x * 1).backward()
    buffer = x.grad.array
    (x * 1).backward()
    assert x.grad.array is buffer and buffer.tolist() == [2.0]


@op
def broken(xp, x):
    return x * 1, None


@broken.backward
def broken_backward(xp, gy, saved, needs):
    raise FloatingPointError("on the way back")


@op
def gives_too_much(xp, x):
    return x * 1, None


@gives_too_much.backward
def gives_too_much_backward(xp, gy, saved, needs):
    return gy, gy


@op
def gives_another_shape(xp, x):
    return x.sum(), None


@gives_another_shape.backward
def gives_another_shape_backward(xp, gy, saved, needs):
    return (gy,)


def test_a_failed_backward_leaves_gradients_alone():
    x, y = leaf(1.0), leaf(2.0)
    (x * y).backward()
    with pytest.raises(FloatingPointError):
        (y * 3 + broken(x)).backward()
    assert (x.grad.item(), y.grad.item()) == (2.0, 1.0)


def test_a_backward_with_the_wrong_number_or_shape_is_named():
    with pytest.raises(GradError, match="gives_too_much: expected 1 gradients, got 2"):
        gives_too_much(leaf(1.0)).backward()
    with pytest.raises(GradError, match=r"expected a gradient of shape \(2,\), got \(\)"):
        gives_another_shape(leaf(1.0, 2.0)).backward()


# -- depth and memory ------------------------------------------------------------------------


def test_a_graph_of_50000_steps_needs_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(50_000):
        y = y + 0.0
    limit = sys.getrecursionlimit()
    y.backward()
    assert x.grad.item() == 1.0 and sys.getrecursionlimit() == limit
    del y  # it is freed without recursion as well


def test_a_graph_is_freed_with_its_result(no_collector):
    x = leaf(1.0, 2.0)
    y = (x * 2).exp()
    saved = weakref.ref(y.node.saved[0])
    assert saved() is not None
    del y
    assert saved() is None


def test_backward_frees_what_was_saved_as_it_goes(no_collector):
    x = leaf(1.0, 2.0)
    middle = (x * 2).exp()
    saved = weakref.ref(middle.node.saved[0])
    y = (middle * middle).sum()
    del middle
    assert saved() is not None
    y.backward()
    assert saved() is None and y.node is not None


def test_a_forward_that_failed_leaves_nothing_behind(no_collector):
    x = leaf(1.0, 2.0)
    y = x.exp()
    alive = weakref.ref(y.array)
    with pytest.raises(ValueError, match="broadcast"):
        y + minicnn.zeros(3)
    del y
    assert alive() is None


def test_nothing_is_recorded_without_need():
    x = tensor([1.0])
    assert (x * 2).node is None
    with minicnn.no_grad():
        assert (leaf(1.0) * 2).node is None
    assert (leaf(1.0) > 0).node is None


# -- what is refused -------------------------------------------------------------------------


def test_a_second_backward_is_refused_unless_retained():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12.0
    with pytest.raises(GradError, match=r"mul: backward ran through this graph before.*retain_graph=True"):
        y.backward()
    assert x.grad.item() == 12.0


def test_a_second_backward_through_a_shared_part_is_refused_before_anything_changes():
    x, w = leaf(3.0), leaf(1.0)
    shared = x * x
    (shared * 2).backward()
    with pytest.raises(GradError, match="freed"):
        (shared * w).backward()
    assert x.grad.item() == 12.0 and w.grad is None


def test_there_is_no_second_derivative():
    x = leaf(3.0)
    y = x * x
    with pytest.raises(GradError, match="there is no second derivative"):
        y.backward(create_graph=True)
    y.backward()
    assert not x.grad.requires_grad
    with pytest.raises(GradError, match="no second derivative"):
        (x.grad * 2).backward()


@pytest.mark.parametrize(
    "change", [lambda t: t.mul_(2), lambda t: t.__setitem__(0, 9.0), lambda t: t.zero_()]
)
@pytest.mark.parametrize("requires_grad", [True, False])
def test_a_saved_leaf_changed_before_backward_is_noticed(change, requires_grad):
    x, w = tensor([2.0, 1.0], requires_grad=requires_grad), leaf(3.0, 1.0)
    y = (x * w).sum()
    with minicnn.no_grad():
        change(x)
    with pytest.raises(GradError, match="mul: a tensor was changed in place between its use and backward"):
        y.backward()
    assert w.grad is None


def test_a_leaf_that_was_not_saved_may_change():
    x = leaf(2.0)
    y = x * 3 + x
    with minicnn.no_grad():
        x += 1
    y.backward()
    assert x.grad.item() == 4.0


def test_backward_needs_one_number_or_a_gradient():
    x = leaf(1.0, 2.0)
    with pytest.raises(
        GradError, match=r"one element, or an explicit gradient.*\(2,\).*\.mean\(\) or \.sum\(\)"
    ):
        (x * 2).backward()
    with pytest.raises(GradError, match=r"a gradient of shape \(2,\), got \(3,\)"):
        (x * 2).backward(minicnn.ones(3))
    with pytest.raises(GradError, match="does not require grad"):
        tensor([1.0]).backward()


def test_backward_of_a_leaf_is_its_own_gradient():
    x = leaf(2.0)
    x.backward()
    assert x.grad.item() == 1.0


# -- recording or not ------------------------------------------------------------------------


def test_grad_mode_nests_and_survives_exceptions():
    assert minicnn.is_grad_enabled()
    with minicnn.no_grad():
        with minicnn.enable_grad():
            assert minicnn.is_grad_enabled()
        assert not minicnn.is_grad_enabled()
    with pytest.raises(KeyError), minicnn.no_grad():
        raise KeyError
    assert minicnn.is_grad_enabled()


def test_grad_mode_as_a_decorator_and_by_flag():
    @minicnn.no_grad()
    def evaluate(depth):
        return minicnn.is_grad_enabled() or (depth > 0 and evaluate(depth - 1))

    assert evaluate(2) is False and minicnn.is_grad_enabled()
    with minicnn.set_grad_enabled(False):
        assert not minicnn.is_grad_enabled()
    assert minicnn.is_grad_enabled()


def test_grad_mode_belongs_to_a_thread():
    seen = []
    with minicnn.no_grad():
        thread = threading.Thread(target=lambda: seen.append(minicnn.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_threads_can_walk_graphs_that_share_a_leaf():
    x = minicnn.ones(100, requires_grad=True)
    results = []

    def work(factor):
        y = (x.detach().requires_grad_() * factor).sum()
        results.append((factor, gradients.find([y], [None])[0]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all((g == factor).all() for factor, found in results for g in found.values())
