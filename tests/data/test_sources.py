"""Sources: every kind of data set by one function."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn import transforms
from minicnn.data import DataLoader, Subset
from minicnn.data.catalog import CATALOG
from minicnn.data.packing import pack
from minicnn.data.records import FolderRecords
from minicnn.data.sources import load, statistics
from minicnn.errors import FormatError, OptionError

Image = pytest.importorskip("PIL.Image")

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "files.py")))


def test_digits_have_a_fixed_stratified_test_set():
    source = load("digits")
    assert (source.name, source.image_shape, source.classes) == ("digits", (1, 8, 8), list("0123456789"))
    assert np.bincount(source.test.targets).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    assert len(source.train) + len(source.test) == 1797
    both = np.concatenate([source.train.data, source.test.data])
    assert len(np.unique(both, axis=0)) == 1797
    assert source.fingerprint == load("DIGITS").fingerprint
    assert source.fingerprint == "674f8be63fba498f61d096edefa7cee9ccc19bcf7db9f2411b885a74ad9b2648"


@pytest.mark.parametrize("place", [".", "mnist", "MNIST", "MNIST/raw"])
@pytest.mark.parametrize("gz", [False, True])
def test_mnist_is_found_in_its_usual_places(tmp_path, place, gz):
    FILES.write_mnist(tmp_path / place, gz=gz)
    source = load("mnist", tmp_path)
    assert (len(source.train), len(source.test), source.image_shape) == (6, 4, (1, 28, 28))
    assert source.classes[3] == "3 - three"
    assert source.train.targets.tolist() == list(range(6))


@pytest.mark.parametrize("name", ["fashion-mnist", "Fashion_MNIST"])
def test_fashion_mnist_has_a_folder_of_its_own(tmp_path, name):
    FILES.write_mnist(tmp_path / "mnist")
    FILES.write_mnist(tmp_path / "FashionMNIST" / "raw", train=8)
    source = load(name, tmp_path)
    assert len(source.train) == 8
    assert source.classes[9] == "Ankle boot"


def test_mnist_is_not_taken_for_its_followers(tmp_path):
    FILES.write_mnist(tmp_path)
    FILES.write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.array([5, 0, 4, 1, 9, 2, 1, 3], "u1"))
    FILES.write_idx(tmp_path / "train-images-idx3-ubyte.gz", np.zeros((8, 28, 28), "u1"))
    assert len(load("mnist", tmp_path).train) == 8
    with pytest.raises(FormatError, match="MNIST's labels, not those of kmnist"):
        load("kmnist", tmp_path)


@pytest.mark.parametrize("place", [".", "cifar10", "cifar-10-batches-bin"])
def test_cifar10_is_put_together_from_its_batches(tmp_path, place):
    FILES.write_cifar10(tmp_path / place)
    source = load("cifar10", tmp_path)
    assert source.train.targets.tolist() == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
    assert source.test.targets.tolist() == [9, 3]
    assert source.image_shape == (3, 32, 32)
    assert source.classes[9] == "truck"


def test_cifar100_reads_fine_labels(tmp_path):
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(FILES.cifar_bytes([99, 0], extra=[1, 2]))
    source = load("cifar100", tmp_path)
    assert source.train.targets.tolist() == [99, 0]
    assert len(source.classes) == 100
    assert source.classes == sorted(set(source.classes))


def test_a_missing_file_is_named_with_the_places(tmp_path):
    with pytest.raises(FormatError) as caught:
        load("mnist", tmp_path)
    assert str(caught.value) == (
        f"train-images-idx3-ubyte(.gz): not in {tmp_path}/MNIST/raw, {tmp_path}/mnist, {tmp_path}/MNIST "
        f"or {tmp_path}; --data-dir (data_dir) names another place"
    )


@pytest.mark.parametrize(
    ("name", "guess"), [("minst", "mnist"), ("cifar", "cifar10"), ("fasion-mnist", "fashion-mnist")]
)
def test_an_unknown_name_gets_a_guess(name, guess):
    with pytest.raises(OptionError, match=f"did you mean '{guess}'"):
        load(name)


def test_other_paths_are_refused(tmp_path):
    with pytest.raises(OptionError, match="no such file or folder"):
        load(tmp_path / "missing")
    (tmp_path / "pictures.zip").touch()
    with pytest.raises(FormatError, match=r"give the images as a folder or a tar file"):
        load(tmp_path / "pictures.zip")
    (tmp_path / "labels").write_bytes(b"")
    with pytest.raises(FormatError, match='has "images" in its name'):
        load(tmp_path / "labels")
    with pytest.raises(OptionError, match="image_size >= 1"):
        load("digits", image_size=0)


def test_an_idx_pair_is_found_by_its_images_file(tmp_path):
    FILES.write_mnist(tmp_path, first_label=3, size=9)
    source = load(tmp_path / "train-images-idx3-ubyte.gz")
    assert source.classes == [str(i) for i in range(9)]
    assert (len(source.test), source.image_shape) == (4, (1, 9, 9))
    assert load(tmp_path / "t10k-images-idx3-ubyte.gz").test is None


def test_a_folder_of_idx_files_is_a_pair(tmp_path):
    FILES.write_mnist(tmp_path, gz=False)
    source = load(tmp_path)
    assert (source.name, len(source.train), len(source.test)) == (str(tmp_path), 6, 4)


def test_a_folder_of_cifar_files_is_known_by_them(tmp_path):
    source = load(FILES.write_cifar10(tmp_path / "ten"))
    assert (source.name, len(source.train), len(source.classes)) == (str(tmp_path / "ten"), 10, 10)
    (tmp_path / "hundred").mkdir()
    for name in ("train.bin", "test.bin"):
        (tmp_path / "hundred" / name).write_bytes(FILES.cifar_bytes([99, 0], extra=[1, 2]))
    source = load(tmp_path / "hundred")
    assert (source.name, len(source.train), len(source.classes)) == (str(tmp_path / "hundred"), 2, 100)


def test_parts_of_other_shapes_are_refused(tmp_path):
    shapes = r"images of shapes \(1, 28, 28\) to train on and \(1, 32, 32\) in another part"
    FILES.write_mnist(tmp_path)
    FILES.write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", np.zeros((4, 32, 32), "u1"))
    for name, folder in (("mnist", tmp_path), (tmp_path, None)):
        with pytest.raises(FormatError, match=shapes):
            load(name, folder)
    labels = np.array([0, 1])
    for part in ("test", "val"):
        other = {f"x_{part}": np.zeros((2, 32, 32), "u1"), f"y_{part}": labels}
        np.savez(tmp_path / "a.npz", x_train=np.zeros((2, 28, 28), "u1"), y_train=labels, **other)
        with pytest.raises(FormatError, match=shapes):
            load(tmp_path / "a.npz")
    for part, side in (("train", 28), ("test", 32)):
        FILES.write_folders(tmp_path / part, {"a": 2}, size=(side, side), mode="L")
        pack([FolderRecords(tmp_path / part)], tmp_path / f"{part}-pack")
    for file in (tmp_path / "test-pack").glob("train-*"):
        shutil.copy(file, tmp_path / "train-pack" / file.name.replace("train", "test"))
    facts = json.loads((tmp_path / "train-pack" / "pack.json").read_text())
    facts["counts"]["test"] = 2
    (tmp_path / "train-pack" / "pack.json").write_text(json.dumps(facts))
    with pytest.raises(FormatError, match=shapes):
        load(tmp_path / "train-pack")


def test_a_pair_may_hold_colour_and_mix_gz_with_plain(tmp_path):
    images = FILES.write_idx(tmp_path / "my-images-idx4-ubyte", np.zeros((3, 4, 5, 3), "u1"))
    FILES.write_idx(tmp_path / "my-labels-idx1-ubyte.gz", np.array([2, 0, 2], "i4"))
    source = load(images)
    assert (source.image_shape, source.classes, source.test) == ((3, 4, 5), ["0", "1", "2"], None)


PAIRS = {
    "count": (np.zeros((3, 2, 2), "u1"), np.zeros(2, "u1"), "2 labels for 3 images"),
    "negative": (np.zeros((2, 2, 2), "u1"), np.array([0, -1], "i1"), r"label -1 of image 1 is not in 0\.\.0"),
    "huge": (
        np.zeros((2, 2, 2), "u1"),
        np.array([0, 2**31 - 1], "i4"),
        "label 2147483647 of image 1 is not in",
    ),
    "no images": (np.zeros((0, 2, 2), "u1"), np.zeros(0, "u1"), "the data set is empty"),
    "no pixels": (np.zeros((2, 0, 2), "u1"), np.zeros(2, "u1"), "the data set is empty"),
    "flat": (np.zeros((3, 4), "u1"), np.zeros(3, "u1"), "no uint8 images"),
    "type": (np.zeros((3, 4, 4), "i4"), np.zeros(3, "u1"), "int32 of shape .* are no uint8 images"),
    "channels": (np.zeros((3, 4, 4, 2), "u1"), np.zeros(3, "u1"), "no uint8 images"),
    "labels": (np.zeros((3, 4, 4), "u1"), np.zeros(3, "f4"), "no labels"),
    "label rank": (np.zeros((3, 4, 4), "u1"), np.zeros((3, 1), "u1"), "no labels"),
}


@pytest.mark.parametrize(("images", "labels", "what"), PAIRS.values(), ids=PAIRS)
def test_pairs_that_do_not_fit_are_refused(tmp_path, images, labels, what):
    path = FILES.write_idx(tmp_path / "a-images", images)
    FILES.write_idx(tmp_path / "a-labels", labels)
    with pytest.raises(FormatError, match=what):
        load(path)


def test_a_pair_without_labels_names_the_file(tmp_path):
    path = FILES.write_idx(tmp_path / "a-images-idx3-ubyte", np.zeros((1, 2, 2), "u1"))
    with pytest.raises(FormatError, match=r"its labels, a-labels-idx1-ubyte\(\.gz\), are not beside it"):
        load(path)


def test_a_test_label_that_training_lacks_is_refused(tmp_path):
    FILES.write_mnist(tmp_path, train=3, test=5)
    with pytest.raises(FormatError, match=r"label 3 of image 3 is not in 0\.\.2"):
        load(tmp_path)


def test_mnist_labels_are_checked(tmp_path):
    FILES.write_mnist(tmp_path)
    FILES.write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.array([0, 1, 2, 10, 4, 5], "u1"))
    with pytest.raises(FormatError, match=r"label 10 of image 3 is not in 0\.\.9") as caught:
        load("mnist", tmp_path)
    assert caught.value.offset == 11


def test_a_folder_of_class_folders_gives_its_images(tmp_path):
    FILES.write_folders(tmp_path, {"b": 3, "a": 2})
    source = load(tmp_path)
    assert (source.classes, source.image_shape, source.test) == (["a", "b"], (3, 6, 5), None)
    image, label = source.train[4]
    assert (image.size, image.mode, label) == ((5, 6), "RGB", 1)
    before = image.tobytes()
    image.putpixel((0, 0), (1, 2, 3))
    assert source.train[4][0].tobytes() == before


def test_train_and_test_folders_share_their_classes(tmp_path):
    FILES.write_folders(tmp_path / "train", {"a": 1, "b": 2, "c": 1}, mode="L")
    FILES.write_folders(tmp_path / "test", {"c": 1, "b": 1}, mode="L")
    source = load(tmp_path)
    assert source.image_shape == (1, 6, 5)
    assert source.test.targets.tolist() == [1, 2]
    FILES.write_folders(tmp_path / "test", {"z": 1})
    with pytest.raises(FormatError, match="0.png: 'z' is not one of the 3 classes"):
        load(tmp_path)


def test_images_of_many_sizes_are_brought_to_one(tmp_path):
    for i, size in enumerate([(10, 20), (30, 12), (14, 16)]):
        FILES.write_folders(tmp_path, {f"c{i}": 1}, size=size)
    source = load(tmp_path)
    assert source.image_shape == (3, 12, 12)
    assert {source.train[i][0].size for i in range(3)} == {(12, 12)}
    assert load(tmp_path, image_size=5).train[0][0].size == (5, 5)
    FILES.write_folders(tmp_path / "big", {"a": 1}, size=(300, 250))
    assert load(tmp_path / "big").image_shape == (3, 224, 224)


def test_a_damaged_image_in_a_folder_is_named(tmp_path):
    FILES.write_folders(tmp_path, {"a": 2})
    path = tmp_path / "a" / "1.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(FormatError) as caught:
        load(tmp_path)
    assert caught.value.path == str(path)


def test_statistics_are_those_of_the_chosen_images(tmp_path):
    FILES.write_cifar10(tmp_path)
    source = load("cifar10", tmp_path)
    pixels = source.train.data / 255
    assert source.mean == pytest.approx(pixels.mean(axis=(0, 1, 2)), rel=1e-12)
    assert source.std == pytest.approx(pixels.std(axis=(0, 1, 2)), rel=1e-12)
    mean, std = statistics(source.train, [3, 1])
    assert mean == pytest.approx(pixels[[1, 3]].mean(axis=(0, 1, 2)), rel=1e-12)
    assert std == pytest.approx(pixels[[1, 3]].std(axis=(0, 1, 2)), rel=1e-12)
    with pytest.raises(OptionError):
        statistics(source.train, [])


def test_statistics_of_a_folder_and_of_a_single_colour(tmp_path):
    FILES.write_folders(tmp_path, {"a": 3, "b": 2})
    source = load(tmp_path)
    pixels = np.stack([np.asarray(image) for image, _ in source.train]) / 255
    assert source.mean == pytest.approx(pixels.mean(axis=(0, 1, 2)))
    assert statistics(source.train.with_transform(transforms.ToTensor())) == (source.mean, source.std)
    (tmp_path / "flat" / "c").mkdir(parents=True)
    Image.new("L", (3, 3), 51).save(tmp_path / "flat" / "c" / "a.png")
    assert statistics(load(tmp_path / "flat").train) == (pytest.approx((0.2,)), (1.0,))


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    FILES.write_mnist(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first = load(tmp_path / "a").fingerprint
    assert load(tmp_path / "b").fingerprint == first
    FILES.write_idx(tmp_path / "b" / "train-labels-idx1-ubyte.gz", np.array([1, 0, 2, 3, 4, 5], "u1"))
    assert load(tmp_path / "b").fingerprint != first

    FILES.write_folders(tmp_path / "c", {"x": 2})
    shutil.copytree(tmp_path / "c", tmp_path / "d")
    first = load(tmp_path / "c").fingerprint
    assert load(tmp_path / "d").fingerprint == first
    (tmp_path / "d" / "x" / "0.png").write_bytes((tmp_path / "d" / "x" / "1.png").read_bytes())
    assert load(tmp_path / "d").fingerprint != first


def test_a_source_feeds_a_loader(tmp_path):
    FILES.write_folders(tmp_path, {"a": 5, "b": 6})
    source = load(tmp_path)
    chain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(source.mean, source.std)])
    train = Subset(source.train.with_transform(chain), [9, 1, 0, 7])

    def run(workers):
        return [x.array.tobytes() for x, _ in DataLoader(train, 3, shuffle=True, seed=1, num_workers=workers)]

    assert run(0) == run(2)


def test_real_mnist(shared_data):
    source = load("mnist", shared_data)
    assert (len(source.train), len(source.test)) == (60000, 10000)
    assert source.mean == pytest.approx((0.1307,), abs=5e-5)
    assert source.std == pytest.approx((0.3081,), abs=5e-5)
    assert np.bincount(source.test.targets).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]


def test_names_in_the_catalog_are_their_keys():
    assert [known.name for known in CATALOG.values()] == list(CATALOG)
    assert {
        name: len(known.classes) for name, known in CATALOG.items() if name != "cifar100"
    } == dict.fromkeys(["digits", "mnist", "fashion-mnist", "kmnist", "cifar10"], 10)


def test_pillow_is_imported_only_for_images():
    code = """
import json, sys
import minicnn.data, minicnn.data.sources, minicnn.datasets, minicnn.transforms as T
chain = T.Compose([T.RandomCrop(8, 1), T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize([0], [1])])
list(minicnn.data.DataLoader(minicnn.datasets.Digits(transform=chain), 500))
print(json.dumps(sorted({"PIL", "safetensors", "tomllib", "gzip"} & set(sys.modules))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
