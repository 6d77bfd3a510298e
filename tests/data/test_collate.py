"""From samples to a batch."""

from collections import namedtuple

import numpy as np
import pytest
from numpy._core.multiarray import get_handler_name

from minicnn import backends
from minicnn.core.tensor import Tensor
from minicnn.data import DataLoader, Dataset, default_collate, default_convert
from minicnn.data.collate import Columns
from minicnn.errors import DTypeError, ShapeError


def test_images_and_labels_become_float32_and_int64_tensors():
    images, labels = default_collate([(Tensor(np.full((3, 2, 2), i, np.float32)), i) for i in range(4)])
    assert images.shape == (4, 3, 2, 2)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert images.array[:, 0, 0, 0].tolist() == labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("samples", "dtype"),
    [
        ([1.5, 2.5], np.float64),
        ([True, False], np.bool_),
        ([np.float32(1), np.float32(2)], np.float32),
        ([np.zeros(2, np.uint8)] * 2, np.uint8),
        ([np.zeros(2, ">f4")] * 2, np.float32),
    ],
)
def test_element_types_are_those_of_pytorch(samples, dtype):
    assert default_collate(samples).dtype == dtype


def test_structure_is_kept():
    point = namedtuple("point", "x y")
    batch = default_collate([{"p": point(1, "a"), "q": [np.zeros(2), 3]}] * 2)
    assert batch["p"].x.tolist() == [1, 1]
    assert batch["p"].y == ["a", "a"]
    assert batch["q"][0].shape == (2, 2)


def test_a_batch_is_a_copy():
    sample = Tensor(np.zeros(3))
    default_collate([sample, sample]).array[0] = 1
    assert sample.tolist() == [0, 0, 0]


def test_different_shapes_are_named_with_a_way_out():
    with pytest.raises(ShapeError, match=r"\(1, 2\) and \(1, 3\).*Resize or CenterCrop"):
        default_collate([np.zeros((1, 3)), np.zeros((1, 2))])
    with pytest.raises(ShapeError, match="same number of parts"):
        default_collate([(1, 2), (1,)])


def test_pictures_ask_for_to_tensor():
    image = pytest.importorskip("PIL.Image").new("L", (2, 2))
    with pytest.raises(DTypeError, match=r"got Image; add ToTensor\(\)"):
        default_collate([image])


def test_arrays_of_text_are_refused():
    with pytest.raises(DTypeError):
        default_collate([np.array(["a"])])


def test_convert_turns_arrays_into_tensors_and_leaves_the_rest():
    point = namedtuple("point", "x y")
    converted = default_convert(
        {"a": np.zeros(2), "b": ["text", np.float32(1)], "c": point(np.ones(1), None)}
    )
    assert isinstance(converted["a"], Tensor)
    assert converted["b"][0] == "text"
    assert isinstance(converted["b"][1], Tensor)
    assert isinstance(converted["c"].x, Tensor)
    assert converted["c"].y is None


@pytest.mark.parametrize("columns", [(), (np.zeros((3, 2)), [1, 2]), (Tensor([1.0]), np.arange(2))])
def test_columns_are_of_one_length(columns):
    with pytest.raises(ShapeError, match="Columns: expected columns of one length"):
        Columns(*columns)


def test_columns_may_be_arrays_of_images():
    images, labels = np.arange(12.0).reshape(3, 2, 2), np.arange(3)
    both = Columns(images, labels)
    assert both[1][0].tolist() == [[4, 5], [6, 7]] and type(both[1][1]) is int
    batches = list(
        DataLoader(Tensors(images, labels), 3, collate_fn=lambda batch: [i.sum() for i, _ in batch])
    )
    assert batches == [[6.0, 22.0, 38.0]]


class Tensors(Dataset):
    """A data set that gives its batches as columns."""

    def __init__(self, *columns):
        self.columns = columns

    def __len__(self):
        return len(self.columns[0])

    def __getitems__(self, indices):
        return Columns(*(column[list(indices)] for column in self.columns))


def test_a_data_set_may_give_columns():
    class Squares(Dataset):
        def __len__(self):
            return 6

        def __getitems__(self, indices):
            numbers = np.array(indices)
            return Columns(numbers**2, [f"no. {n}" for n in indices])

    [squares, names] = list(DataLoader(Squares(), 4))[1]
    assert (squares.tolist(), names) == ([16, 25], ["no. 4", "no. 5"])


@pytest.mark.skipif(backends.unavailable("native") is not None, reason="the numpy backend has no pool")
def test_batches_of_float32_have_memory_that_was_used_before(rng):
    images = rng.standard_normal((4, 3, 5, 5), dtype=np.float32)
    with backends.use_backend("native"):
        batches = [default_collate(list(images.astype(dtype))).array for dtype in (np.float32, np.float64)]
        mixed = default_collate([images[0], images[1].astype(np.float64)]).array
    assert [get_handler_name(batch) for batch in (*batches, mixed)] == ["minicnn", *["default_allocator"] * 2]
    assert np.array_equal(batches[0], images) and batches[0].flags.c_contiguous
    assert mixed.dtype == np.float64
    with backends.use_backend("numpy"):
        assert np.array_equal(default_collate(list(images)).array, images)


def test_samples_of_too_many_dimensions_are_refused():
    with pytest.raises(ValueError, match="64"):
        default_collate([np.zeros((1,) * 64, np.float32)] * 2)
