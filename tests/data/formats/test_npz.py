"""NumPy archives: the usual names and layouts, and what is refused."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from minicnn.data.formats.npz import read_npz
from minicnn.data.sources import load
from minicnn.errors import FormatError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    "names", [("x_train", "y_train"), ("images", "labels"), ("train_images", "train_labels")]
)
@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], LABELS.astype(np.uint8)])
def test_names_and_labels(tmp_path, names, labels):
    np.savez(tmp_path / "a.npz", **dict(zip(names, (IMAGES, labels), strict=True)))
    images, found = read_npz(tmp_path / "a.npz")
    assert (images == IMAGES).all()
    assert (found.dtype, found.tolist()) == (np.int64, LABELS.tolist())
    assert read_npz(tmp_path / "a.npz", "test") is None


@pytest.mark.parametrize(
    "images, expected",
    [
        (IMAGES.transpose(0, 3, 1, 2), IMAGES),
        (IMAGES[..., :1], IMAGES[..., 0]),
        (IMAGES[..., 0][:, None], IMAGES[..., 0]),
        (IMAGES / 255, IMAGES),
        ((IMAGES / 255).astype(np.float32), IMAGES),
    ],
)
def test_layouts(tmp_path, images, expected):
    np.savez_compressed(tmp_path / "a.npz", images=images, labels=LABELS)
    assert (read_npz(tmp_path / "a.npz")[0] == expected).all()


def bad_float(value):
    images = IMAGES / 255
    images[2, 1, 3, 0] = value
    return images


@pytest.mark.parametrize(
    "images, labels, what",
    [
        (bad_float(np.nan), LABELS, r"images\[2, 1, 3, 0\] is nan, not a number from 0 to 1"),
        (bad_float(1.5), LABELS, r"images\[2, 1, 3, 0\] is 1.5"),
        (IMAGES.astype(np.int32), LABELS, "images is int32"),
        (IMAGES[..., :2], LABELS, r"shape \(6, 5, 4, 2\)"),
        (IMAGES[:0], LABELS[:0], r"shape \(0, 5, 4, 3\)"),
        (IMAGES, LABELS[:5], r"labels is int64 \(5,\), expected 6 class indices"),
        (IMAGES, LABELS / 2, "labels is float64"),
        (IMAGES, LABELS - 1, r"labels\[0\] is -1, expected 0 to 65535"),
        (IMAGES, LABELS * np.nan, "labels is float64"),
        (IMAGES, LABELS * 40_000, r"labels\[2\] is 80000, expected 0 to 65535"),
        (IMAGES, np.array([0, 1, 2**63, 0, 0, 0], np.uint64), r"labels\[2\] is 9223372036854775808"),
        (IMAGES, LABELS > 0, "labels is bool"),
        (IMAGES, np.array(["a"] * 6, object), "damaged, or no arrays of numbers"),
    ],
)
def test_what_is_refused(tmp_path, images, labels, what):
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    with pytest.raises(FormatError, match=what):
        read_npz(tmp_path / "a.npz")


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=IMAGES, labels=LABELS)
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:cut])
        with pytest.raises(FormatError, match="a.npz: damaged"):
            read_npz(path)
    np.save(tmp_path / "b.npz.npy", IMAGES)
    (tmp_path / "b.npz.npy").rename(tmp_path / "b.npz")
    with pytest.raises(FormatError):
        read_npz(tmp_path / "b.npz")


def test_what_is_made_to_fill_the_memory_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=np.zeros((90_000, 28, 28), np.uint8), labels=np.zeros(90_000, int))
    tracemalloc.start()
    with pytest.raises(FormatError, match="images has 70560128 bytes, over 200 times the compressed"):
        read_npz(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    header = io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": (10**14, 28, 28)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header.getvalue())
        archive.writestr("labels.npy", b"")
    with pytest.raises(FormatError, match=r"a.npz: (images does not fit in memory|damaged)"):
        read_npz(path)


def test_a_source_of_three_parts(tmp_path):
    parts = {f"x_{part}": IMAGES for part in ("train", "val", "test")}
    parts |= {f"y_{part}": LABELS for part in ("train", "val", "test")}
    np.savez(tmp_path / "a.npz", **parts)
    source = load(tmp_path / "a.npz")
    assert (len(source.train), len(source.validation), len(source.test)) == (6, 6, 6)
    assert (source.classes, source.image_shape) == (["0", "1", "2"], (3, 5, 4))
    np.savez(tmp_path / "b.npz", **parts | {"y_test": LABELS + 1})
    with pytest.raises(FormatError, match="test label 3 is not in 0..2"):
        load(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", other=IMAGES)
    with pytest.raises(FormatError, match="no arrays x_train and y_train"):
        load(tmp_path / "c.npz")
