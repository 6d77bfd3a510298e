"""Packing: any kind of source becomes the same arrays; what is bad is named, or left out and listed."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import runpy
import tarfile
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn.data.cache import cache_dir
from minicnn.data.pack import open_pack
from minicnn.data.packing import pack
from minicnn.data.pixel_file import PixelFile
from minicnn.data.records import FolderRecords, TarRecords
from minicnn.data.records.parts import labels_of_paths
from minicnn.data.records.tar import shards_of
from minicnn.data.sources import load
from minicnn.data.threads import ordered_in_threads
from minicnn.errors import FormatError, OptionError

Image = pytest.importorskip("PIL.Image")

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "files.py")))
write_tar = FILES.write_tar


def png(level, size=(5, 6)):
    """A grey image of one level."""
    buffer = io.BytesIO()
    Image.new("L", size, level).save(buffer, "png")
    return buffer.getvalue()


def half_a_jpeg():
    """With a whole header: the damage shows when the pack is begun."""
    noise = np.random.default_rng(0).integers(0, 256, (99, 99), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "jpeg")
    return buffer.getvalue()[: buffer.tell() // 2]


def packed(source, out, **options):
    pack([source], out, **options)
    return open_pack(out)


def content(parts):
    return {name: (part.pixels[:].tolist(), part.labels.tolist(), part.names) for name, part in parts.items()}


def test_a_folder_and_tars_of_it_become_the_same(tmp_path):
    FILES.write_folders(tmp_path / "d" / "train", {"b": 3, "a": 2})
    FILES.write_folders(tmp_path / "d" / "test", {"a": 1, "b": 1})
    FILES.write_folders(tmp_path / "d" / "val", {"a": 2})
    facts, parts = packed(FolderRecords(tmp_path / "d"), tmp_path / "folder")
    assert facts["counts"] == {"train": 5, "test": 2, "validation": 2}
    assert parts["train"].labels.tolist() == [0, 0, 1, 1, 1]
    for mode, ending in (("w", "tar"), ("w:gz", "tgz"), ("w:xz", "tar.xz"), ("w:bz2", "tar.bz2")):
        path = tmp_path / f"d.{ending}"
        with tarfile.open(path, mode) as tar:  # in reverse order, below folders of their own
            for file in sorted((tmp_path / "d").rglob("*.png"), reverse=True):
                tar.add(file, f"./some/where/{file.relative_to(tmp_path / 'd')}")
        _, others = packed(TarRecords(path), tmp_path / ending)
        for name, part in parts.items():
            assert others[name].pixels[:].tolist() == part.pixels[:].tolist()
            assert others[name].labels.tolist() == part.labels.tolist()
            assert (others[name].hashes == part.hashes).all()
    assert load(tmp_path / "d").fingerprint == load(tmp_path / "d.tgz").fingerprint


def test_pixels_are_those_of_the_files(tmp_path):
    FILES.write_folders(tmp_path / "d", {"a": 3, "b": 1})
    _, parts = packed(FolderRecords(tmp_path / "d"), tmp_path / "out")
    train = parts["train"]
    for index, name in enumerate(train.names):
        expected = np.asarray(Image.open(tmp_path / "d" / name))
        assert (np.asarray(train[index][0]) == expected).all()
        assert (train.pixels[index] == expected).all()
    assert (train.pixels[[2, 0]] == train.pixels[:][[2, 0]]).all()
    assert (train.pixels[-1] == train.pixels[3]).all()
    with pytest.raises(IndexError, match="out of range for 4"):
        train.pixels[4]
    again = pickle.loads(pickle.dumps(train.pixels))
    assert (again[:] == train.pixels[:]).all()


def test_webdataset_shards(tmp_path):
    for shard in range(2):
        files = {}
        for i in range(3):
            files[f"{shard}{i}.jpg"] = png(10 * shard + i)
            files[f"{shard}{i}.cls"] = str(5 * ((i + shard) % 3)).encode()
        write_tar(tmp_path / f"train-{shard:04}.tar", files)
    facts, parts = packed(TarRecords(tmp_path / "train-{0000..0001}.tar"), tmp_path / "out")
    assert facts["classes"] == [str(index) for index in range(11)]  # numbers in their order, also unused ones
    train = parts["train"]
    assert dict(zip(train.names, train.labels.tolist(), strict=True)) == {
        f"train-{s:04}.tar: {s}{i}.jpg": 5 * ((i + s) % 3) for s in range(2) for i in range(3)
    }
    assert load(tmp_path).fingerprint == load(tmp_path / "train-{0000..0001}.tar").fingerprint


def test_labels_in_json_and_by_name(tmp_path):
    files = {"0.png": png(1), "0.json": b'{"label": "cat", "author": "me"}', "1.json": b'{"label": "dog"}'}
    facts, _ = packed(TarRecords(write_tar(tmp_path / "a.tar", files | {"1.png": png(2)})), tmp_path / "out")
    assert facts["classes"] == ["cat", "dog"]
    beside = {"cat/0.png": png(1), "cat/0.json": b'{"author": "me"}', "dog/1.png": png(2), "notes.txt": b"x"}
    facts, _ = packed(TarRecords(write_tar(tmp_path / "b.tar", beside)), tmp_path / "out")
    assert facts["classes"] == ["cat", "dog"]
    assert facts["note"] == "left out, not png jpg jpeg webp gif bmp ppm pgm pbm: 1 .txt file(s)"


@pytest.mark.parametrize(
    "files, error, what",
    [
        ({"0.png": png(1), "0.cls": b"-1"}, FormatError, "0.cls: its label is -1, expected 0 to 65535"),
        ({"0.png": png(1), "0.cls": b"99999999"}, FormatError, "its label is 99999999"),
        ({"0.png": png(1), "0.cls": b" "}, FormatError, "0.cls: holds no class"),
        ({"0.png": png(1), "0.json": b"{"}, FormatError, "0.json: not JSON"),
        ({"0.png": png(1), "0.cls": b"1", "1.png": png(2)}, FormatError, "1.png: has no class beside it"),
        (
            {"0.png": png(1), "0.cls": b"1", "1.png": png(2), "1.cls": b"cat"},
            FormatError,
            "some classes are names and others are numbers",
        ),
        ({"0.png": png(1)}, FormatError, "0.png: lies in no class folder"),
        ({"notes.txt": b""}, FormatError, "no image in here"),
        ({"test/a/0.png": png(1), "train/b/0.png": png(2)}, FormatError, "'a' is not one of the 1 classes"),
        ({"more/a/0.png": png(1), "train/a/0.png": png(2)}, FormatError, "'more' beside 'train'"),
        ({"a/0.png": b""}, FormatError, r"a/0.png: an empty file"),
        ({"a/0.png": png(1)[:-22], "a/1.png": png(1)}, FormatError, "a/0.png: damaged"),
        ({"a/0.png": png(1), "a/1.png": half_a_jpeg()}, FormatError, "a/1.png: damaged"),
    ],
)
def test_bad_tars_say_what_is_wrong(tmp_path, files, error, what):
    path = write_tar(tmp_path / "a.tar", files)
    with pytest.raises(error, match=what) as caught:
        pack([TarRecords(path)], tmp_path / "out")
    assert "a.tar" in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["a.tar"]  # nothing is half written


@pytest.mark.parametrize("ending, mode", [("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz")])
def test_a_cut_tar_is_named(tmp_path, ending, mode):
    path = write_tar(tmp_path / f"a.{ending}", {f"a/{i}.png": os.urandom(4000) for i in range(9)}, mode)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(FormatError, match=f"a.{ending}: damaged or cut off"):
        list(TarRecords(path))


@pytest.mark.parametrize("place", ["at a header", "in a header", "a bit of a header", "before the end mark"])
def test_a_tar_with_a_damaged_header_is_named(tmp_path, place):
    path = write_tar(tmp_path / "a.tar", {f"a/{i}.png": os.urandom(4000) for i in range(9)})
    content = bytearray(path.read_bytes())
    fourth, end = 3 * (512 + 4096), 9 * (512 + 4096)
    assert content[fourth : fourth + 7] == b"a/3.png" and not any(content[end:])
    if place == "a bit of a header":
        content[fourth + 100] ^= 1
    else:
        cuts = {"at a header": fourth, "in a header": fourth + 100, "before the end mark": end}
        del content[cuts[place] :]
    path.write_bytes(content)
    with pytest.raises(FormatError, match="a.tar: damaged or cut off"):
        list(TarRecords(path))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_may_be_compressed_in_several_streams(tmp_path, compress):
    """As pbzip2 and bgzip write it; the ending need not say how."""
    content = write_tar(tmp_path / "a.tar", {f"a/{i}.png": png(i) for i in range(9)}).read_bytes()
    (tmp_path / "b.tar").write_bytes(compress(content[:5000]) + compress(content[5000:]))
    assert [one.name for one in TarRecords(tmp_path / "b.tar")] == [f"a/{i}.png" for i in range(9)]


@pytest.mark.parametrize("place", ["a pixel", "the checksum"])
def test_the_checksum_of_a_compressed_tar_is_compared(tmp_path, place):
    pixels = b"P5 40 40 255 " + bytes(1600)
    content = write_tar(tmp_path / "a.tar", {"a/0.pgm": pixels}).read_bytes()
    stored = bytearray(gzip.compress(content, compresslevel=0))
    where = stored.index(b"P5 40 40") + 500 if place == "a pixel" else len(stored) - 8
    stored[where] ^= 1
    (tmp_path / "a.tar.gz").write_bytes(stored)
    with pytest.raises(FormatError, match="a.tar.gz: damaged or cut off: CRC check failed"):
        list(TarRecords(tmp_path / "a.tar.gz"))


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_name_that_would_fill_the_memory_is_refused(tmp_path, format):
    name = "a/" + "x" * (2 << 20) + ".png"
    with tarfile.open(tmp_path / "a.tar", "w", format=format) as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(FormatError, match="a.tar: damaged or cut off: .* bytes to describe a file"):
        list(TarRecords(tmp_path / "a.tar"))


def test_indices_count_the_classes_that_are_given(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"0.png": png(0), "0.cls": b"1", "1.png": png(1), "1.cls": b"0"})
    source = load(path, classes=["cat", "dog"])
    assert (source.classes, source.train.names) == (["cat", "dog"], ["1.png", "0.png"])
    assert load(path, classes=["1", "0"]).train.names == ["0.png", "1.png"]  # these are their names
    with pytest.raises(FormatError, match="1 is not one of the 1 classes"):
        load(path, classes=["cat"])


def test_bad_images_are_left_out_and_listed(tmp_path):
    FILES.write_folders(tmp_path / "d", {"a": 3, "b": 3})
    (tmp_path / "d" / "a" / "empty.png").touch()
    Image.open(tmp_path / "d" / "a" / "1.png").resize((99, 99)).save(tmp_path / "d" / "a" / "1.jpg")
    (tmp_path / "d" / "a" / "1.png").unlink()
    whole = (tmp_path / "d" / "a" / "1.jpg").read_bytes()
    (tmp_path / "d" / "a" / "1.jpg").write_bytes(whole[: len(whole) // 2])  # its header is whole
    with pytest.raises(FormatError, match=r"empty.png"):
        load(tmp_path / "d")
    source = load(tmp_path / "d", skip_bad=True)
    assert [name for name, _ in source.skipped] == ["a/1.jpg", "a/empty.png"]
    assert all(reason for _, reason in source.skipped)
    assert source.train.names == ["a/0.png", "a/2.png", "b/0.png", "b/1.png", "b/2.png"]
    assert source.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert (source.train.pixels[1] == np.asarray(Image.open(tmp_path / "d" / "a" / "2.png"))).all()
    with pytest.raises(FormatError, match="empty.png"):  # what was packed without them is no excuse
        load(tmp_path / "d")
    for name in ("0.png", "2.png"):
        (tmp_path / "d" / "a" / name).write_bytes(b"no image")
    with pytest.raises(FormatError, match="no image of class 'a' can be read"):
        load(tmp_path / "d", skip_bad=True)


def test_the_cache_serves_until_a_file_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    FILES.write_folders(tmp_path / "d", {"a": 2})
    told = []
    monkeypatch.setattr("minicnn.data.cache.pack", lambda *a, **k: told.append(1) or pack(*a, **k))
    first = load(tmp_path / "d").fingerprint
    assert (load(tmp_path / "d").fingerprint, len(told)) == (first, 1)
    (tmp_path / "d" / "a" / "1.png").write_bytes(png(7))
    assert load(tmp_path / "d").fingerprint != first
    assert len(told) == 2
    (one,) = (cache_dir() / "packs").iterdir()
    (one / "pack.json").write_text("{")  # damaged: made again
    load(tmp_path / "d")
    assert len(told) == 3


def test_a_pack_is_checked_when_it_is_opened(tmp_path):
    FILES.write_folders(tmp_path / "d", {"a": 3})
    out = tmp_path / "out"
    packed(FolderRecords(tmp_path / "d"), out)
    assert load(out).fingerprint == load(tmp_path / "d").fingerprint
    images = (out / "train-images.npy").read_bytes()
    (out / "train-images.npy").write_bytes(images[:-1])
    with pytest.raises(FormatError, match="train-images.npy: cut off"):
        load(out)
    np.save(out / "train-images.npy", np.zeros((3, 6, 5), np.float32))
    with pytest.raises(FormatError, match="float32 .3, 6, 5., not images of bytes"):
        load(out)
    (out / "train-images.npy").write_bytes(images)
    np.save(out / "train-labels.npy", np.array([0, 0, 1]))
    with pytest.raises(FormatError, match="train-labels.npy: damaged"):
        load(out)
    facts = json.loads((out / "pack.json").read_text())
    (out / "pack.json").write_text(json.dumps(facts | {"version": 2}))
    with pytest.raises(FormatError, match="version 2, this minicnn reads version 1"):
        load(out)


def test_pixels_are_read_by_many_threads_at_once(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    pixels = np.random.default_rng(0).integers(0, 256, (50, 7, 9, 3), np.uint8)
    np.save(tmp_path / "p.npy", pixels)
    file = PixelFile(tmp_path / "p.npy")
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda i: (file[i % 50] == pixels[i % 50]).all(), range(2000)))


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    FILES.write_folders(tmp_path / "d", {"a": 3})
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=100))
    with pytest.raises(OSError, match="3 packed images take 0 MiB, free are 0; MINICNN_CACHE"):
        pack([FolderRecords(tmp_path / "d")], tmp_path / "out")
    assert os.listdir(tmp_path) == ["d"]


def test_links_names_and_hidden_files(tmp_path):
    FILES.write_folders(tmp_path / "d", {"a": 1, "猫 und Hund": 2})
    (tmp_path / "d" / "a" / ".hidden.png").write_bytes(b"")
    os.symlink(tmp_path / "d", tmp_path / "d" / "a" / "loop")
    source = load(tmp_path / "d")
    assert (source.classes, source.train.names[1]) == (["a", "猫 und Hund"], "猫 und Hund/0.png")


def test_class_folders_are_found_below_what_all_have_in_common():
    assert labels_of_paths(["x/y/a/1.png", "x/y/a/deep/er/2.png", "x/y/b/3.png"], str) == [
        ("train", "a"),
        ("train", "a"),
        ("train", "b"),
    ]
    assert labels_of_paths(["train/a/1.png", "train/a/2.png"], str) == [("train", "a")] * 2
    assert labels_of_paths(["train/x/a/1.png", "val/x/b/2.png"], str) == [("train", "a"), ("validation", "b")]
    assert labels_of_paths(["train/train/a/1.png", "test/test/a/2.png"], str) == [
        ("train", "a"),
        ("test", "a"),
    ]
    assert labels_of_paths(["train/train/1.png", "train/bus/2.png"], str) == [
        ("train", "train"),
        ("train", "bus"),
    ]
    assert labels_of_paths(["a/1.png"], str) == [("train", "a")]


def test_braces_name_shards():
    assert shards_of("a-{08..10}-{0..1}.tar") == [f"a-{i:02}-{j}.tar" for i in (8, 9, 10) for j in (0, 1)]


def test_what_stands_in_the_place_of_a_pack_is_not_lost(tmp_path):
    source = FILES.write_folders(tmp_path / "photos", {"a": 2, "b": 2})
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("all of it")
    file = tmp_path / "file"
    file.write_text("a file")
    for out in (precious, source, tmp_path, file):
        with pytest.raises(OptionError, match="where nothing is, or a pack to replace"):
            pack([FolderRecords(source)], out)
    assert (precious / "thesis.txt").read_text() == "all of it"
    assert file.read_text() == "a file"
    assert len(list(source.rglob("*.png"))) == 4
    empty = tmp_path / "empty"
    empty.mkdir()
    for _ in range(2):  # into an empty folder, and over a pack
        pack([FolderRecords(source)], empty)
    assert len(open_pack(empty)[1]["train"]) == 4


def test_a_mask_chooses_images_of_a_pack(tmp_path):
    source = FILES.write_folders(tmp_path / "photos", {"a": 3, "b": 2})
    pack([FolderRecords(source)], tmp_path / "out")
    images = open_pack(tmp_path / "out")[1]["train"]
    whole = images.pixels[:]
    np.testing.assert_array_equal(images.pixels[images.labels == 1], whole[3:])
    with pytest.raises(IndexError, match="a mask of shape"):
        images.pixels[np.array([True, False])]


def test_all_processors_decode(tmp_path, monkeypatch):
    FILES.write_folders(tmp_path / "d", {"cat": 2})
    asked = []

    def recorded(*words, workers, **options):
        asked.append(workers)
        return ordered_in_threads(*words, workers=workers, **options)

    monkeypatch.setattr("minicnn.data.packing.ordered_in_threads", recorded)
    monkeypatch.setattr("minicnn.data.packing.processors", lambda: 7, raising=False)
    packed(FolderRecords(tmp_path / "d"), tmp_path / "p")
    packed(FolderRecords(tmp_path / "d"), tmp_path / "p", workers=3)
    assert asked == [7, 3]


@pytest.mark.parametrize("name", ["cat/{}.png", "cat/cat.{}.jpg", "cat/a.cls", "cat/a.json"])
def test_a_tar_is_read_without_memory_for_the_members_before(tmp_path, name):
    def peak(count):
        names = [name.format(number) for number in range(count)]
        images = {name if name.endswith("g") else f"cat/a.{i}.png": b"-" for i, name in enumerate(names)}
        labels = {} if name.endswith("g") else {name: b"{}"}
        path = write_tar(tmp_path / f"{count}.tar", labels | images)
        tracemalloc.start()
        assert sum(1 for _ in TarRecords(path)) == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(2000) < peak(200) + 100_000
