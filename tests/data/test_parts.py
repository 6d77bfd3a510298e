"""Which images are to learn from, to validate and to test: by the names of folders and files."""

import io
import os
import runpy
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from minicnn.data.records.parts import labels_of_paths, part_of
from minicnn.data.sources import load
from minicnn.errors import FormatError

Image = pytest.importorskip("PIL.Image")

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "files.py")))


def shard(path, *names):
    """A tar file of grey images of those names, each with its class beside it if it lies in no folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = {}
    for level, name in enumerate(names):
        buffer = io.BytesIO()
        Image.new("L", (5, 4), level).save(buffer, "png")
        files[name] = buffer.getvalue()
        if "/" not in name:
            files[name.replace(".png", ".cls")] = str(level % 2).encode()
    return FILES.write_tar(path, files)


def sizes(source):
    parts = {"train": source.train, "validation": source.validation, "test": source.test}
    return {name: len(images) for name, images in parts.items() if images is not None}


@pytest.mark.parametrize(
    "names",
    [
        ("train-0.tar", "train-1.tar", "val-0.tar", "test-0.tar"),
        ("pets-train-0.tar", "pets-train-1.tar", "pets-valid-0.tar", "pets-test-0.tar"),
        ("Training_0.tar", "Training_1.tar", "dev_0.tar", "Testing_0.tar"),
        ("train/0.tar", "train/1.tar", "validation/0.tar", "eval/0.tar"),
        ("0.tar", "1.tar", "val.tar", "test.tar"),
    ],
)
def test_shards_in_a_folder_are_parts_by_their_names(tmp_path, names):
    for name, count in zip(names, (2, 3, 4, 2), strict=True):
        shard(tmp_path / name, *(f"{i}.png" for i in range(count)))
    assert sizes(load(tmp_path)) == {"train": 5, "validation": 4, "test": 2}


def test_tars_of_the_folders_of_a_data_set(tmp_path):
    shard(tmp_path / "train.tar", "train/a/0.png", "train/b/1.png")
    shard(tmp_path / "test.tar", "test/a/0.png")
    source = load(tmp_path)
    assert (source.classes, sizes(source)) == (["a", "b"], {"train": 2, "test": 1})
    shard(tmp_path / "one" / "train.tar", "train/a/0.png", "train/b/1.png", "test/b/2.png")
    assert sizes(load(tmp_path / "one")) == {"train": 2, "test": 1}  # what is called test stays so
    assert sizes(load(tmp_path / "one" / "train.tar")) == {"train": 2, "test": 1}


def test_folders_in_a_tar_with_classes_beside_are_parts(tmp_path):
    path = tmp_path / "a.tar"
    shard(path, "train/a/0.png", "test/a/1.png")
    labelled = tmp_path / "b.tar"
    with tarfile.open(path) as tar, tarfile.open(labelled, "w") as out:
        for member in tar:
            member.name = member.name.replace("/a/", "/")
            out.addfile(member, tar.extractfile(member))
            info = tarfile.TarInfo(member.name.replace(".png", ".cls"))
            info.size = 1
            out.addfile(info, io.BytesIO(b"0"))
    assert sizes(load(labelled)) == {"train": 1, "test": 1}


def test_braces_name_a_part_too(tmp_path):
    for i in range(2):
        shard(tmp_path / f"train-{i:02}.tar", "0.png", "1.png")
        shard(tmp_path / f"test-{i:02}.tar", "0.png", "1.png")
    assert sizes(load(tmp_path / "train-{00..01}.tar")) == {"train": 4}
    with pytest.raises(FormatError, match=r"test-\{00..01\}.tar: no images to train on: .* all are for test"):
        load(tmp_path / "test-{00..01}.tar")


def test_nothing_but_a_test_part_is_refused(tmp_path):
    shard(tmp_path / "shards" / "test-0000.tar", "0.png", "1.png")
    FILES.write_folders(tmp_path / "folder" / "test", {"a": 2, "b": 2})
    FILES.write_folders(tmp_path / "both" / "test", {"a": 1})
    FILES.write_folders(tmp_path / "both" / "dev", {"a": 1})
    shard(tmp_path / "a.tar", "set/test/a/0.png", "set/test/b/0.png")
    for name, parts in (
        ("shards", "test"),
        ("folder", "test"),
        ("both", "test and validation"),
        ("a.tar", "test"),
    ):
        with pytest.raises(FormatError, match=f"{name}.*no images to train on: .* all are for {parts}"):
            load(tmp_path / name)


def test_files_that_would_hide_class_folders_are_refused(tmp_path):
    FILES.write_folders(tmp_path / "d", {"cat": 2, "dog": 2})
    stray = shard(tmp_path / "d" / "old.tar", "0.png")
    with pytest.raises(FormatError, match=f"d: holds old.tar and {os.path.join('cat', '0.png')}"):
        load(tmp_path / "d")
    stray.rename(tmp_path / "d" / "rows.parquet")
    with pytest.raises(FormatError, match=f"d: holds rows.parquet and {os.path.join('cat', '0.png')}"):
        load(tmp_path / "d")
    shard(tmp_path / "e" / "0.tar", "0.png", "1.png")
    (tmp_path / "e" / "preview.png").write_bytes(b"")  # in no class folder
    FILES.write_folders(tmp_path / "e", {"pictures": 2})  # no two classes
    assert sizes(load(tmp_path / "e")) == {"train": 2}


@pytest.mark.parametrize(
    "train, validation, test",
    [
        ("Training", "valid", "Testing"),
        ("TRAIN", "VAL", "TEST"),
        ("train", "dev", "eval"),
        ("training", "Validation", "evaluation"),
    ],
)
def test_the_usual_names_of_parts_are_known(tmp_path, train, validation, test):
    for part, count in ((train, 3), (validation, 2), (test, 1)):
        FILES.write_folders(tmp_path / "d" / part, {"a": count, "b": count})
    source = load(tmp_path / "d")
    assert (source.classes, sizes(source)) == (["a", "b"], {"train": 6, "validation": 4, "test": 2})
    with tarfile.open(tmp_path / "d.tar", "w") as tar:
        tar.add(tmp_path / "d", "some/where")
    assert load(tmp_path / "d.tar").fingerprint == source.fingerprint


@pytest.mark.parametrize("full, empty", [("train", "test"), ("test", "train"), ("Train", "val")])
def test_a_part_of_empty_class_folders_is_named(tmp_path, full, empty):
    FILES.write_folders(tmp_path / full, {"a": 2, "b": 2})
    for name in ("a", "b"):
        (tmp_path / empty / name).mkdir(parents=True)
    with pytest.raises(FormatError, match="no image .* in this folder") as caught:
        load(tmp_path)
    assert caught.value.path.startswith(str(tmp_path / empty))


def test_an_empty_part_is_named(tmp_path):
    FILES.write_folders(tmp_path / "train", {"a": 2, "b": 2})
    (tmp_path / "test").mkdir()
    with pytest.raises(FormatError, match="no image .* in this folder") as caught:
        load(tmp_path)
    assert caught.value.path == str(tmp_path / "test")


def test_classes_may_be_called_as_parts_are(tmp_path):
    FILES.write_folders(tmp_path, {"test": 2, "dev": 3})
    assert load(tmp_path).classes == ["dev", "test"]
    FILES.write_folders(tmp_path, {"cat/young": 1, "test/old": 1})
    assert load(tmp_path).classes == ["cat", "dev", "test"]
    assert labels_of_paths(["test/a/1.png", "cat/a/2.png"], str) == [("train", "test"), ("train", "cat")]


@pytest.mark.parametrize(
    "name, part",
    [
        ("training_set", "train"),
        ("training data", "train"),
        ("Test", "test"),
        ("TestSet.tar", "test"),
        ("CIFARTrain", "train"),
        ("VAL2017", "validation"),
        ("digits-tst-0.tar", "test"),
        ("testset", None),
        ("contest", None),
        ("trainval", None),
        ("train_test", None),
    ],
)
def test_words_of_a_name_say_the_part(name, part):
    assert part_of(name) == part


@pytest.mark.parametrize(
    "train, test",
    [
        ("train_set", "test_set"),
        ("training data", "Test"),
        ("training_set/training_set", "test_set/test_set"),
    ],
)
def test_folders_shards_and_tars_have_the_same_words(tmp_path, train, test):
    for part in (train, test):
        FILES.write_folders(tmp_path / "d" / part, {"cats": 2, "dogs": 1}, mode="L")
        shard(tmp_path / "shards" / part / "0.tar", "0.png", "1.png", "2.png")
    with tarfile.open(tmp_path / "d.tar", "w") as tar:
        tar.add(tmp_path / "d", ".")
    assert load(tmp_path / "d").classes == load(tmp_path / "d.tar").classes == ["cats", "dogs"]
    for name in ("d", "d.tar", "shards"):
        assert sizes(load(tmp_path / name)) == {"train": 3, "test": 3}


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "test"),
        ("train", "test", "sample"),
        ("Training Images", "dev"),
        ("train", "valid/a"),
        ("trainset/a", "testset/a"),
        ("traindata", "TestData"),
    ],
)
def test_parts_are_not_taken_for_classes(tmp_path, folders):
    FILES.write_folders(tmp_path / "d", dict.fromkeys(folders, 2))
    with tarfile.open(tmp_path / "d.tar", "w") as tar:
        tar.add(tmp_path / "d", ".")
    for name in ("d", "d.tar"):
        with pytest.raises(
            FormatError, match=r"look like parts .* expected class folders .* train/CLASS/FILE"
        ):
            load(tmp_path / name)


def test_classes_may_resemble_parts():
    names = ["bullet_train/1.png", "valley/1.png", "bus/1.png"]
    assert [name for _, name in labels_of_paths(names, str)] == ["bullet_train", "valley", "bus"]


@pytest.mark.parametrize(
    "names, odd",
    [
        (("trainset-0.tar", "testset-0.tar"), "testset-0.tar"),
        (("traindata/0.tar", "testdata/0.tar"), "testdata/0.tar"),
        (("train-0.tar", "testset.tar", "val.tar"), "testset.tar"),
        (("train-0.tar", "heldout-0.tar"), "heldout-0.tar"),
        (("0.tar", "myeval.tar"), "myeval.tar"),
        (("0.tar", "train-test.tar"), "train-test.tar"),
    ],
)
def test_shards_that_may_not_be_to_train_on_are_named(tmp_path, names, odd):
    for name in names:
        shard(tmp_path / name, "0.png", "1.png")
    with pytest.raises(
        FormatError, match=r"to train on, .* not say it; these words are understood: train"
    ) as e:
        load(tmp_path)
    assert e.value.path == str(tmp_path / odd)


@pytest.mark.parametrize("names", [("carnival-0.tar", "carnival-1.tar"), ("trainset-0.tar", "train-1.tar")])
def test_shards_that_are_alike_are_to_train_on(tmp_path, names):
    for name in names:
        shard(tmp_path / name, "0.png", "1.png")
    assert sizes(load(tmp_path)) == {"train": 4}


def test_the_note_says_how_many_files_are_for_each_part(tmp_path):
    for name in ("CIFARTrain-0.tar", "CIFARTrain-1.tar", "CIFARTest.tar"):
        shard(tmp_path / name, "0.png", "1.png")
    source = load(tmp_path)
    assert source.note == "train: 2 files; test: 1 file"
    assert sizes(source) == {"train": 4, "test": 2}
    assert load(tmp_path / "CIFARTest.tar").note == ""


def inside(path, folder, *, labelled=True):
    """A shard of four images in that folder, with classes beside them, or in class folders a and b."""
    FILES.write_folders(path.parent / "new", {"a": 2, "b": 2}, mode="L")
    with tarfile.open(path, "w") as tar:
        for name in ("a", "b"):
            for i in range(2):
                to = f"{folder}/{name}{i}" if labelled else f"{folder}/{name}/{i}"
                tar.add(path.parent / "new" / name / f"{i}.png", f"{to}.png")
                if labelled:
                    info = tarfile.TarInfo(f"{to}.cls")
                    info.size = 1
                    tar.addfile(info, io.BytesIO(name.encode()))
    shutil.rmtree(path.parent / "new")


@pytest.mark.parametrize("labelled", [True, False])
def test_folders_that_all_members_share_do_not_overrule_the_name_of_a_shard(tmp_path, labelled):
    inside(tmp_path / "train-0.tar", "home/dev/x", labelled=labelled)
    inside(tmp_path / "test-0.tar", "val", labelled=labelled)
    source = load(tmp_path)
    assert (source.classes, sizes(source)) == (["a", "b"], {"train": 4, "test": 4})


def test_a_folder_in_one_of_the_shards_is_no_part(tmp_path):
    inside(tmp_path / "train-0.tar", ".")
    inside(tmp_path / "train-1.tar", "data/eval")
    assert sizes(load(tmp_path)) == {"train": 8}


def test_a_folder_is_what_a_tar_of_it_is(tmp_path):
    for part in ("train", "val"):
        FILES.write_folders(tmp_path / "d" / "data" / part / "images", {"cats": 2, "dogs": 1})
    with tarfile.open(tmp_path / "d.tar", "w") as tar:
        tar.add(tmp_path / "d", ".")
    for source in (load(tmp_path / "d"), load(tmp_path / "d.tar")):
        assert (source.classes, sizes(source)) == (["cats", "dogs"], {"train": 3, "validation": 3})
    (tmp_path / "d" / "data" / "test").mkdir()
    with pytest.raises(FormatError, match=r"no image .* in this folder") as caught:
        load(tmp_path / "d")
    assert caught.value.path == str(tmp_path / "d" / "data" / "test")


def test_a_layout_that_works_is_shown(tmp_path):
    FILES.write_folders(tmp_path, {"train/a": 2, "train/b": 2, "test": 1})
    with pytest.raises(FormatError, match=r"test/0.png: lies in no class folder; expected test/CLASS/0.png"):
        load(tmp_path)
    (tmp_path / "0.png").write_bytes((tmp_path / "test" / "0.png").read_bytes())
    with pytest.raises(FormatError, match=r"0.png: lies in no folder: what is beside 'train' is neither"):
        load(tmp_path)
