"""The order of samples."""

import numpy as np
import pytest

from minicnn.core.random import new_generator, use_generator
from minicnn.data import BatchSampler, RandomSampler, Sampler, SubsetRandomSampler, WeightedRandomSampler
from minicnn.errors import OptionError


def test_random_sampler_draws_from_the_generator_in_force_or_its_own():
    with use_generator(new_generator(1)):
        first = list(RandomSampler(range(20)))
    assert first == list(RandomSampler(range(20), generator=new_generator(1)))
    assert first != list(RandomSampler(range(20), generator=new_generator(2)))
    assert sorted(first) == list(range(20))


def test_random_sampler_gives_as_many_as_asked_for():
    order = list(RandomSampler(range(3), num_samples=7))
    assert sorted(order[:3]) == sorted(order[3:6]) == [0, 1, 2]
    assert len(order) == len(RandomSampler(range(3), num_samples=7)) == 7
    assert len(set(RandomSampler(range(50), replacement=True))) < 50
    assert list(RandomSampler([])) == []


def test_random_sampler_refuses_no_samples():
    with pytest.raises(OptionError):
        RandomSampler(range(3), num_samples=0)


def test_subset_random_sampler_gives_each_index_once():
    order = list(SubsetRandomSampler([30, 10, 20], generator=new_generator(0)))
    assert sorted(order) == [10, 20, 30]
    assert len(SubsetRandomSampler([30, 10, 20])) == 3


def test_weighted_sampler_follows_the_weights():
    draws = list(WeightedRandomSampler([1, 0, 3], 4000, generator=new_generator(0)))
    counts = np.bincount(draws, minlength=3)
    assert counts[1] == 0
    assert counts[2] / counts[0] == pytest.approx(3, rel=0.15)
    assert sorted(WeightedRandomSampler([1, 0, 3], 2, replacement=False)) == [0, 2]


@pytest.mark.parametrize(
    ("weights", "count", "replacement"),
    [
        ([1, -1], 1, True),
        ([0, 0], 1, True),
        ([1, np.nan], 1, True),
        ([1, 1], 0, True),
        ([1, 0], 2, False),
        ([[1]], 1, True),
    ],
)
def test_weighted_sampler_refuses(weights, count, replacement):
    with pytest.raises(OptionError, match="WeightedRandomSampler"):
        WeightedRandomSampler(weights, count, replacement)


@pytest.mark.parametrize(
    ("total", "drop", "batches"), [(6, False, 3), (5, False, 3), (5, True, 2), (0, False, 0)]
)
def test_batch_sampler_counts_what_it_gives(total, drop, batches):
    sampler = BatchSampler(range(total), 2, drop)
    assert len(sampler) == len(list(sampler)) == batches


@pytest.mark.parametrize("size", [0, -1, 2.5, True, None])
def test_batch_sampler_refuses_a_size_that_is_none(size):
    with pytest.raises(OptionError, match="positive integer"):
        BatchSampler(range(3), size, False)


def test_sampler_without_iter_says_so():
    with pytest.raises(NotImplementedError, match="__iter__"):
        iter(Sampler())
