"""Statistics remember their samples, and what was fitted outside the training part is refused."""

import copy
import pickle

import numpy as np
import pytest

from minicnn import transforms
from minicnn.core.tensor import Tensor
from minicnn.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    check_fitted,
    fingerprints,
    random_split,
    statistics,
)
from minicnn.data.sources import load
from minicnn.data.vision import ImageArrays, ImageFolder
from minicnn.errors import OptionError


def images(count=20, seed=0, channels=3):
    shape = (count, 4, 5, 3) if channels == 3 else (count, 4, 5)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return ImageArrays(pixels, np.arange(count) % 2, ["a", "b"])


@pytest.fixture
def folder(tmp_path):
    """An ImageFolder of the same pixels as ``images()``."""
    from PIL import Image

    for i, (pixels, label) in enumerate(zip(images().pixels, images().labels, strict=True)):
        place = tmp_path / "ab"[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place / f"{i:02}.png")
    return ImageFolder(tmp_path)


def normalize(*what):
    return transforms.Normalize(*statistics(*what))


def test_statistics_of_parts_are_those_of_their_pixels():
    data = images()
    chosen = data.pixels[[3, 7, 1]].reshape(-1, 3) / 255
    for mean, std in (
        statistics(data, [3, 7, 1]),
        statistics(Subset(data, [3, 7, 1])),
        statistics(Subset(Subset(data, [9, 1, 7, 3]), [1, 3, 2])),
        statistics(ConcatDataset([Subset(data, [3]), images(5), data]), [0, 6 + 7, 6 + 1]),
        statistics(DataLoader(data, sampler=SubsetRandomSampler([3, 7, 1]))),
    ):
        assert mean == pytest.approx(chosen.mean(0), abs=1e-12)
        assert std == pytest.approx(chosen.std(0), abs=1e-12)


def test_statistics_of_files_are_those_of_the_same_pixels(folder):
    assert statistics(folder) == statistics(images())
    turned = ImageFolder(folder.root, transform=transforms.RandomInvert(1))
    assert statistics(turned) == statistics(images())


@pytest.mark.parametrize("bad", [Subset(images(), []), [1, 2], TensorDataset(np.zeros((3, 2)))])
def test_statistics_of_what_has_no_images_are_refused(bad):
    with pytest.raises(OptionError, match="statistics"):
        statistics(bad)


def test_a_sample_is_known_wherever_it_turns_up(tmp_path):
    data = images()
    known = fingerprints(data)
    assert known.dtype == np.uint64
    assert len(set(known.tolist())) == 20
    assert np.array_equal(fingerprints(data.with_transform(transforms.ToTensor())), known)
    assert np.array_equal(fingerprints(images()), known)
    assert np.array_equal(fingerprints(Subset(images(), [5, 2])), known[[5, 2]])
    assert np.array_equal(fingerprints(ConcatDataset([images(3, 9), images()]))[3:], known)
    assert np.array_equal(fingerprints(data, iter([4, 4])), known[[4, 4]])
    assert not set(fingerprints(images(seed=1)).tolist()) & set(known.tolist())


def test_packed_images_are_known_as_those_in_memory(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    packed = load(folder.root).train
    assert sorted(fingerprints(packed).tolist()) == sorted(fingerprints(images()).tolist())


def test_files_and_rows_are_known_by_path_and_content(folder, monkeypatch):
    known = fingerprints(folder)
    monkeypatch.chdir(folder.root)
    assert np.array_equal(fingerprints(ImageFolder(".")), known)
    assert len(set(known.tolist())) == 20
    rows = TensorDataset(np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]), np.arange(3))
    first, second, third = fingerprints(rows)
    assert first == third != second


def test_samples_without_a_name_are_refused_unless_the_data_set_names_them():
    class Squares:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return index**2

    with pytest.raises(OptionError, match=r"samples of Squares .* method fingerprints\(indices\)"):
        fingerprints(Squares())
    Squares.fingerprints = lambda self, indices: indices + 100
    assert fingerprints(Subset(Squares(), [3, 0])).tolist() == [103, 100]


def test_statistics_remember_their_samples_in_copies_and_other_processes():
    mean, std = statistics(images(), [1, 2])
    for numbers in (mean, std, copy.copy(mean), copy.deepcopy(mean), pickle.loads(pickle.dumps(mean))):
        assert np.array_equal(numbers.fitted_on, fingerprints(images(), [1, 2]))
    assert isinstance(mean, tuple)
    assert np.array_equal(normalize(images(), [3]).fitted_on, fingerprints(images(), [3]))
    assert transforms.Normalize((0.5,), (0.5,)).fitted_on is None


def test_what_was_fitted_on_the_training_part_passes():
    data = images()
    train, validation = random_split(data, [0.8, 0.2])
    for part in (
        normalize(train),
        normalize(Subset(train, [0, 3])),
        transforms.ToTensor(),
        normalize(images(), train.indices),
    ):
        check_fitted(train, part)
        usual = data.with_transform(transforms.Compose([transforms.ToTensor(), part]))
        check_fitted(Subset(usual, train.indices), Subset(usual, validation.indices))


FITTED = {
    "all": lambda data, train, held_out: normalize(data),
    "the other part": lambda data, train, held_out: normalize(held_out),
    "one sample too many": lambda data, train, held_out: normalize(
        data, [*train.indices, held_out.indices[0]]
    ),
}
NESTED = {
    "alone": lambda part: part,
    "in a chain": lambda part: transforms.Compose([transforms.ToTensor(), part]),
    "deep in a chain": lambda part: transforms.Compose(
        [transforms.RandomApply([transforms.RandomOrder([abs, part])], 0.1)]
    ),
}


@pytest.mark.parametrize("nested", NESTED)
@pytest.mark.parametrize("fitted", FITTED)
def test_what_was_fitted_beyond_the_training_part_is_refused(fitted, nested):
    data = images()
    train, held_out = random_split(data, [15, 5])
    transform = NESTED[nested](FITTED[fitted](data, train, held_out))
    seen, unseen = (Subset(data.with_transform(transform), part.indices) for part in (train, held_out))
    for parts in (
        (train, transform),
        (seen,),
        (train, unseen),
        (DataLoader(seen, 4, shuffle=True), DataLoader(held_out)),
        (train, ConcatDataset([held_out, unseen])),
        (DataLoader(data, sampler=SubsetRandomSampler(train.indices)), transform),
        *((loader, transform) for loader in loaders_of(data, train.indices)),
    ):
        with pytest.raises(OptionError, match="^check_fitted: Normalize was fitted on .* training part"):
            check_fitted(*parts)


def loaders_of(data, chosen):
    """Of some of the samples, in every way that a loader can be told."""
    weights = np.bincount(chosen, minlength=len(data))
    for sampler in (SubsetRandomSampler(chosen), WeightedRandomSampler(weights, 8), list(chosen)):
        yield DataLoader(data, 4, sampler=sampler)
        yield DataLoader(data, None, sampler=sampler)
        yield DataLoader(data, batch_sampler=BatchSampler(sampler, 4, False))
    yield DataLoader(data, batch_sampler=[list(chosen[:5]), list(chosen[5:])])


def test_a_loader_has_the_samples_that_it_draws():
    data = images()
    known = fingerprints(data)
    for loader in loaders_of(data, [7, 3, 5, 11, 2, 19]):
        assert set(fingerprints(loader)) == set(known[[2, 3, 5, 7, 11, 19]])
        check_fitted(loader, normalize(data, [5, 19]))
    for sampler in (SequentialSampler(range(6)), RandomSampler(range(6))):
        assert np.array_equal(fingerprints(DataLoader(data, sampler=sampler)), known[:6])
    for loader in (DataLoader(data, 4), DataLoader(data, shuffle=True), DataLoader(data, None)):
        assert np.array_equal(fingerprints(loader), known)


def test_a_sampler_that_does_not_say_what_it_draws_is_refused():
    class Odd:
        def __iter__(self):
            return iter(range(1, 20, 2))

    for options in ({"sampler": Odd()}, {"batch_sampler": BatchSampler(Odd(), 2, False)}):
        with pytest.raises(OptionError, match="which samples Odd draws.* attribute indices"):
            fingerprints(DataLoader(images(), **options))


def test_statistics_take_memory_for_some_images_however_large_they_are():
    class Recorded(np.ndarray):
        def __getitem__(self, index):
            found = super().__getitem__(index)
            asked.append(found.nbytes)
            return found

    asked = []
    large = ImageArrays(np.zeros((100, 224, 224, 3), np.uint8), np.zeros(100, int), ["a"])
    large.pixels = large.pixels.view(Recorded)
    assert statistics(large)[0] == (0, 0, 0)
    assert 1 << 20 < max(asked) <= 4 << 20


def test_the_message_counts():
    train, held_out = images(10), images(4, seed=1)
    with pytest.raises(OptionError, match="fitted on 14 samples, of which 4 are not"):
        check_fitted(train, normalize(ConcatDataset([train, held_out])))


def test_a_transform_of_your_own_says_what_it_was_fitted_on():
    class Whitening:
        def __call__(self, image):
            return image

    train, held_out = images(10), images(4, seed=1)
    own = Whitening()
    check_fitted(train, own)
    own.fitted_on = fingerprints(train)
    check_fitted(train, own)
    own.fitted_on = fingerprints(held_out)
    with pytest.raises(OptionError, match="Whitening was fitted on 4 samples, of which 4 are not"):
        check_fitted(train, own)


def test_copies_of_training_images_do_not_count_as_others():
    """The same image twice, once held out: looking at it in training told nothing new."""
    pixels = images().pixels
    data = ImageArrays(np.concatenate([pixels, pixels[:1]]), np.zeros(21, np.int64), ["a"])
    check_fitted(Subset(data, range(20)), normalize(data))


def test_data_without_fitted_transforms_need_no_fingerprints():
    check_fitted([(Tensor([1.0]), 0)], range(3))


def test_the_mean_of_a_source_is_of_all_its_training_images():
    source = load("digits")
    train, _ = random_split(source.train, [0.9, 0.1])
    check_fitted(source.train, transforms.Normalize(source.mean, source.std))
    with pytest.raises(OptionError, match="fitted on 1438 samples"):
        check_fitted(train, transforms.Normalize(source.mean, source.std))
