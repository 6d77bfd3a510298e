"""Devices: names, moving, meta arrays."""

import numpy as np
import pytest

import minicnn
from minicnn import tensor
from minicnn.core.device import MetaArray, device, device_of, move
from minicnn.errors import BackendError, OptionError


@pytest.mark.parametrize(
    ("name", "kind", "index"),
    [("cpu", "cpu", None), ("cuda", "cuda", None), ("cuda:1", "cuda", 1), ("meta", "meta", None)],
)
def test_names(name, kind, index):
    d = minicnn.device(name)
    assert (d.type, d.index, str(d), repr(d)) == (kind, index, name, f"device({name!r})")
    assert d == name and d == device(d) and hash(d) == hash(device(name))
    assert device("cuda", 1) == "cuda:1"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu:-1"])
def test_unknown_names_are_refused(name):
    with pytest.raises(OptionError, match="expected a device out of cpu"):
        device(name)


def test_an_array_that_is_there_already_is_not_copied():
    array = np.zeros(2)
    assert move(array, "cpu") is array and device_of(array) == "cpu"


def test_meta_arrays_have_shape_and_dtype_only():
    x = move(np.zeros((2, 3), np.float32), "meta")
    assert (x.shape, x.ndim, x.size, x.nbytes, len(x), str(x.dtype)) == ((2, 3), 2, 6, 24, 2, "float32")
    assert move(x, "meta") is x and device_of(x) == "meta"
    with pytest.raises(BackendError, match="no numbers"):
        move(x, "cpu")
    assert MetaArray((), np.int64).size == 1


def test_moving_is_part_of_the_graph():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = minicnn.ops.to_device(x, device="cpu")
    assert y.node.op.name == "to_device" and y.tolist() == [1.0, 2.0]
    (y * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert x.to("cpu") is x and x.cpu() is x


def test_a_device_that_is_missing_says_why():
    if minicnn.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(BackendError, match="cupy"):
        tensor([1.0]).to("cuda")
