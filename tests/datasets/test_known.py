"""Data sets by name, as torchvision has them."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minicnn
from minicnn import datasets, transforms
from minicnn.data import DataLoader
from minicnn.errors import FormatError

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "data" / "files.py")))


@pytest.mark.parametrize(
    ("kind", "place", "label"),
    [
        (datasets.MNIST, "MNIST/raw", "2 - two"),
        (datasets.FashionMNIST, "FashionMNIST/raw", "Pullover"),
        (datasets.KMNIST, "KMNIST/raw", "su"),
    ],
)
def test_the_folders_of_torchvision_are_read(tmp_path, kind, place, label):
    FILES.write_mnist(tmp_path / place)
    train, test = kind(tmp_path), kind(str(tmp_path), train=False)
    assert (train.data.shape, len(test)) == ((6, 28, 28), 4)
    assert train.targets.tolist() == [0, 1, 2, 3, 4, 5]
    image, target = train[2]
    assert np.array_equal(np.asarray(image), train.data[2])
    assert train.classes[target] == label
    assert train.class_to_idx[label] == 2


def test_cifar(tmp_path):
    FILES.write_cifar10(tmp_path / "cifar-10-batches-bin")
    image, target = datasets.CIFAR10(tmp_path, train=False)[1]
    assert (image.mode, image.size, target) == ("RGB", (32, 32), 3)
    (tmp_path / "cifar-100-binary").mkdir()
    (tmp_path / "cifar-100-binary" / "train.bin").write_bytes(FILES.cifar_bytes([99], [0]))
    hundred = datasets.CIFAR100(tmp_path)
    assert hundred.classes[hundred[0][1]] == "worm"


def test_both_transforms_are_applied_in_the_order_of_torchvision(tmp_path):
    FILES.write_mnist(tmp_path)
    images = datasets.MNIST(tmp_path, True, transforms.ToTensor(), lambda target: -target)
    assert images[3][0].shape == (1, 28, 28)
    assert images[3][1] == -3


def test_files_that_are_there_need_no_download(tmp_path):
    FILES.write_mnist(tmp_path)
    assert len(datasets.MNIST(tmp_path, download=True)) == 6


def test_what_is_missing_is_downloaded(tmp_path, monkeypatch):
    asked = []

    def fetch(name, directory):
        asked.append((name, directory))
        FILES.write_mnist(directory / "MNIST" / "raw")

    monkeypatch.setattr("minicnn.data.fetch.fetch", fetch)
    assert len(datasets.MNIST(tmp_path, download=True)) == 6
    assert len(datasets.MNIST(tmp_path, train=False, download=True)) == 4
    assert asked == [("mnist", tmp_path)]


def test_missing_files_are_named_with_their_places(tmp_path):
    with pytest.raises(
        FormatError,
        match=r"train-images-idx3-ubyte\(\.gz\): not in \S+/MNIST/raw, \S+, \S+/MNIST or \S+; download",
    ):
        datasets.MNIST(tmp_path)
    with pytest.raises(
        FormatError, match=r"data_batch_1\.bin: not in \S+/cifar-10-batches-bin, \S+/cifar10 or "
    ):
        datasets.CIFAR10(tmp_path)


def test_digits_are_there_without_a_folder():
    train, test = datasets.Digits(), datasets.Digits(train=False)
    assert (len(train), len(test)) == (1438, 359)
    assert train.data.shape == (1438, 8, 8)
    assert repr(test) == "Digits: 359 images, 10 classes"


def test_a_script_as_for_torchvision():
    chain = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.3,), (0.4,))])
    digits = datasets.Digits("data", train=True, download=True, transform=chain)
    images, labels = next(iter(DataLoader(digits, batch_size=32, shuffle=True)))
    assert (images.shape, images.dtype) == ((32, 1, 8, 8), np.float32)
    assert (labels.shape, labels.dtype) == ((32,), np.int64)


def test_data_and_targets_are_tensors_as_in_torchvision():
    train = datasets.Digits()
    assert isinstance(train.data, minicnn.Tensor) and isinstance(train.targets, minicnn.Tensor)
    assert (train.data.dtype, train.targets.dtype) == (minicnn.uint8, minicnn.int64)
    mean = (train.data.float() / 255).mean().item()
    assert mean == pytest.approx(0.305, abs=1e-3)
    assert (train.targets == 3).sum().item() == 146


def test_a_part_of_the_data_may_be_kept():
    train = datasets.Digits()
    image, label = np.asarray(train[3][0]), train[3][1]
    few = train.targets < 4
    train.data, train.targets = train.data[few], train.targets[few]
    assert len(train) == len(train.data) < 1438 and set(train.targets.tolist()) == {0, 1, 2, 3}
    train.data, train.targets = train.data.numpy(), train.targets.tolist()
    assert isinstance(train.data, minicnn.Tensor) and isinstance(train.targets, minicnn.Tensor)
    train = datasets.Digits()
    train.targets[3] = 9 - label
    train.data[3] = 7
    assert train[3][1] == 9 - label and (np.asarray(train[3][0]) == 7).all() and not (image == 7).all()


def test_cifar_keeps_arrays_as_in_torchvision(tmp_path):
    FILES.write_cifar10(tmp_path)
    images = datasets.CIFAR10(tmp_path)
    assert isinstance(images.data, np.ndarray) and images.data.shape[1:] == (32, 32, 3)


def test_image_folder_is_here_too(tmp_path):
    FILES.write_folders(tmp_path, {"a": 1})
    assert len(datasets.ImageFolder(tmp_path)) == 1


def test_real_mnist_has_the_images_everybody_knows(shared_data):
    test = datasets.MNIST(shared_data, train=False)
    assert test.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert int(test.data[0].sum()) == 18454
