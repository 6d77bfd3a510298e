"""The table of operators and methods, and what happens in place."""

import gc
import weakref

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, tensor
from minicnn.errors import DTypeError, GradError, ShapeError
from minicnn.ops.methods import METHODS, PROPERTIES


def test_the_table_is_bound():
    assert all(getattr(Tensor, name) is not None for name in METHODS)
    assert all(isinstance(vars(Tensor)[name], property) for name in PROPERTIES)
    assert all(
        method.__doc__ or name.startswith("__") or method.__name__ == "<lambda>"
        for name, method in METHODS.items()
    )


@pytest.mark.parametrize("number", [2, 0.5, np.float64(3.0), np.array([1.0, 4.0])])
def test_operators_take_numbers_and_arrays_on_both_sides(number):
    x = tensor([1.0, 2.0])
    a = x.numpy()
    for ours, numpys in (
        (x + number, a + number),
        (number + x, number + a),
        (x - number, a - number),
        (number - x, number - a),
        (x * number, a * number),
        (number * x, number * a),
        (x / number, a / number),
        (number / x, number / a),
        (x**number, a**number),
        (number**x, number**a),
    ):
        assert isinstance(ours, Tensor)
        np.testing.assert_allclose(ours.numpy(), numpys, rtol=1e-6)


def test_comparisons():
    x = tensor([1.0, 2.0, 3.0])
    assert ((x > 1) & (x <= 2.5)).tolist() == [False, True, False]
    assert ((x < 2) | (x >= 3) ^ tensor([True, False, False])).tolist() == [True, False, True]
    assert (~(x == 2)).tolist() == [True, False, True]
    assert (x < 2).tolist() == [True, False, False]
    assert (x != None) and x != "x" and x in [x]  # noqa: E711
    assert len({x, x.clone(), x}) == 2
    with pytest.raises(DTypeError, match="expected bools for"):
        x & 1


def test_a_number_can_be_formatted():
    assert f"{tensor(0.12345):.3f}" == "0.123"
    assert f"{tensor(7):>3}" == "  7" and f"{tensor([1.0])}" == "tensor([1.])"
    assert sum([tensor(1.0), tensor(2.0)]).item() == 3.0 and 2 in tensor([1, 2])


def test_signs_and_rounding():
    x = tensor([-1.5, -0.0, 0.5, 2.5], requires_grad=True)
    assert x.sign().tolist() == [-1.0, 0.0, 1.0, 1.0] and not x.sign().requires_grad
    assert (x.floor().tolist(), x.ceil().tolist()) == ([-2.0, 0.0, 0.0, 2.0], [-1.0, 0.0, 1.0, 3.0])
    assert x.round().tolist() == [-2.0, 0.0, 0.0, 2.0] and tensor([3]).round().dtype == np.int64
    assert tensor([[0, 3], [4, 0]]).nonzero().tolist() == [[0, 1], [1, 0]]


def test_only_one_element_has_a_truth():
    assert tensor([2.0]) and not tensor(False)
    with pytest.raises(ShapeError, match="one element"):
        bool(tensor([1, 2]))
    assert tensor([1.0, 2.0]).max() > 1


def test_sizes():
    x = minicnn.zeros(2, 3, dtype=np.float64)
    assert (x.size(), x.size(-1), x.dim(), x.numel(), x.nelement(), x.element_size()) == (
        (2, 3),
        3,
        2,
        6,
        6,
        8,
    )
    assert x.is_floating_point() and not x.is_cuda
    assert (len(x), [row.shape for row in x]) == (2, [(3,), (3,)])
    with pytest.raises(TypeError, match="0-dimensional"):
        iter(tensor(1.0))


def test_new_tensors_take_after_the_old():
    x = minicnn.zeros(1, dtype=np.float64)
    for y in (x.new_zeros(2, 3), x.new_ones((2, 3)), x.new_full((2, 3), 7), x.new_empty(2, 3)):
        assert (y.shape, y.dtype) == ((2, 3), np.float64)
    assert x.new_tensor([1, 2], dtype=np.int64).dtype == np.int64


def test_contiguous_copies_only_if_needed():
    x = minicnn.zeros(2, 3)
    assert x.contiguous() is x and not x.T.is_contiguous() and x.T.contiguous().is_contiguous()


# -- in place --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x: x.add_(1), [2.0, 3.0]),
        (lambda x: x.sub_(tensor([1.0, 1.0]), alpha=2), [-1.0, 0.0]),
        (lambda x: x.mul_(3), [3.0, 6.0]),
        (lambda x: x.div_(2), [0.5, 1.0]),
        (lambda x: x.clamp_(max=1.5), [1.0, 1.5]),
        (lambda x: x.zero_(), [0.0, 0.0]),
        (lambda x: x.fill_(7), [7.0, 7.0]),
        (lambda x: x.copy_(tensor([3])), [3.0, 3.0]),
        (lambda x: x.neg_(), [-1.0, -2.0]),
        (lambda x: x.addcmul_(x, x, value=2), [3.0, 10.0]),
        (lambda x: x.addcdiv_(x, tensor([1.0, 2.0])), [2.0, 3.0]),
        (lambda x: x.masked_fill_(x > 1, 0), [1.0, 0.0]),
        (lambda x: x.scatter_(0, tensor([1]), 5.0), [1.0, 5.0]),
        (lambda x: x.pow_(2), [1.0, 4.0]),
        (lambda x: x.__iadd__(1), [2.0, 3.0]),
        (lambda x: x.__isub__(1), [0.0, 1.0]),
        (lambda x: x.__imul__(2), [2.0, 4.0]),
        (lambda x: x.__itruediv__(2), [0.5, 1.0]),
        (lambda x: x.__ipow__(2), [1.0, 4.0]),
    ],
)
def test_a_leaf_changes_in_its_own_memory(change, expected):
    x = tensor([1.0, 2.0])
    memory, version = x.array, x._version
    assert change(x) is x
    assert x.array is memory and x.tolist() == expected and x._version == version + 1


def test_random_numbers_in_place():
    x = minicnn.empty(1000).uniform_(2, 3)
    assert x.min().item() >= 2 and x.max().item() < 3
    x.normal_(5, 0.1)
    assert x.mean().item() == pytest.approx(5, abs=0.02) and x.std().item() == pytest.approx(0.1, abs=0.02)


def test_a_hand_written_step_changes_the_parameter_itself():
    p = tensor([1.0, 2.0], requires_grad=True)
    memory = p.array
    (p * p).sum().backward()
    with minicnn.no_grad():
        p -= 0.5 * p.grad
    assert p.array is memory and p.tolist() == [0.0, 0.0]
    assert p.is_leaf and p.requires_grad


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.add_(1),
        lambda p: p.__isub__(1),
        lambda p: p.zero_(),
        lambda p: p.copy_(tensor([1.0, 1.0])),
        lambda p: p.__setitem__(0, 1.0),
        lambda p: p.uniform_(),
    ],
)
def test_a_leaf_that_requires_grad_is_not_changed_while_recording(change):
    p = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(
        GradError, match=r"changed in place while recording; wrap the change in `with no_grad\(\):`"
    ):
        change(p)
    assert p.tolist() == [1.0, 2.0] and p.is_leaf


def test_a_recorded_tensor_becomes_the_new_result():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    z, before = y, y.array
    y *= 3
    y.add_(1)
    y[0] = 0.0
    assert z is y and before.tolist() == [2.0, 4.0] and y.tolist() == [0.0, 13.0]
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 6.0]


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y[:, 0].mul_(0.0),
        lambda y: y.view(-1).mul_(3),
        lambda y: y.T.copy_(minicnn.zeros(2, 2)),
        lambda y: y[0].fill_(1.0),
        lambda y: y[0].__setitem__(1, 5.0),
    ],
)
def test_a_view_of_a_recorded_tensor_is_not_changed_alone(change):
    y = minicnn.ones(2, 2, requires_grad=True) * 1
    with pytest.raises(GradError, match="a view of other memory|of a recorded operation"):
        change(y)
    assert y.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_operators_in_place_reach_a_part_of_a_recorded_tensor():
    w = minicnn.ones(2, requires_grad=True)
    y = w * 1
    y[0] += 1
    part = y[1:]
    part *= 3  # the name gets a tensor of its own
    part.add_(1)
    assert y.tolist() == [2.0, 1.0] and part.tolist() == [4.0]
    (y.sum() + part.sum()).backward()
    assert w.grad.tolist() == [1.0, 4.0]


def test_what_is_copied_in_place_keeps_its_own_memory():
    w, y = minicnn.ones(2, requires_grad=True), minicnn.zeros(2)
    y.copy_(w)
    with minicnn.no_grad():
        w.add_(1)
    assert y.tolist() == [1.0, 1.0] and y.mul_(2).tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    "function", [lambda x: x.flip(0), lambda x: x.flip(()), lambda x: x.repeat(2), lambda x: x.repeat(1)]
)
def test_flipped_and_repeated_numbers_are_copies(function):
    x = tensor([1.0, 2.0])
    y = function(x)
    y.mul_(0)
    assert x.tolist() == [1.0, 2.0] and not y.any()
    assert minicnn.zeros(1).repeat(3).add_(1).tolist() == [1.0, 1.0, 1.0]


def test_a_view_is_never_a_copy():
    x = minicnn.zeros(2, 3)
    assert np.shares_memory(x.view(3, 2).array, x.array) and minicnn.zeros(0, 3).T.view(-1).shape == (0,)
    assert x.to("meta").T.view(6).shape == (6,)
    for call in (lambda: x.T.view(6), lambda: x.T.view_as(minicnn.zeros(6))):
        with pytest.raises(ShapeError, match=r"view: .*use reshape\(\)"):
            call()


def test_type_names_and_converts():
    x = minicnn.zeros(1)
    assert x.type() == "torch.FloatTensor" and x.long().type() == "torch.LongTensor"
    assert x.type(np.float64).dtype == x.type("torch.DoubleTensor").dtype == np.float64


def test_a_sum_of_losses_keeps_their_gradients():
    x = tensor([1.0, 2.0], requires_grad=True)
    total = tensor(0.0)
    for _ in range(3):
        total += (x * x).sum()
    total.backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_what_is_saved_is_not_changed_by_a_later_change_in_place():
    x = tensor([2.0], requires_grad=True)
    y = x * 1
    z = y * y
    y += 1
    (z + y).backward()
    assert x.grad.item() == 5.0


def test_a_sum_in_place_leaves_no_cycle():
    gc.disable()
    try:
        x = minicnn.ones(2, requires_grad=True)
        total = tensor(0.0)
        total += x.exp().sum()
        saved = weakref.ref(total.node.edges[1].edges[0].saved[0])
        assert saved() is not None
        del total
        assert saved() is None
    finally:
        gc.enable()


def test_in_place_keeps_shape_and_dtype():
    with pytest.raises(ShapeError, match=r"add_: expected a result of shape \(3,\) in place, got \(2, 3\)"):
        minicnn.zeros(3).add_(minicnn.zeros(2, 3))
    with pytest.raises(DTypeError, match="add_: expected a result that fits int64 in place, got float32"):
        tensor([1]).add_(0.5)
    x = tensor([1.0], requires_grad=True)
    y = x * 1
    y += tensor([1.0], dtype=np.float64)
    assert y.dtype == np.float32
    half = minicnn.zeros(1, dtype=np.float16)
    half += tensor([1.5])
    assert (half.dtype, half.item()) == (np.float16, 1.5)


def test_read_only_memory_is_refused():
    array = np.zeros(2)
    array.flags.writeable = False
    with pytest.raises(GradError, match=r"read-only; use \.clone\(\)"):
        minicnn.from_numpy(array).add_(1)


# -- setting parts ---------------------------------------------------------------------------


def test_setting_parts_of_a_leaf():
    x = minicnn.zeros(3, 4)
    memory = x.array
    x[0] = 1
    x[1, ::2] = tensor([5.0, 6.0])
    x[x == 0] = -1.0
    x[tensor([2]), 0] = np.float32(9)
    x[0, 1:3] += 1
    assert x.array is memory
    assert x.tolist() == [[1.0, 2.0, 2.0, 1.0], [5.0, -1.0, 6.0, -1.0], [9.0, -1.0, -1.0, -1.0]]


def test_setting_a_part_to_a_recorded_value_records():
    x = minicnn.zeros(3)
    w = tensor([2.0, 3.0], requires_grad=True)
    x[1:] = w * w
    (x * tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.tolist() == [0.0, 4.0, 9.0] and w.grad.tolist() == [40.0, 600.0]


def test_setting_what_does_not_fit():
    with pytest.raises(ShapeError, match="setitem: .*broadcast"):
        minicnn.zeros(3)[:2] = tensor([1.0, 2.0, 3.0])
    with pytest.raises(IndexError):
        minicnn.zeros(3)[5] = 1.0


def test_detach_():
    x = tensor([1.0], requires_grad=True)
    y = (x * 2).detach_()
    assert y.is_leaf and not y.requires_grad
