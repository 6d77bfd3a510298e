"""Labelled images in memory and in folders."""

import errno
import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn import transforms
from minicnn.data import DataLoader, Subset
from minicnn.data.vision import ImageArrays, ImageFolder
from minicnn.errors import FormatError, LabelError, ShapeError

Image = pytest.importorskip("PIL.Image")

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "files.py")))


def images(channels=1, transform=None, **options):
    shape = (10, 6, 5) if channels == 1 else (10, 6, 5, 3)
    data = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return ImageArrays(data, np.arange(10) % 3, "abc", transform, **options)


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_are_pictures_with_class_indices(channels):
    image, label = images(channels)[4]
    assert image.mode == {1: "L", 3: "RGB"}[channels]
    assert np.array_equal(np.asarray(image), images(channels).data[4])
    assert (label, type(label)) == (1, int)
    assert images()[np.int64(4)][1] == 1
    with pytest.raises(IndexError):
        images()[10]


def test_the_target_transform_is_applied():
    named = images(target_transform="xyz".__getitem__, transform=transforms.ToTensor())
    assert named[4][1] == "y"
    assert [label for _, label in named.__getitems__([0, 1, 2])] == ["x", "y", "z"]


def test_another_transform_shares_the_images():
    first = images()
    second = first.with_transform(transforms.ToTensor())
    assert second.data is first.data
    assert first.transform is None
    assert second[0][0].shape == (1, 6, 5)


@pytest.mark.parametrize(
    ("data", "targets", "error"),
    [
        (np.zeros((2, 3, 3)), np.zeros(2, int), ShapeError),
        (np.zeros((2, 3, 3, 4), np.uint8), np.zeros(2, int), ShapeError),
        (np.zeros((2, 3), np.uint8), np.zeros(2, int), ShapeError),
        (np.zeros((2, 3, 3), np.uint8), np.zeros(3, int), ShapeError),
        (np.zeros((2, 3, 3), np.uint8), np.array([0, 2]), LabelError),
        (np.zeros((2, 3, 3), np.uint8), np.array([0, -1]), LabelError),
    ],
)
def test_arrays_that_do_not_fit_are_refused(data, targets, error):
    with pytest.raises(error):
        ImageArrays(data, targets, ["a", "b"])


NORMALIZE = transforms.Normalize([0.4], [0.3])
CHAINS = {
    "tensor": transforms.ToTensor(),
    "plain": transforms.Compose([transforms.ToTensor(), NORMALIZE]),
    "augmented": transforms.Compose(
        [
            transforms.RandomCrop((6, 5), padding=1),
            transforms.RandomHorizontalFlip(),
            transforms.RandomVerticalFlip(),
            transforms.RandomRotation(20),
            transforms.Pad(1, 7),
            transforms.Resize(8),
            transforms.CenterCrop(6),
            transforms.RandomResizedCrop(5),
            transforms.ToTensor(),
            NORMALIZE,
        ]
    ),
    "grey": transforms.Compose([transforms.Grayscale(), transforms.ToTensor()]),
    "nested": transforms.Compose([transforms.Compose([transforms.ToTensor()]), NORMALIZE]),
}


def through_pictures(transform):
    """The same transform, hidden so that the data set cannot know that arrays would do."""
    return lambda image: transform(image)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_way_around_pillow_changes_nothing(name, channels):
    def batches(transform):
        loader = DataLoader(images(channels, transform), 4, shuffle=True, seed=5)
        return [(x.shape, x.dtype, x.array.tobytes(), y.tolist()) for x, y in loader]

    assert batches(CHAINS[name]) == batches(through_pictures(CHAINS[name]))


class Recorder(transforms.Transform):
    def __init__(self):
        self.seen = []

    def __call__(self, image):
        self.seen.append(type(image).__name__)
        return image


def test_a_transform_of_ones_own_gets_pictures():
    recorder = Recorder()
    chain = transforms.Compose([transforms.RandomHorizontalFlip(), recorder, transforms.ToTensor()])
    images(transform=chain)[0]
    assert recorder.seen == ["Image"]
    after = Recorder()
    images(transform=transforms.Compose([transforms.RandomHorizontalFlip(), after]))[0]
    assert after.seen == ["Image"]


def test_a_subclass_that_changes_the_call_gets_pictures():
    class Inverted(transforms.ToTensor):
        def __call__(self, image):
            seen.append(type(image).__name__)
            return super().__call__(image)

    seen = []
    inverted = images(transform=Inverted())
    assert inverted.__getitems__([0, 1]) is None
    assert inverted[0][0].shape == (1, 6, 5)
    assert seen == ["Image"]


def test_a_batch_is_made_at_once_for_a_subset_too():
    plain = images(transform=CHAINS["plain"])
    samples = Subset(plain, [7, 3]).__getitems__([1, 0])
    assert [label for _, label in samples] == [0, 1]
    assert np.array_equal(samples[0][0].array, plain[3][0].array)
    assert Subset([1, 2], [0]).__getitems__([0]) is None


def test_a_folder_has_sorted_classes_and_sorted_files(tmp_path):
    FILES.write_folders(tmp_path, {"dog": 2, "cat": 3, "Ant": 1})
    FILES.write_folders(tmp_path / "cat", {"more": 1})
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat" / ".thumbnail.png").write_bytes(b"")
    folder = ImageFolder(tmp_path)
    assert folder.classes == ["Ant", "cat", "dog"]
    assert folder.class_to_idx == {"Ant": 0, "cat": 1, "dog": 2}
    assert folder.targets == [0, 1, 1, 1, 1, 2, 2]
    assert [Path(path).name for path, _ in folder.imgs[1:5]] == ["0.png", "1.png", "2.png", "0.png"]
    image, label = folder[-1]
    assert (image.mode, image.size, label) == ("RGB", (5, 6), 2)
    assert len(folder) == 7


def test_a_folder_takes_transforms_a_loader_and_a_filter(tmp_path):
    FILES.write_folders(tmp_path, {"a": 2})
    folder = ImageFolder(tmp_path, transforms.ToTensor(), lambda t: t + 10)
    assert folder[0][0].shape == (3, 6, 5)
    assert folder[0][1] == 10
    assert "ToTensor()" in repr(folder)
    arrays = ImageFolder(tmp_path, loader=lambda path: np.zeros((2, 2), np.uint8))
    assert isinstance(arrays[0][0], np.ndarray)
    named = ImageFolder(
        tmp_path, loader=lambda path: Path(path).name, is_valid_file=lambda p: p.endswith("1.png")
    )
    assert [named[i] for i in range(len(named))] == [("1.png", 0)]


def test_a_folder_numbers_its_classes_as_told(tmp_path):
    FILES.write_folders(tmp_path, {"b": 1})
    assert ImageFolder(tmp_path, classes=["a", "b"]).targets == [1]
    with pytest.raises(FormatError, match="class folder 'b' is not one of the 1 classes"):
        ImageFolder(tmp_path, classes=["a"])


def test_folders_that_are_none_are_refused(tmp_path):
    with pytest.raises(FormatError, match="no such folder"):
        ImageFolder(tmp_path / "missing")
    with pytest.raises(FormatError, match=r"root/class/image\.png"):
        ImageFolder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"no image .* in this class folder") as caught:
        ImageFolder(tmp_path)
    assert caught.value.path == str(tmp_path / "empty")
    assert len(ImageFolder(tmp_path, allow_empty=True)) == 0


@pytest.mark.parametrize("before", [[], [transforms.RandomHorizontalFlip()], [transforms.PILToTensor()]])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_change_in_place_stays_out_of_the_data_set(channels, before):
    """Whether it gets pictures, arrays or tensors."""

    def samples(inplace, p=0.9):
        erase = transforms.RandomErasing(p, value=7, inplace=inplace)
        after = [] if before and isinstance(before[0], transforms.PILToTensor) else [transforms.ToTensor()]
        data = images(channels, transforms.Compose([*before, erase, *after]))
        made = [np.asarray(image) for image, _ in DataLoader(data, None, seed=1)]
        assert np.array_equal(data.pixels, images(channels).pixels)
        return made

    assert np.array_equal(samples(True), samples(False))
    assert not np.array_equal(samples(True), samples(True, p=0))


def test_writing_into_an_image_of_the_data_set_is_refused():
    class Blackens(transforms.Transform):
        keeps_arrays = takes_arrays = True

        def __call__(self, image):
            image[...] = 0
            return image

    with pytest.raises(ValueError, match="read-only"):
        images(transform=Blackens())[0]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    FILES.write_folders(tmp_path, {"a": 2, "a/more": 1})
    secret, really = str(tmp_path / "a" / "more"), os.scandir

    def refusing(path="."):
        if str(path) == secret:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return really(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(FormatError, match="cannot be read: Permission denied") as caught:
        ImageFolder(tmp_path)
    assert caught.value.path == secret


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    FILES.write_folders(tmp_path / "pool", {"x": 2})
    FILES.write_folders(tmp_path / "d", {"b": 1})
    (tmp_path / "d" / "a").symlink_to(tmp_path / "pool" / "x")
    (tmp_path / "d" / "b" / "up").symlink_to(tmp_path / "d")
    assert ImageFolder(tmp_path / "d").targets == [0, 0, 1]


def test_a_subclass_may_choose_classes_and_indices(tmp_path):
    class Merged(ImageFolder):
        def find_classes(self, directory):
            return ["other", "cat"], {"cat": 1, "dog": 0, "cow": 0}

    FILES.write_folders(tmp_path, {"cat": 1, "dog": 2, "cow": 1, "unused": 1})
    images = Merged(tmp_path)
    assert (images.classes, images.class_to_idx["dog"]) == (["other", "cat"], 0)
    assert [(Path(path).parent.name, target) for path, target in images.samples] == [
        ("cat", 1),
        ("cow", 0),
        ("dog", 0),
        ("dog", 0),
    ]
    FILES.write_folders(tmp_path / "plain", {"b": 1})
    assert ImageFolder(tmp_path / "plain", classes=["a", "b"]).class_to_idx == {"a": 0, "b": 1}
