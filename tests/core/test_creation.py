"""New tensors: forms of size, dtypes, devices, ranges of random numbers, refusals."""

import numpy as np
import pytest

import minicnn
from minicnn import tensor
from minicnn.errors import DTypeError, OptionError, ShapeError


@pytest.mark.parametrize("name", ["zeros", "ones", "empty", "rand", "randn"])
def test_sizes_come_as_numbers_or_as_a_tuple(name):
    make = getattr(minicnn, name)
    for x in (make(2, 3), make((2, 3)), make([2, 3]), make(np.int64(2), tensor(3))):
        assert x.shape == (2, 3) and x.dtype == np.float32
    assert make(()).shape == make().shape == () and make(0).shape == make((0,)).shape == (0,)
    assert make(1, dtype=np.float64).dtype == np.float64
    assert make(1, requires_grad=True).requires_grad
    for wrong in ((-1,), (2.5,), ("2",)):
        with pytest.raises(ShapeError, match="expected sizes"):
            make(*wrong)


@pytest.mark.parametrize(
    ("value", "dtype"), [(7, np.int64), (0.5, np.float32), (True, np.bool_), (tensor(2.5), np.float32)]
)
def test_full_takes_the_type_of_its_number(value, dtype):
    x = minicnn.full((2,), value)
    assert x.dtype == dtype and x[1].item() == value
    assert minicnn.full((1,), 7, dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize("name", ["zeros_like", "ones_like", "rand_like", "randn_like"])
def test_likes_take_shape_and_dtype(name):
    x = minicnn.zeros(2, 3, dtype=np.float64)
    y = getattr(minicnn, name)(x)
    assert (y.shape, y.dtype) == ((2, 3), np.float64)
    assert getattr(minicnn, name)(x, dtype=np.float16).dtype == np.float16
    assert minicnn.full_like(x, 3).tolist() == [[3.0] * 3] * 2
    assert minicnn.zeros_like(tensor([1])).dtype == np.int64


@pytest.mark.parametrize(
    ("args", "numbers", "dtype"),
    [
        ((3,), [0, 1, 2], np.int64),
        ((1, 4), [1, 2, 3], np.int64),
        ((5, 0, -2), [5, 3, 1], np.int64),
        ((2.0,), [0.0, 1.0], np.float32),
        ((0, 1, 0.25), [0.0, 0.25, 0.5, 0.75], np.float32),
        ((0,), [], np.int64),
    ],
)
def test_arange(args, numbers, dtype):
    x = minicnn.arange(*args)
    assert x.tolist() == numbers and x.dtype == dtype


@pytest.mark.parametrize("args", [(0, 5, 0), (0, 5, -1), (5, 0, 1)])
def test_arange_has_to_lead_somewhere(args):
    with pytest.raises(OptionError, match="arange: expected a step from"):
        minicnn.arange(*args)


def test_linspace_and_eye():
    assert minicnn.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0]
    assert minicnn.linspace(0, 1, 1).tolist() == [0.0]
    assert minicnn.eye(2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


# -- sharing and copying ---------------------------------------------------------------------


def test_tensor_copies_from_numpy_shares_as_tensor_does_what_it_can():
    array = np.zeros(2)
    assert not np.shares_memory(minicnn.tensor(array).array, array)
    assert np.shares_memory(minicnn.from_numpy(array).array, array)
    assert np.shares_memory(minicnn.as_tensor(array).array, array)
    x = tensor([1.0])
    assert minicnn.as_tensor(x) is x and minicnn.as_tensor(x, np.float64) is not x
    assert not np.shares_memory(minicnn.tensor(x).array, x.array)
    with pytest.raises(DTypeError, match="from_numpy: expected a NumPy array, got list"):
        minicnn.from_numpy([1.0])


def test_tensor_makes_leaves():
    x = tensor([1.0], requires_grad=True)
    assert (x.is_leaf, x.requires_grad, tensor(x * 2).requires_grad) == (True, True, False)


@pytest.mark.parametrize("name", ["zeros", "ones", "rand"])
def test_meta_tensors_are_made_by_device(name):
    x = getattr(minicnn, name)(2, 3, device="meta")
    assert (str(x.device), x.shape) == ("meta", (2, 3))
    assert str(minicnn.zeros_like(x).device) == "meta"


# -- random ----------------------------------------------------------------------------------


def test_moments_of_random_numbers():
    u, n, g = minicnn.rand(20_000), minicnn.randn(20_000), minicnn.normal(3.0, 0.5, (20_000,))
    assert u.min().item() >= 0 and u.max().item() < 1 and u.mean().item() == pytest.approx(0.5, abs=0.01)
    assert n.mean().item() == pytest.approx(0, abs=0.03) and n.std().item() == pytest.approx(1, abs=0.02)
    assert g.mean().item() == pytest.approx(3, abs=0.02) and g.std().item() == pytest.approx(0.5, abs=0.01)


def test_random_numbers_are_drawn_in_their_precision():
    assert minicnn.rand(1, dtype=np.float16).dtype == np.float16
    with pytest.raises(DTypeError, match="floating point dtype, got int64"):
        minicnn.rand(1, dtype=np.int64)


@pytest.mark.parametrize(
    "make",
    [
        lambda: minicnn.randint(3, (1000,)),
        lambda: minicnn.randint(0, 3, (1000,)),
        lambda: minicnn.randint(high=3, size=(1000,)),
        lambda: minicnn.randint(0, 3, size=(1000,)),
        lambda: minicnn.randint(low=0, high=3, size=(1000,)),
    ],
)
def test_randint_covers_its_range(make):
    x = make()
    assert x.dtype == np.int64 and set(x.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("args", [(0, (2,)), (3, 3, (2,)), (3,)])
def test_randint_refuses_an_empty_range(args):
    with pytest.raises(OptionError, match=r"expected randint\(low=0, high, size\)"):
        minicnn.randint(*args)


def test_randperm_holds_each_number_once():
    assert sorted(minicnn.randperm(100).tolist()) == list(range(100))
    assert minicnn.randperm(100).tolist() != minicnn.randperm(100).tolist()
