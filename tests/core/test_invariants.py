"""What ARCHITECTURE.md promises of gradients, changes in place and memory, in its awkward corners."""

import copy
import gc
import weakref

import numpy as np
import pytest

import minicnn
from minicnn import no_grad, tensor
from minicnn.core.op import op
from minicnn.core.tape import is_grad_enabled, set_grad_enabled
from minicnn.errors import DTypeError, GradError


@pytest.fixture
def without_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_the_result_of_an_operation_is_not_changed_in_place():
    x = tensor([2.0, 3.0], requires_grad=True)
    h = x * 1
    y = (h * h).sum()
    with no_grad(), pytest.raises(GradError, match="result of a recorded operation"):
        h.zero_()
    y.backward()
    assert x.grad.tolist() == [4.0, 6.0]


def test_adding_to_a_gradient_that_a_graph_saved_is_noticed():
    x = tensor([2.0], requires_grad=True)
    (x * x).sum().backward()
    w = tensor([1.0], requires_grad=True)
    y = (x.grad * w).sum()
    (x * x).sum().backward()
    with pytest.raises(GradError, match="changed in place"):
        y.backward()


@pytest.mark.parametrize("wrong", [lambda g: g[:1] * 100, lambda g: 1 / 0])
def test_a_failing_hook_leaves_all_gradients_alone(wrong):
    a, b = (tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    (a + b).sum().backward()
    b.register_hook(wrong)
    with pytest.raises((GradError, ZeroDivisionError)):
        (a * b).sum().backward()
    assert a.grad.tolist() == b.grad.tolist() == [1.0, 1.0]


def test_a_gradient_of_wrong_shape_is_never_broadcast(temporary_operations):
    @op
    def bad(xp, x):
        return x * 1, ()

    @bad.backward
    def bad_backward(xp, gy, saved, needs):
        return (gy[:1],)

    x = tensor([1.0, 2.0], requires_grad=True)
    x.sum().backward()
    with pytest.raises(GradError, match=r"a gradient of shape \(2,\)"):
        bad(x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_retain_grad_twice_counts_once_and_makes_no_cycle(without_gc):
    x = tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    h.retain_grad()
    h.retain_grad()
    h.sum().backward()
    assert h.grad.tolist() == [1.0, 1.0]
    memory = weakref.ref(h)
    del h
    assert memory() is None


def test_an_accumulator_makes_no_cycle(without_gc):
    w = tensor([1.0], requires_grad=True)
    total = tensor([0.0])
    y = w * total
    total += y
    memory = weakref.ref(total)
    del total, y
    assert memory() is None


def test_grad_mode_as_decorator_and_nested():
    @set_grad_enabled(False)
    def inside():
        return is_grad_enabled()

    assert is_grad_enabled()
    assert not inside()
    assert is_grad_enabled()
    block = no_grad()
    with block:
        with block:
            assert not is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()
    with pytest.raises(GradError, match="generator function"):

        @no_grad()
        def values():
            yield 1


@pytest.mark.parametrize("dtype", [complex, object, "S3", np.longdouble])
def test_tensors_have_few_dtypes(dtype):
    with pytest.raises(DTypeError, match="expected numbers"):
        tensor([1.0], dtype=dtype)


def test_a_foreign_byte_order_is_turned_on_request_too():
    assert tensor([1.0], dtype=">f4").array.dtype.isnative


def test_data_of_a_leaf_that_requires_grad_stays_floating_point():
    x = tensor([1.0], requires_grad=True)
    with pytest.raises(DTypeError, match="floating point data"):
        x.data = tensor([1])


def test_deep_copies_are_of_leaves():
    x = tensor([1.0], requires_grad=True)
    x.sum().backward()
    twin = copy.deepcopy(x)
    assert twin.requires_grad and twin.grad.tolist() == [1.0]
    assert twin.array is not x.array
    with pytest.raises(GradError, match="copied deeply"):
        copy.deepcopy(x * 2)


def test_as_tensor_does_not_leave_the_graph():
    x = tensor([1.0], requires_grad=True)
    assert minicnn.as_tensor(x) is x
    with pytest.raises(GradError, match="leave the graph"):
        minicnn.as_tensor(x, dtype=minicnn.float64)


def test_a_device_without_index_holds_any_of_its_type():
    assert minicnn.device("cpu").holds(np.zeros(1))
    assert not minicnn.device("meta").holds(np.zeros(1))


def test_a_view_does_not_come_apart_from_what_it_views():
    w = tensor([1.0, 2.0], requires_grad=True)
    out = minicnn.zeros(2, 2)
    with pytest.raises(GradError, match="a view of other memory"):
        out[0].add_(w)
    out[0] = w
    assert out.tolist() == [[1.0, 2.0], [0.0, 0.0]]


def test_indices_of_numpy_and_of_wrong_types():
    x = minicnn.arange(3)
    assert x[np.int64(1)].item() == 1
    assert x[np.argmax(np.array([0, 5, 1]))].item() == 1
    assert x[[]].shape == (0,)
    with pytest.raises(IndexError, match="float64"):
        x[1.5]
