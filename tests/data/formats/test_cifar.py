"""The binary files of CIFAR."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn.data.formats import read_cifar10, read_cifar100
from minicnn.errors import FormatError

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "files.py")))


def test_planes_become_pixels(tmp_path):
    content = FILES.cifar_bytes([3, 9])
    (tmp_path / "a.bin").write_bytes(content)
    images, labels = read_cifar10(tmp_path / "a.bin")
    assert images.shape == (2, 32, 32, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert labels.tolist() == [3, 9]
    green_of_row_1_column_2 = content[3073 + 1 + 1024 + 32 + 2]
    assert images[1, 1, 2, 1] == green_of_row_1_column_2


def test_cifar100_has_coarse_and_fine_labels(tmp_path):
    (tmp_path / "a.bin").write_bytes(FILES.cifar_bytes([99, 50], extra=[19, 4]))
    assert read_cifar100(tmp_path / "a.bin")[1].tolist() == [99, 50]
    assert read_cifar100(tmp_path / "a.bin", coarse=True)[1].tolist() == [19, 4]


@pytest.mark.parametrize(
    ("read", "content", "what", "offset"),
    [
        (read_cifar10, b"", "0 bytes", 0),
        (read_cifar10, FILES.cifar_bytes([1, 2])[:-1], "6145 bytes are no multiple of 3073", 3073),
        (read_cifar10, FILES.cifar_bytes([1]) + b"x", "3074 bytes are no multiple of 3073", 3073),
        (read_cifar100, FILES.cifar_bytes([1]), "3073 bytes are no multiple of 3074", 0),
        (read_cifar10, FILES.cifar_bytes([1, 10]), r"label 10 of image 1 is not in 0\.\.9", 3073),
        (read_cifar100, FILES.cifar_bytes([100], [0]), r"label 100 of image 0 is not in 0\.\.99", 1),
        (read_cifar100, FILES.cifar_bytes([1, 1], [0, 20]), r"label 20 of image 1 is not in 0\.\.19", 3074),
    ],
)
def test_bad_files_are_refused_with_the_place(tmp_path, read, content, what, offset):
    (tmp_path / "bad.bin").write_bytes(content)
    with pytest.raises(FormatError, match=what) as caught:
        read(tmp_path / "bad.bin")
    assert caught.value.offset == offset


def test_damaged_files_give_images_or_a_format_error(tmp_path, rng):
    content = FILES.cifar_bytes([1, 2])
    assert FILES.survives(read_cifar10, tmp_path / "damaged.bin", content, rng) > 100


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FormatError, match=r"missing\.bin: no such file"):
        read_cifar10(tmp_path / "missing.bin")
