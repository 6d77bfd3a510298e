"""The tensor itself: what it is made of, how it comes out, what it refuses."""

import copy

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, tensor
from minicnn.errors import BackendError, DTypeError, GradError, ShapeError


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        (3, np.int64),
        (True, np.bool_),
        ([1.0, 2.0], np.float32),
        ([1, 2.0], np.float32),
        ([[1], [2]], np.int64),
        ([True, False], np.bool_),
        (np.zeros(2), np.float64),
        (np.zeros(2, np.float16), np.float16),
        (np.float64(2.0), np.float64),
        (np.zeros(2, np.uint8), np.uint8),
        ([], np.float32),
    ],
)
def test_element_types_are_inferred_as_in_pytorch(data, dtype):
    assert Tensor(data).dtype == dtype


@pytest.mark.parametrize(
    "data", ["text", [1j], None, np.array(["a"]), np.array([None]), np.zeros(1, "M8[s]")]
)
def test_only_numbers_make_tensors(data):
    with pytest.raises(DTypeError, match="tensor: expected numbers"):
        Tensor(data)


def test_tensors_inside_a_list_are_joined():
    assert Tensor([tensor(1.0), tensor(2.0)]).tolist() == [1.0, 2.0]


def test_arrays_are_shared_where_they_can_be():
    array = np.zeros(3)
    assert np.shares_memory(Tensor(array).array, array)
    assert not np.shares_memory(Tensor(array, dtype=np.float32).array, array)
    assert not np.shares_memory(tensor(array).array, array)


def test_foreign_byte_order_is_converted():
    x = Tensor(np.array([1.0, 2.0], ">f4"))
    assert x.dtype.isnative and x.tolist() == [1.0, 2.0]
    assert Tensor(np.array([1, 2], ">i8")).dtype == np.int64


def test_odd_memory_is_taken_as_it_is():
    base = np.arange(12.0).reshape(3, 4)
    read_only = base.copy()
    read_only.flags.writeable = False
    for array in (base.T, base[::-1, ::2], np.broadcast_to(base[0], (3, 4)), read_only, base[:0]):
        x = Tensor(array).requires_grad_()
        before = array.copy()
        y = (x * 2).sum()
        y.backward()
        assert y.item() == array.sum() * 2
        assert x.grad.shape == array.shape and (x.grad.numpy() == 2).all()
        np.testing.assert_array_equal(array, before)


def test_a_memory_mapped_file_becomes_a_plain_array(tmp_path):
    path = tmp_path / "numbers"
    np.arange(6, dtype=np.float32).tofile(path)
    x = Tensor(np.memmap(path, np.float32, "r"))
    assert type(x.array) is np.ndarray and x.sum().item() == 15.0


# -- what it is ------------------------------------------------------------------------------


def test_shape_and_length():
    x = Tensor(np.zeros((2, 3)))
    assert (x.shape, x.ndim, len(x), str(x.device)) == ((2, 3), 2, 2, "cpu")
    with pytest.raises(TypeError, match="0-dimensional"):
        len(tensor(1.0))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (lambda: tensor([1, 2]), "tensor([1, 2])"),
        (lambda: tensor(True), "tensor(True)"),
        (lambda: tensor([1.0], dtype=np.float64), "tensor([1.], dtype=float64)"),
        (lambda: tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
        (lambda: tensor(1.0, requires_grad=True) * 2, "tensor(2., grad_fn=<mul>)"),
        (lambda: minicnn.zeros(2, device="meta"), "tensor(meta, shape=(2,), dtype=float32)"),
    ],
)
def test_repr(make, text):
    assert repr(make()) == text


def test_identity_is_the_hash():
    x, y = tensor([1.0]), tensor([1.0])
    assert len({x, y}) == 2 and {x: "x"}[x] == "x"


# -- out of it -------------------------------------------------------------------------------


def test_one_element_becomes_a_number():
    assert (tensor([[2.5]]).item(), float(tensor(2.5)), int(tensor(2.5)), bool(tensor(0))) == (
        2.5,
        2.5,
        2,
        False,
    )
    assert [10, 20, 30][tensor(1)] == 20 and list(range(tensor(2))) == [0, 1]
    assert type(tensor(3).item()) is int and type(tensor(3.0).item()) is float
    with pytest.raises(ShapeError, match=r"item: expected a tensor with one element, got shape \(2,\)"):
        tensor([1.0, 2.0]).item()
    with pytest.raises(TypeError, match="only an integer tensor"):
        [1, 2][tensor(1.0)]


def test_numpy_shares_memory_outside_graphs():
    x = tensor([1.0, 2.0])
    x.numpy()[0] = 7.0
    assert x.tolist() == [7.0, 2.0]
    x.requires_grad_()
    for recorded in (x, x * 2):
        with pytest.raises(
            GradError, match=r"numpy\(\) on a tensor that requires grad; use tensor\.detach\(\)"
        ):
            recorded.numpy()
    assert np.shares_memory(x.detach().numpy(), x.array)


def test_a_meta_tensor_has_no_numbers():
    x = minicnn.zeros(2, device="meta")
    for ask in (x.numpy, x.tolist, x[0].item):
        with pytest.raises(BackendError):
            ask()


def test_numpy_functions_take_tensors():
    x = tensor([1.0, 2.0])
    assert np.asarray(x) is x.array
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(x), x.array)
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float64, copy=False)
    assert np.allclose(x, [1.0, 2.0]) and np.concatenate([x, x]).shape == (4,)


def test_dlpack_shares_memory():
    x = tensor([1.0, 2.0])
    array = np.from_dlpack(x)
    assert np.shares_memory(array, x.array) and array.tolist() == [1.0, 2.0]


# -- leaves ----------------------------------------------------------------------------------


def test_only_floats_require_grad():
    with pytest.raises(DTypeError, match="floating point tensor for requires_grad, got int64"):
        tensor([1, 2], requires_grad=True)
    with pytest.raises(DTypeError):
        tensor([True]).requires_grad_()


def test_leaves_results_and_detaching():
    x = tensor([1.0], requires_grad=True)
    y = x * 2
    assert x.is_leaf and not y.is_leaf and y.grad_fn.op.name == "mul"
    with pytest.raises(GradError, match=r"only be set on a leaf; use detach\(\)"):
        y.requires_grad_(False)
    z = y.detach()
    assert z.is_leaf and not z.requires_grad and np.shares_memory(z.array, y.array)
    assert not x.requires_grad_(False).requires_grad


def test_data_gives_and_replaces_the_numbers():
    x = tensor([1.0], requires_grad=True)
    x.data = tensor([5.0])
    x.data -= 1
    assert x.item() == 4.0 and x.requires_grad and not x.data.requires_grad


def test_a_deep_copy_of_a_leaf_has_its_own_memory():
    x = tensor([1.0, 2.0], requires_grad=True)
    (x * 2).sum().backward()
    y = copy.deepcopy(x)
    assert y.requires_grad and y.grad.tolist() == [2.0, 2.0]
    assert not np.shares_memory(y.array, x.array)


def test_write_takes_tensors_arrays_and_numbers():
    x = tensor([1.0, 2.0, 3.0])
    x.write_(tensor([4.0, 5.0, 6.0]))
    x.write_(np.array([7.0]), slice(0, 1))
    x.write_(0, -1)
    assert x.tolist() == [7.0, 5.0, 0.0]
