"""The loader: its order, its threads, and that neither of them shows in the numbers."""

import gc
import hashlib
import threading
import time

import numpy as np
import pytest

from minicnn import transforms
from minicnn.core.random import generator, manual_seed, new_generator
from minicnn.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)
from minicnn.data.vision import ImageArrays
from minicnn.errors import OptionError


class Noisy(Dataset):
    """Sample i is i plus noise that depends on the generator in force."""

    def __init__(self, length=23):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index >= self.length:
            raise IndexError(index)
        return np.float32(index) + np.float32(generator().random()), index


def passes(loader, epochs=1):
    return [[part.array.tobytes() for part in batch] for _ in range(epochs) for batch in loader]


def indices(loader):
    return [batch.tolist() for batch in loader]


OPTIONS = {"batch_size": 4, "shuffle": True, "seed": 7}


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("prefetch", [1, 5])
def test_workers_change_nothing_bit_for_bit(workers, prefetch):
    plain = passes(DataLoader(Noisy(), **OPTIONS), epochs=2)
    threaded = passes(DataLoader(Noisy(), num_workers=workers, prefetch_factor=prefetch, **OPTIONS), epochs=2)
    assert threaded == plain


def augmented_images():
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    chain = [
        transforms.RandomCrop(8, padding=2),
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation(15),
        transforms.ToTensor(),
    ]
    return ImageArrays(images, np.arange(20) % 3, ["a", "b", "c"], transforms.Compose(chain))


@pytest.mark.parametrize("workers", [1, 4])
def test_augmentation_is_the_same_for_any_number_of_workers(workers):
    images = augmented_images()
    assert passes(DataLoader(images, num_workers=workers, **OPTIONS)) == passes(DataLoader(images, **OPTIONS))


def test_augmentation_depends_on_epoch_and_sample_but_not_on_its_place():
    order = DataLoader(Noisy(), batch_size=1, shuffle=True, seed=1)
    straight = DataLoader(Noisy(), batch_size=5, seed=1)
    noise = [{int(i): float(x) for xs, ys in loader for x, i in zip(xs.tolist(), ys.tolist(), strict=True)}
             for loader in (order, straight, straight)]  # fmt: skip
    assert noise[0] == noise[1]
    assert all(noise[1][i] != noise[2][i] for i in range(23))
    assert len({round(noise[0][i] - i, 5) for i in range(23)}) == 23


REPEATS = [3, 5, 3, 3, 8, 5, 3]


@pytest.mark.parametrize("batch_size", [3, None])
def test_an_index_that_comes_again_within_a_pass_is_augmented_anew(batch_size):
    def drawn(sampler, **options):
        loader = DataLoader(Noisy(), batch_size, sampler=sampler, seed=1, **options)
        return np.concatenate([np.atleast_1d(np.asarray(x)) for x, _ in loader]).tolist()

    noise = drawn(REPEATS)
    assert len(set(noise)) == len(REPEATS)
    # The first time it is as where nothing repeats, and no worker changes anything.
    assert [noise[0], noise[1], noise[4]] == drawn([3, 5, 8])
    assert drawn(REPEATS, num_workers=3) == noise


def test_a_pass_with_repeats_can_be_taken_up_in_the_middle():
    sampler = WeightedRandomSampler(np.arange(23.0), 50)
    loader = DataLoader(Noisy(), 4, sampler=sampler, seed=2)
    whole = passes(loader)
    loader.set_epoch(0)
    assert [[part.array.tobytes() for part in batch] for batch in loader.batches(start=7)] == whole[7:]


def test_a_batch_that_begins_with_a_repeat_has_its_own_numbers():
    """For a collate_fn that draws, too."""
    loader = DataLoader(Noisy(), 1, sampler=[3, 3, 3], seed=1, collate_fn=lambda _: generator().random())
    assert len(set(loader)) == 3


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", [0, 3, 5, 6, 99])
def test_an_epoch_can_be_taken_up_in_the_middle(workers, start):
    loader = DataLoader(Noisy(), num_workers=workers, **OPTIONS)
    loader.set_epoch(3)
    whole = passes(loader)
    loader.set_epoch(3)
    rest = [[part.array.tobytes() for part in batch] for batch in loader.batches(start=start)]
    assert rest == whole[start:]


def test_epochs_count_up_and_can_be_set():
    loader = DataLoader(np.arange(30), 30, shuffle=True, seed=0)
    first, second, third = (indices(loader) for _ in range(3))
    assert first != second != third
    loader.set_epoch(1)
    assert [indices(loader), indices(loader)] == [second, third]
    with pytest.raises(OptionError):
        loader.set_epoch(-1)


class Shuffles:
    """A batch sampler of one's own, which draws as soon as it is asked for its iterator."""

    def __iter__(self):
        order = generator().permutation(24)
        return iter(order.reshape(-1, 4).tolist())


SAMPLERS = {
    "random": RandomSampler(range(24)),
    "some": SubsetRandomSampler(range(24)),
    "weighted": WeightedRandomSampler(np.ones(24), 24),
}


@pytest.mark.parametrize("name", [*SAMPLERS, "own batches", "batches of some"])
@pytest.mark.parametrize("batch_size", [None, 4])
def test_the_order_of_any_sampler_is_a_function_of_seed_and_epoch(name, batch_size):
    def orders():
        if name in SAMPLERS:
            loader = DataLoader(np.arange(24), batch_size, sampler=SAMPLERS[name], seed=3)
        else:
            own = Shuffles() if name == "own batches" else BatchSampler(SAMPLERS["some"], 4, False)
            loader = DataLoader(np.arange(24), batch_sampler=own, seed=3)
        return [[np.ravel(batch).tolist() for batch in loader] for _ in range(2)]

    first = orders()
    assert first == orders()
    assert first[0] != first[1]


def test_the_order_is_frozen():
    loader = DataLoader(Noisy(1000), batch_size=100, shuffle=True, seed=2024)
    digest = hashlib.sha256(b"".join(part for batch in passes(loader, epochs=2) for part in batch))
    assert digest.hexdigest() == "12a70ee470cd35b83852c2675fdd14fc44faed167360372b9e28258288ff09f9"


def test_without_a_seed_the_generator_in_force_decides():
    loader = DataLoader(np.arange(30), 30, shuffle=True)
    manual_seed(5)
    first = [indices(loader), indices(loader)]
    manual_seed(5)
    assert [indices(loader), indices(loader)] == first
    assert first[0] != first[1]


def test_a_generator_of_ones_own_decides():
    orders = [indices(DataLoader(np.arange(30), 30, True, generator=new_generator(s))) for s in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_batches_and_length_with_and_without_the_rest():
    assert indices(DataLoader(np.arange(5), 2)) == [[0, 1], [2, 3], [4]]
    assert indices(DataLoader(np.arange(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert [len(DataLoader(np.arange(5), 2, drop_last=d)) for d in (False, True)] == [3, 2]
    assert indices(DataLoader(np.arange(3), 8)) == [[0, 1, 2]]
    assert indices(DataLoader(np.arange(0), 8)) == []


def test_without_a_batch_size_there_are_single_samples():
    samples = list(DataLoader(TensorDataset(np.arange(3)), batch_size=None))
    assert [sample[0].shape for sample in samples] == [()] * 3
    assert len(DataLoader(np.arange(3), batch_size=None)) == 3


class Breaks(list):
    """A sampler that fails when it has given all its indices."""

    def __iter__(self):
        yield from super().__iter__()
        raise ValueError("no more")


@pytest.mark.parametrize("options", [{}, {"num_workers": 1}, {"num_workers": 4}])
def test_an_error_of_a_sampler_comes_after_the_batches_before_it(options):
    batches, taken = iter(DataLoader(range(9), 1, sampler=Breaks(range(6)), **options)), []
    with pytest.raises(ValueError, match="no more"):
        taken.extend(batch.item() for batch in batches)
    assert taken == [0, 1, 2, 3, 4, 5]


def test_own_sampler_batch_sampler_and_collate_fn():
    data = np.arange(6)
    assert indices(DataLoader(data, 2, sampler=[5, 0, 3])) == [[5, 0], [3]]
    assert indices(DataLoader(data, batch_sampler=BatchSampler([1, 2, 4], 2, False))) == [[1, 2], [4]]
    assert list(DataLoader(data, 3, collate_fn=sum)) == [3, 12]


def test_keys_need_not_be_numbers():
    data = {"a": np.float32(1), "b": np.float32(2)}
    assert indices(DataLoader(data, 2, sampler=["b", "a"], seed=0)) == [[2.0, 1.0]]


@pytest.mark.parametrize("workers", [0, 3])
def test_a_random_collate_fn_is_repeatable_too(workers):
    def noisy(samples):
        return generator().random()

    loader = DataLoader(np.arange(8), 2, seed=3, collate_fn=noisy, num_workers=workers)
    expected = list(DataLoader(np.arange(8), 2, seed=3, collate_fn=noisy))
    assert list(loader) == expected
    assert len(set(expected)) == 4


class Broken(Noisy):
    def __getitem__(self, index):
        if index == 9:
            raise ZeroDivisionError("sample 9")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_comes_where_its_batch_would_have_come(workers):
    before = threading.active_count()
    batches = iter(DataLoader(Broken(), 4, num_workers=workers))
    assert [len(next(batches)[1]) for _ in range(2)] == [4, 4]
    with pytest.raises(ZeroDivisionError, match="sample 9"):
        next(batches)
    with pytest.raises(StopIteration):
        next(batches)
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [0, 2])
def test_stop_iteration_in_a_sample_does_not_end_the_epoch_unnoticed(workers):
    class Stops(Noisy):
        def __getitem__(self, index):
            raise StopIteration

    with pytest.raises(RuntimeError):
        list(DataLoader(Stops(), 4, num_workers=workers))


def test_no_thread_stays_when_an_iteration_is_dropped():
    before = threading.active_count()
    for _ in range(20):
        batches = iter(DataLoader(Noisy(), 2, num_workers=3))
        next(batches)
    assert threading.active_count() > before
    del batches
    gc.collect()
    assert threading.active_count() == before
    iter(DataLoader(Noisy(), 2, num_workers=3))
    assert threading.active_count() == before


def test_only_so_many_batches_are_prepared_ahead():
    class Counting(Noisy):
        def __getitem__(self, index):
            started.append(index)
            return super().__getitem__(index)

    started = []
    batches = iter(DataLoader(Counting(100), 1, num_workers=2, prefetch_factor=3))
    next(batches)
    time.sleep(0.05)
    assert len(started) <= 1 + 2 * 3
    batches.close()


def test_a_dropped_iteration_leaves_the_rest_undone():
    class Slow(Noisy):
        def __getitem__(self, index):
            started.append(index)
            time.sleep(0.01)
            return super().__getitem__(index)

    started = []
    batches = iter(DataLoader(Slow(), 1, num_workers=1, prefetch_factor=20))
    next(batches)
    batches.close()
    assert len(started) < 10


def test_a_slow_batch_runs_into_the_timeout():
    class Slow(Noisy):
        def __getitem__(self, index):
            released.wait(10)
            return super().__getitem__(index)

    released = threading.Event()
    with pytest.raises(TimeoutError, match=r"within 0\.05 seconds"):
        next(iter(DataLoader(Slow(), 2, num_workers=1, timeout=0.05)))
    released.set()


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_may_be_gone_through_once(workers):
    chunks = [[0, 3], [1], [2, 4, 5]]
    loader = DataLoader(
        np.arange(6), batch_sampler=[map(int, chunk) for chunk in chunks], num_workers=workers
    )
    assert [batch.tolist() for batch in loader] == chunks


def test_worker_init_fn_runs_once_in_each_worker_and_its_error_is_seen():
    seen = []
    list(DataLoader(Noisy(), 2, num_workers=3, worker_init_fn=seen.append))
    assert sorted(seen) == [0, 1, 2]

    def fails(number):
        raise LookupError("init")

    with pytest.raises(LookupError, match="init"):
        list(DataLoader(Noisy(), 2, num_workers=2, worker_init_fn=fails))


@pytest.mark.parametrize(
    "options",
    [
        {"num_workers": -1},
        {"timeout": -1},
        {"prefetch_factor": 2},
        {"prefetch_factor": 0, "num_workers": 1},
        {"persistent_workers": True},
        {"batch_size": 0},
        {"batch_size": 1.5},
        {"batch_size": None, "drop_last": True},
        {"sampler": [0], "shuffle": True},
        {"batch_sampler": [[0]], "batch_size": 2},
        {"batch_sampler": [[0]], "shuffle": True},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(OptionError):
        DataLoader(np.arange(3), **options)


def test_a_negative_start_is_refused():
    with pytest.raises(OptionError, match="start >= 0"):
        DataLoader(np.arange(3)).batches(start=-1)


def test_options_of_pytorch_are_taken():
    loader = DataLoader(
        np.arange(4), 2, False, None, None, 1, None, True, False, 5.0, None, None, None,
        prefetch_factor=2, persistent_workers=True, pin_memory_device="", in_order=True,
    )  # fmt: skip
    assert indices(loader) == [[0, 1], [2, 3]]


@pytest.mark.parametrize("wrong", [5, np.random.RandomState(0), "cpu"])
def test_what_is_no_generator_is_refused_at_once(wrong):
    takers = [
        lambda: DataLoader(np.arange(3), shuffle=True, generator=wrong),
        lambda: RandomSampler(range(3), generator=wrong),
        lambda: SubsetRandomSampler(range(3), wrong),
        lambda: WeightedRandomSampler([1.0], 1, generator=wrong),
        lambda: random_split(range(3), [2, 1], wrong),
    ]
    for take in takers:
        with pytest.raises(OptionError, match=r"minicnn.Generator\(\).manual_seed"):
            take()
