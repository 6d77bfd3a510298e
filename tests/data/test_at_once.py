"""Data sets that make many samples at once: alone, within each other, and with random changes."""

import numpy as np
import pytest

from minicnn import transforms
from minicnn.core.random import generator
from minicnn.data import ConcatDataset, DataLoader, Dataset, Subset
from minicnn.data.vision import ImageArrays
from minicnn.errors import ShapeError

OPTIONS = {"batch_size": 4, "shuffle": True, "seed": 7}


def passes(loader):
    return [[part.array.tobytes() for part in batch] for batch in loader]


class Many(Dataset):
    """Sample i is (what is drawn, i), and some of them come together."""

    def __init__(self, length, asked):
        self.length, self.asked = length, asked

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return float(generator().random()), index

    def __getitems__(self, chosen):
        self.asked.append(list(chosen))
        return [self[i] for i in chosen]


def test_samples_are_asked_for_at_once_where_the_data_set_can():
    asked = []
    assert len(passes(DataLoader(Subset(Many(6, asked), [5, 4, 3, 2]), 3))) == 2
    assert asked == [[5, 4, 3], [2]]


@pytest.mark.parametrize("workers", [0, 3])
def test_samples_asked_for_at_once_may_be_random_and_are_repeatable_too(workers):
    def numbers(count):
        loader = DataLoader(Many(8, []), 2, seed=3, num_workers=count)
        return [first.tolist() for first, _ in loader]

    expected = numbers(0)
    assert numbers(workers) == expected
    assert len({number for batch in expected for number in batch}) == 8


class Inside(Dataset):
    """Asks the images within for some samples at once, in a way of its own."""

    def __init__(self, images, step):
        self.images, self.step = images, step

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images.__getitems__([index])[0]

    def __getitems__(self, chosen):
        if self.step is None:
            return None
        parts = [chosen[start : start + self.step] for start in range(0, len(chosen), self.step)]
        return [sample for part in parts for sample in self.images.__getitems__(part)]


def mirrored_images():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    chain = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()])
    return ImageArrays(pixels, np.arange(20) % 3, ["a", "b", "c"], chain)


@pytest.mark.parametrize("step", [None, 1, 3, 4])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_set_may_ask_another_for_any_number_of_samples_at_once(step, workers):
    expected = passes(DataLoader(Inside(mirrored_images(), step), **OPTIONS))
    assert passes(DataLoader(Inside(mirrored_images(), step), num_workers=workers, **OPTIONS)) == expected
    if step == 4:
        assert expected == passes(DataLoader(mirrored_images(), **OPTIONS))


def test_a_part_of_a_part_and_data_sets_in_a_row_give_what_the_images_give():
    images = mirrored_images()
    expected = passes(DataLoader(images, 4, sampler=[7, 19, 3, 2, 11], seed=1))
    nested = Subset(Subset(images, np.arange(20)), range(20))
    in_a_row = ConcatDataset([Subset(images, range(10)), Subset(images, range(10, 20))])
    for dataset in (nested, in_a_row, Subset(in_a_row, range(20))):
        assert passes(DataLoader(dataset, 4, sampler=[7, 19, 3, 2, 11], seed=1)) == expected


def test_a_batch_may_be_empty():
    pictures, labels = next(iter(DataLoader(mirrored_images(), batch_sampler=[[]], seed=1)))
    assert (pictures.shape, labels.shape) == ((0, 3, 8, 8), (0,))
    with pytest.raises(ShapeError, match="at least one sample"):
        next(iter(DataLoader(range(3), batch_sampler=[[]])))
