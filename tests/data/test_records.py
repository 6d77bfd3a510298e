"""Links, hidden files, odd names, and members that cannot be used: followed, left out, or named."""

import errno
import io
import itertools
import json
import os
import runpy
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from minicnn.cli.main import exit_code
from minicnn.data.catalog import CATALOG
from minicnn.data.formats.images import decode_to
from minicnn.data.pack import open_pack
from minicnn.data.packing import pack
from minicnn.data.records import FolderRecords, TarRecords
from minicnn.data.sources import load
from minicnn.errors import FormatError

Image = pytest.importorskip("PIL.Image")

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "files.py")))


def png(level):
    buffer = io.BytesIO()
    Image.new("L", (5, 6), level).save(buffer, "png")
    return buffer.getvalue()


write_tar = FILES.write_tar


# -- links ------------------------------------------------------------------------------------------


def test_class_folders_may_be_links(tmp_path):
    FILES.write_folders(tmp_path / "pool", {"1": 2, "2": 3})
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "cat").symlink_to(tmp_path / "pool" / "1")
    (tmp_path / "d" / "dog").symlink_to(tmp_path / "pool" / "2")
    source = load(tmp_path / "d")
    assert (source.classes, source.train.labels.tolist()) == (["cat", "dog"], [0, 0, 1, 1, 1])


def test_links_in_circles_are_left_out(tmp_path):
    FILES.write_folders(tmp_path / "d", {"a": 2, "b": 2})
    (tmp_path / "d" / "all").symlink_to(tmp_path / "d")
    (tmp_path / "d" / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "d" / "b" / "self").symlink_to(tmp_path / "d" / "b")
    assert len(load(tmp_path / "d").train) == 4


def test_folders_that_links_lead_to_twice_are_named(tmp_path):
    FILES.write_folders(tmp_path / "d", {"a": 2, "b": 2})
    (tmp_path / "d" / "b" / "others").symlink_to(tmp_path / "d" / "a")
    with pytest.raises(FormatError, match=r"the same folder as .*: its files would count twice"):
        load(tmp_path / "d")


def test_links_in_a_tar_are_counted(tmp_path):
    path = write_tar(tmp_path / "a.tar", {f"{name}/{i}.png": png(i) for name in "ab" for i in range(2)})
    with tarfile.open(path, "a") as tar:
        for name, kind in (
            ("a/hard.png", tarfile.LNKTYPE),
            ("a/soft.png", tarfile.SYMTYPE),
            ("c", tarfile.SYMTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a/0.png"
            tar.addfile(member)
    source = load(path)
    assert (len(source.train), source.note) == (4, "left out: 3 links")


def test_a_tar_of_nothing_but_links_says_so(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("a/soft.png")
        member.type, member.linkname = tarfile.SYMTYPE, "../elsewhere.png"
        tar.addfile(member)
    with pytest.raises(FormatError, match="no image in here; left out: 1 link$"):
        load(tmp_path / "a.tar")


def test_hidden_folders_are_left_out_of_folders_and_tars_alike(tmp_path):
    FILES.write_folders(tmp_path / "d", {"a": 2, "b": 2})
    FILES.write_folders(tmp_path / "d", {".git": 1, "__MACOSX/a": 1, "a/.thumbs": 1, "b/__MACOSX": 1})
    with tarfile.open(tmp_path / "d.tar", "w") as tar:
        tar.add(tmp_path / "d", ".")
    folder, stream = load(tmp_path / "d"), load(tmp_path / "d.tar")
    assert folder.train.names == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    assert folder.fingerprint == stream.fingerprint


# -- members that cannot be used ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad, what",
    [
        ({"1.png": png(1), "1.json": b"{"}, "1.json: not JSON"),
        ({"1.png": png(1), "1.json": b'{"label": 1.5}'}, "1.json: its label is 1.5"),
        ({"1.png": png(1), "1.json": b"[" * 50_000}, "1.json: not JSON"),
        ({"1.png": png(1), "1.cls": b" "}, "1.cls: holds no class"),
        ({"1.png": png(1), "1.cls": b"-1"}, "1.cls: its label is -1, expected 0 to 65535"),
        ({"1.png": png(1), "1.cls": b"70000"}, "1.cls: its label is 70000"),
        ({"1.png": png(1), "1.cls": b"9" * 5000}, "1.cls: its label is 999"),
        ({"1.png": png(1) + bytes(100_000), "1.cls": b"0"}, "1.png: .* bytes, more than an image has"),
    ],
)
def test_members_that_cannot_be_used_are_named_or_left_out(tmp_path, monkeypatch, bad, what):
    monkeypatch.setattr("minicnn.data.records.tar._MAX_BYTES", 90_000)
    good = {"0.png": png(0), "0.cls": b"0", "2.png": png(2), "2.cls": b"0"}
    path = write_tar(tmp_path / "a.tar", good | bad)
    with pytest.raises(FormatError, match=what) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: 1.")
    source = load(path, skip_bad=True)
    ((name, reason),) = source.skipped
    assert name == "1.png" and reason and source.train.names == ["0.png", "2.png"]


def test_endings_of_labels_may_be_capitals(tmp_path):
    files = {"a/0.PNG": png(0), "a/0.CLS": b"1", "b/1.PNG": png(1), "b/1.CLS": b"0"}
    source = load(write_tar(tmp_path / "a.tar", files))
    assert (source.classes, source.train.names) == (["0", "1"], ["b/1.PNG", "a/0.PNG"])


def test_what_an_archive_was_updated_with_counts(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"a/0.png": png(0), "a/1.png": png(1), "b/0.png": png(2)})
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("a/0.png")
        member.size = len(png(9))
        tar.addfile(member, io.BytesIO(png(9)))
    source = load(path)
    assert source.train.names == ["a/0.png", "a/1.png", "b/0.png"]
    assert source.train.pixels[:][:, 0, 0].tolist() == [9, 1, 2]


def test_a_class_that_an_update_took_away_is_not_missed(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"0.png": png(0), "0.cls": b"cat", "1.png": png(1), "1.cls": b"dog"})
    with tarfile.open(path, "a") as tar:
        for name, content in {"1.png": png(1), "1.cls": b"cat"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert load(path).classes == ["cat"]


def test_a_sample_has_several_images_and_no_more_than_that(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"0.left.png": png(0), "0.right.png": png(1), "0.cls": b"3"})
    assert load(path).train.labels.tolist() == [3, 3]
    numbered = {f"cat/cat.{i}.png": png(i) for i in range(40)}
    assert len(load(write_tar(path, numbered)).train) == 40
    with pytest.raises(
        FormatError, match="a.tar: cat/cat.cls: stands behind more than 16 images of its name"
    ):
        load(write_tar(path, numbered | {"cat/cat.cls": b"1"}))
    first = load(write_tar(path, {"cat/cat.cls": b"1"} | numbered))
    assert first.train.labels.tolist() == [1] * 40


def test_labels_of_no_image_are_noted(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"0.png": png(0), "0.cls": b"0", "1.cls": b"0"})
    assert load(path).note.endswith(": 1 .cls file(s)")


@pytest.mark.parametrize("name", ["a.tar", "a/0.png"])
def test_a_disk_that_fails_is_no_damaged_file(tmp_path, monkeypatch, name):
    """Left out as damaged, its images would be missing without a word."""

    class Failing(io.BytesIO):
        def read(self, count=-1):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    for module in ("tar", "folder"):
        monkeypatch.setattr(f"minicnn.data.records.{module}.opened", lambda path: Failing(b"x"))
    with pytest.raises(OSError, match="Input/output error") as caught:
        load(path if name == "a.tar" else tmp_path, skip_bad=True)
    assert (caught.value.filename, exit_code(caught.value)) == (str(path), 5)


def test_errors_and_lists_name_the_shard(tmp_path):
    for shard in range(2):
        write_tar(tmp_path / f"train-{shard:02}.tar", {"0.png": png(0), "0.cls": b"1"})
    write_tar(tmp_path / "train-01.tar", {"0.png": b"bad", "0.cls": b"0", "1.png": png(1), "1.cls": b"0"})
    for path in (tmp_path, tmp_path / "train-{00..01}.tar"):
        with pytest.raises(FormatError) as caught:
            load(path)
        assert str(caught.value).startswith(f"{tmp_path / 'train-01.tar'}: 0.png: not an image")
        source = load(path, skip_bad=True)
        assert [name for name, _ in source.skipped] == ["train-01.tar: 0.png"]
        assert source.train.names == ["train-01.tar: 1.png", "train-00.tar: 0.png"]


def test_real_photographs_are_read_from_their_archive(shared_data):
    records = TarRecords(shared_data / "cifar10" / "cifar10-train-jpeg.tar.xz")
    first = list(itertools.islice(records, 40))
    names = [record.name for record in first]
    assert len(set(names)) == 40 and all(name.endswith((".jpg", ".jpeg")) for name in names)
    labels = {label for _, label in records.labels_of(names)}
    assert labels <= set(CATALOG["cifar10"].classes)
    for record in first:
        with record.open() as file:
            assert decode_to(file, record.name, (3, 32, 32)).std() > 5


def test_classes_come_from_the_paths_in_shards(tmp_path):
    write_tar(tmp_path / "x: 0.tar", {"set/cat/0.png": png(0), "set/dog/0.png": png(1)})
    write_tar(tmp_path / "x: 1.tar", {"set/dog/0.png": png(2)})
    source = load(tmp_path)
    assert (source.classes, source.train.labels.tolist()) == (["cat", "dog"], [0, 1, 1])
    write_tar(tmp_path / "x: 1.tar", {"0.png": png(2)})
    with pytest.raises(FormatError, match="x:1.tar: 0.png: lies in no class folder"):
        load(tmp_path)


# -- names that are not UTF-8 --------------------------------------------------------------------------

ODD = b"caf\xe9"


@pytest.fixture
def odd(tmp_path):
    """A folder with a class and an image that are not named in UTF-8."""
    FILES.write_folders(tmp_path / "d", {"a": 2, "b": 1})
    folder = os.fsencode(tmp_path / "d")
    try:
        os.rename(os.path.join(folder, b"b"), os.path.join(folder, ODD))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (tmp_path / "d" / "a" / "bad.png").write_bytes(b"bad")
    os.rename(os.path.join(folder, b"a", b"bad.png"), os.path.join(folder, b"a", ODD + b".png"))
    return tmp_path / "d"


def test_names_that_are_not_utf_8_are_shown_with_escapes(odd, tmp_path):
    with tarfile.open(tmp_path / "d.tar", "w") as tar:
        tar.add(odd, ".")
    for records in (FolderRecords(odd), TarRecords(tmp_path / "d.tar")):
        with pytest.raises(FormatError, match=r"caf\\udce9.png: not an image"):
            pack([records], tmp_path / "out")
        pack([records], tmp_path / "out", skip_bad=True)
        facts, parts = open_pack(tmp_path / "out")
        assert facts["classes"] == ["a", r"caf\udce9"]
        assert len(parts["train"]) == 3
        json.dumps([facts, parts["train"].names], ensure_ascii=False).encode()
