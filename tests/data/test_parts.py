"""Which images are to learn from, to validate and to test: by the names of folders and files."""

import io
import os
import runpy
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from minicnn.data.records.base import labels_of_paths
from minicnn.data.sources import load
from minicnn.errors import FormatError

Image = pytest.importorskip("PIL.Image")

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "files.py")))


def shard(path, *names):
    """A tar file of grey images of those names, each with its class beside it if it lies in no folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for level, name in enumerate(names):
            buffer = io.BytesIO()
            Image.new("L", (5, 4), level).save(buffer, "png")
            files = {name: buffer.getvalue()}
            if "/" not in name:
                files[name.replace(".png", ".cls")] = str(level % 2).encode()
            for member, content in files.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


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
