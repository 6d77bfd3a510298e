"""Rearranging, joining, splitting and converting: agreement with NumPy, views, messages, gradients."""

import numpy as np
import pytest

import minicnn
from minicnn import tensor
from minicnn.errors import OptionError, ShapeError

# Name, function of a tensor or an array (NumPy's form second), input shape.
SAME = {
    "reshape": (lambda x: x.reshape(3, -1), lambda a: a.reshape(3, -1), (2, 6)),
    "reshape_tuple": (lambda x: x.view((4, 3)), lambda a: a.reshape(4, 3), (2, 6)),
    "view_as": (lambda x: x.view_as(minicnn.zeros(12)), lambda a: a.reshape(12), (2, 6)),
    "flatten": (lambda x: x.flatten(1), lambda a: a.reshape(2, 12), (2, 3, 4)),
    "flatten_middle": (lambda x: minicnn.flatten(x, 0, -2), lambda a: a.reshape(6, 4), (2, 3, 4)),
    "flatten_0d": (lambda x: x.flatten(), lambda a: a.reshape(1), ()),
    "squeeze": (lambda x: x.squeeze(), lambda a: a.squeeze(), (1, 3, 1)),
    "squeeze_dim": (lambda x: x.squeeze(-1), lambda a: a.squeeze(-1), (1, 3, 1)),
    "squeeze_other": (lambda x: x.squeeze(1), lambda a: a, (1, 3, 1)),
    "unsqueeze": (lambda x: x.unsqueeze(-1), lambda a: a[..., None], (2, 3)),
    "permute": (lambda x: x.permute(2, 0, -2), lambda a: a.transpose(2, 0, 1), (2, 3, 4)),
    "transpose": (lambda x: x.transpose(0, -1), lambda a: a.swapaxes(0, 2), (2, 3, 4)),
    "T": (lambda x: x.T, lambda a: a.T, (2, 3)),
    "mT": (lambda x: x.mT, lambda a: a.swapaxes(1, 2), (2, 3, 4)),
    "t": (lambda x: x.t(), lambda a: a.T, (2, 3)),
    "expand": (lambda x: x.expand(4, -1, 3), lambda a: np.broadcast_to(a, (4, 2, 3)), (2, 1)),
    "expand_as": (lambda x: x.expand_as(minicnn.zeros(2, 3)), lambda a: np.broadcast_to(a, (2, 3)), (3,)),
    "repeat": (lambda x: x.repeat(2, 1, 3), lambda a: np.tile(a, (2, 1, 3)), (2, 3)),
    "tile": (lambda x: minicnn.tile(x, (2,)), lambda a: np.tile(a, (2,)), (2, 3)),
    "flip": (lambda x: x.flip((0, -1)), lambda a: a[::-1, :, ::-1], (2, 3, 2)),
    "cat": (lambda x: minicnn.cat([x, x], -1), lambda a: np.concatenate([a, a], -1), (2, 3)),
    "stack": (lambda x: minicnn.stack([x, x], 1), lambda a: np.stack([a, a], 1), (2, 3)),
    "stack_last": (lambda x: minicnn.stack((x, x), -1), lambda a: np.stack([a, a], -1), (2, 3)),
    "split": (lambda x: x.split(2, 1)[1], lambda a: a[:, 2:4], (2, 5)),
    "split_sizes": (lambda x: x.split([1, 4], dim=1)[1], lambda a: a[:, 1:], (2, 5)),
    "chunk": (lambda x: x.chunk(2)[1], lambda a: a[3:], (5,)),
    "unbind": (lambda x: x.unbind(-1)[1], lambda a: a[:, 1], (2, 3)),
    "rows": (lambda x: list(x)[1], lambda a: a[1], (2, 3)),
    "slice": (lambda x: x[1:, ::2], lambda a: a[1:, ::2], (3, 4)),
    "reversed": (lambda x: x[::-1, -1], lambda a: a[::-1, -1], (3, 4)),
    "ellipsis": (lambda x: x[..., None, 0], lambda a: a[..., None, 0], (3, 4)),
    "list": (lambda x: x[[0, 2, 2]], lambda a: a[[0, 2, 2]], (3, 4)),
    "empty_list": (lambda x: x[[]], lambda a: a[[]], (3, 4)),
    "tensor": (lambda x: x[tensor([2, 0]), tensor([1, 1])], lambda a: a[[2, 0], [1, 1]], (3, 4)),
    "tensor_0d": (lambda x: x[tensor(1)], lambda a: a[1], (3, 4)),
    "mask": (lambda x: x[tensor([True, False, True])], lambda a: a[[0, 2]], (3, 4)),
    "full_mask": (lambda x: x[tensor(np.eye(3) > 0)], lambda a: a[np.eye(3) > 0], (3, 3)),
    "index_select": (lambda x: x.index_select(1, tensor([3, 0])), lambda a: a[:, [3, 0]], (3, 4)),
    "gather": (
        lambda x: x.gather(1, tensor([[0, 3], [1, 1]])),
        lambda a: np.take_along_axis(a[:2], np.array([[0, 3], [1, 1]]), 1),
        (3, 4),
    ),
    "masked_fill": (
        lambda x: x.masked_fill(tensor([True, False]), 7.0),
        lambda a: np.where([1, 0], 7.0, a),
        (3, 2),
    ),
    "masked_select": (
        lambda x: x.masked_select(tensor([True, False])[None].expand(3, 2)),
        lambda a: a[:, 0],
        (3, 2),
    ),
    "sort": (lambda x: x.sort(0).values, lambda a: np.sort(a, 0), (4, 3)),
    "topk": (lambda x: x.topk(2).values, lambda a: -np.sort(-a)[:, :2], (3, 4)),
    "clone": (lambda x: x.clone(), lambda a: a, (2, 3)),
    "scatter": (
        lambda x: minicnn.zeros(2, 4, dtype=np.float64).scatter(1, tensor([[3, 0, 1]] * 2), x),
        lambda a: np.stack([a[:, 1], a[:, 2], 0 * a[:, 0], a[:, 0]], 1),
        (2, 3),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_rearranging_is_numpys_and_differentiable(name, rng):
    ours, numpys, shape = SAME[name]
    a = np.asarray(rng.standard_normal(shape))
    np.testing.assert_array_equal(ours(tensor(a)).numpy(), numpys(a))
    assert minicnn.gradcheck(ours, tensor(a)).ok


@pytest.mark.parametrize("index", [0, slice(1, 3), (slice(None), 1), None, ..., (slice(None), None, -1)])
def test_basic_indexing_gives_views(index):
    x = minicnn.zeros(3, 4)
    assert np.shares_memory(x[index].array, x.array)


def test_repeated_indices_add_their_gradients():
    x = minicnn.zeros(3, requires_grad=True)
    x[tensor([0, 0, 2, 0])].backward(tensor([1.0, 2.0, 5.0, 4.0]))
    assert x.grad.tolist() == [7.0, 0.0, 5.0]


@pytest.mark.parametrize("index", [3, (0, 4), tensor([5])])
def test_an_index_out_of_range_is_an_index_error(index):
    with pytest.raises(IndexError, match="out of bounds"):
        minicnn.zeros(3, 4)[index]


def test_a_mask_that_does_not_fit_is_refused():
    with pytest.raises(IndexError, match="boolean index"):
        minicnn.zeros(3)[tensor([True, False])]


def test_sort_keeps_the_order_of_equal_elements_in_both_directions():
    x = tensor([1, 3, 1, 3, 2])
    assert x.argsort().tolist() == [0, 2, 4, 1, 3]
    assert x.sort(descending=True).indices.tolist() == [1, 3, 4, 0, 2]
    assert x.topk(3).indices.tolist() == [1, 3, 4]
    assert x.topk(2, largest=False).indices.tolist() == [0, 2]


@pytest.mark.parametrize("sizes", [7, [3, 4], [7, 0]])
def test_split_covers_everything_once(sizes):
    parts = minicnn.arange(7).split(sizes)
    assert minicnn.cat(parts).tolist() == list(range(7))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: minicnn.zeros(2, 3).view(4, -1),
            ShapeError,
            r"reshape: expected a shape for the 6 elements",
        ),
        (
            lambda: minicnn.zeros(2, 3).permute(0),
            ShapeError,
            "permute: expected each of the dimensions 0 to 1",
        ),
        (lambda: minicnn.zeros(2, 3).expand(2), ShapeError, r"broadcast_to: .*\(2, 3\) broadcasts to"),
        (lambda: minicnn.zeros(2, 3).expand(-1, 4), ShapeError, "broadcast_to"),
        (lambda: minicnn.zeros(2, 3, 4).t(), ShapeError, r"t: expected at most 2 dimensions.*transpose\(\)"),
        (lambda: minicnn.zeros(2, 3).flatten(1, 0), ShapeError, "flatten: expected start_dim <= end_dim"),
        (lambda: minicnn.zeros(2).unsqueeze(3), ShapeError, "a dimension from -2 to 1, got 3"),
        (lambda: minicnn.cat([]), ShapeError, "cat: expected at least one tensor"),
        (
            lambda: minicnn.stack([minicnn.zeros(2), minicnn.zeros(3)]),
            ShapeError,
            "stack: expected one shape",
        ),
        (
            lambda: minicnn.zeros(5).split([2, 2]),
            ShapeError,
            r"split: expected sizes that add up to 5, got \[2, 2\]",
        ),
        (lambda: minicnn.zeros(5).split(0), OptionError, "split: expected a size >= 1"),
        (lambda: minicnn.zeros(5).chunk(0), OptionError, "chunk: expected chunks >= 1"),
        (lambda: minicnn.zeros(5).topk(6), OptionError, "topk: expected k from 0 to 5, got 6"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_cat_meets_in_a_common_dtype_and_gives_each_its_own_gradient():
    x = minicnn.ones(2, requires_grad=True)
    w = minicnn.ones(1, dtype=np.float64, requires_grad=True)
    y = minicnn.cat([x, tensor([1, 2]), w])
    y.backward(minicnn.arange(5.0))
    assert (y.dtype, x.grad.dtype, w.grad.dtype) == (np.float64, np.float32, np.float64)
    assert (x.grad.tolist(), w.grad.tolist()) == ([0.0, 1.0], [4.0])


# -- converting ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "dtype"),
    [
        ("float", "float32"),
        ("double", "float64"),
        ("half", "float16"),
        ("int", "int32"),
        ("long", "int64"),
        ("bool", "bool"),
    ],
)
def test_conversion_methods(method, dtype):
    assert getattr(tensor([0.0, 1.5]), method)().dtype == dtype


def test_to_takes_dtype_device_or_tensor():
    x = tensor([1.5, 2.5])
    other = minicnn.zeros(1, dtype=np.float64)
    for y in (
        x.to(np.float64),
        x.to("cpu", np.float64),
        x.to(other),
        x.to(dtype=other.dtype),
        x.type_as(other),
    ):
        assert y.dtype == np.float64
    assert x.to("cpu") is x and x.to(np.float32) is x
    assert x.to("cpu", non_blocking=True, copy=True) is not x


def test_cast_is_differentiable_between_floats_only():
    x = tensor([1.5], requires_grad=True)
    h, seen = x * 1, []
    h.register_hook(lambda g: seen.append(g.dtype))
    (h.double() * 2).sum().backward()
    assert seen == [np.float32]
    assert (x.grad.dtype, x.grad.item()) == (np.float32, 2.0)
    assert x.double().requires_grad and not x.long().requires_grad


def test_meta_tensors_have_shapes_and_no_numbers():
    x = minicnn.zeros(2, 3).to("meta")
    assert (x @ minicnn.zeros(3, 4).to("meta")).sum(0).shape == (4,)
    assert x[:, None, tensor([0, 0])].shape == (2, 1, 2)
    with pytest.raises(
        minicnn.BackendError, match="to_device: a meta tensor has a shape and a dtype but no numbers"
    ):
        x.cpu()
