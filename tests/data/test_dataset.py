"""Data sets and how they are cut up."""

from typing import Generic, TypeVar

import numpy as np
import pytest

from minicnn.core.random import new_generator
from minicnn.core.tensor import Tensor
from minicnn.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    random_split,
    stratified_split,
)
from minicnn.data.vision import ImageArrays
from minicnn.errors import OptionError, ShapeError
from minicnn.transforms import ToTensor


def test_tensor_dataset_gives_a_tuple_of_rows():
    pairs = TensorDataset(Tensor(np.arange(6).reshape(3, 2)), np.array([7, 8, 9]))
    x, y = pairs[1]
    assert x.tolist() == [2, 3]
    assert y.item() == 8
    assert len(pairs) == 3


def test_tensor_dataset_refuses_different_lengths():
    with pytest.raises(ShapeError, match=r"same number of rows, got \[3, 2\]"):
        TensorDataset(np.zeros(3), np.zeros(2))


def test_dataset_without_methods_says_which_one_is_missing():
    class Nothing(Dataset[int]):
        pass

    with pytest.raises(NotImplementedError, match="Nothing has to define __getitem__"):
        Nothing()[0]
    with pytest.raises(TypeError, match="Nothing does not define __len__"):
        len(Nothing())


def test_concatenation_finds_every_sample_and_refuses_others():
    both = ConcatDataset([[1, 2], [], [3]])
    assert [both[i] for i in range(3)] == [1, 2, 3]
    assert [both[i] for i in range(-3, 0)] == [1, 2, 3]
    for index in (3, -4):
        with pytest.raises(IndexError):
            both[index]


def test_concatenation_of_nothing_is_refused():
    with pytest.raises(OptionError):
        ConcatDataset([])


def test_subset_of_a_subset():
    assert list(Subset(Subset("abcde", [4, 2, 0]), [2, 0])) == ["a", "e"]


def test_random_split_is_a_partition_that_the_generator_decides():
    parts = random_split(range(10), [7, 3], new_generator(1))
    again = random_split(range(10), [7, 3], new_generator(1))
    assert [len(p) for p in parts] == [7, 3]
    assert sorted([*parts[0], *parts[1]]) == list(range(10))
    assert [list(p) for p in parts] == [list(p) for p in again]
    assert list(parts[0]) != sorted(parts[0])


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [([0.5, 0.5], [6, 5]), ([0.1, 0.2, 0.7], [2, 2, 7]), ([1.0], [11]), ([11], [11]), ([0.0, 1.0], [0, 11])],
)
def test_random_split_rounds_fractions_as_pytorch_does(lengths, sizes):
    assert [len(part) for part in random_split(range(11), lengths)] == sizes


@pytest.mark.parametrize("lengths", [[5, 5], [12, -1], [0.5, 0.4], [], [5.5, 5.5]])
def test_random_split_refuses_lengths_that_do_not_add_up(lengths):
    with pytest.raises(OptionError, match="add up to 11"):
        random_split(range(11), lengths)


def test_stratified_split_of_sorted_data_has_every_class_on_both_sides():
    labels = np.repeat(np.arange(5), [50, 30, 20, 10, 2])
    kept, held_out = stratified_split(labels, 0.1, seed=3)
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    assert np.bincount(labels[held_out]).tolist() == [5, 3, 2, 1, 1]
    assert set(labels[kept]) == set(range(5))


def test_stratified_split_is_shuffled_and_a_function_of_the_seed():
    labels = np.repeat([0, 1], 50)
    kept, held_out = stratified_split(labels, 0.2, seed=1)
    again, other = stratified_split(labels, 0.2, seed=1), stratified_split(labels, 0.2, seed=2)
    assert (labels[kept][:40] == 1).any()
    assert (labels[held_out][:10] == 1).any()
    assert np.array_equal(kept, again[0])
    assert not np.array_equal(held_out, other[1])


def test_stratified_split_keeps_a_single_sample():
    kept, held_out = stratified_split([4, 7, 7], 0.9)
    assert 0 in kept
    assert len(held_out) == 1


def test_stratified_split_of_nothing_is_empty():
    assert [part.tolist() for part in stratified_split([], 0.5)] == [[], []]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_stratified_split_refuses_a_fraction_that_is_none(fraction):
    with pytest.raises(OptionError, match="between 0 and 1"):
        stratified_split([0, 1], fraction)


K, V = TypeVar("K"), TypeVar("V")


class WithIndex(ImageArrays):
    """A data set as many scripts extend it."""

    def __getitem__(self, index):
        return *super().__getitem__(index), index


class Index:
    """The same to be mixed in."""

    def __getitem__(self, index):
        return *super().__getitem__(index), index


class MixedIn(Index, ImageArrays):
    pass


@pytest.mark.parametrize("kind", [WithIndex, MixedIn])
def test_a_subclass_that_changes_single_samples_changes_those_of_batches(kind):
    images = kind(np.zeros((4, 2, 2), np.uint8), np.zeros(4, int), ["a"], ToTensor())
    for dataset, expected in ((images, [2, 0]), (Subset(images, [3, 2, 1]), [1, 3])):
        [(pictures, labels, indices)] = DataLoader(dataset, 2, sampler=[2, 0])
        assert (pictures.shape, labels.tolist(), indices.tolist()) == ((2, 1, 2, 2), [0, 0], expected)


def test_data_sets_may_be_generic_and_have_bases_that_note_their_subclasses():
    known = []

    class Noting:
        def __init_subclass__(cls, **options):
            super().__init_subclass__()
            known.append((cls.__name__, options))

    class Pair(Dataset[tuple[K, V]], Noting, Generic[K, V], tag=1):
        pass

    assert Pair[int, str] and known == [("Pair", {"tag": 1})]
