"""A pack that another takes the place of: pictures of one never meet labels or names of the other."""

import io
import os
import pickle
import runpy
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from minicnn import transforms
from minicnn.data import DataLoader, packing
from minicnn.data import pack as packs
from minicnn.data.cache import cache_dir
from minicnn.data.pack import open_pack
from minicnn.data.packing import pack
from minicnn.data.records import FolderRecords
from minicnn.data.sources import load
from minicnn.errors import FormatError, OptionError
from minicnn.io import folders, locking

Image = pytest.importorskip("PIL.Image")

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "files.py")))


def write(path, level, kind="png"):
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.new("L", (5, 6), level).save(buffer, kind)
    path.write_bytes(buffer.getvalue())


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Dark cats and light dogs, and a cache of their own."""
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    for number in range(4):
        write(tmp_path / "d" / "cat" / f"{number}.png", 10)
        write(tmp_path / "d" / "dog" / f"{number}.png", 200)
    return tmp_path / "d"


def add_cats(photos):
    for number in range(4):
        write(photos / "cat" / f"a{number}.png", 10)


def samples(images, **options):
    loader = DataLoader(images.with_transform(transforms.PILToTensor()), 1, seed=0, **options)
    return [(int(pixels.numpy().max()), int(label)) for pixels, label in loader]


def kept():
    return sorted(os.listdir(cache_dir() / "packs"))


def test_worker_processes_keep_the_pack_that_was_opened(photos):
    pytest.importorskip("fcntl")
    train = load(photos).train
    add_cats(photos)
    assert len(load(photos).train) == 12  # another training packs the changed folder
    options = {"num_workers": 1, "multiprocessing_context": "spawn"}
    assert samples(train, **options) == [(10, 0)] * 4 + [(200, 1)] * 4
    assert len(train.names) == 8


def test_a_pack_that_was_replaced_is_refused(photos, tmp_path):
    out = tmp_path / "out"
    pack([FolderRecords(photos)], out)
    train = open_pack(out)[1]["train"]
    sent = pickle.dumps(train)
    pack([FolderRecords(photos)], out)
    assert int(train[7][0].getpixel((0, 0))) == 200  # it is still open here
    for use in (lambda: train.names, lambda: pickle.loads(sent)[0]):
        with pytest.raises(FormatError, match="the pack has changed since it was opened"):
            use()
    with pytest.raises(FormatError, match="the pack has changed since it was opened"):
        samples(train, num_workers=1, multiprocessing_context="spawn")


def test_a_replacement_while_it_is_opened_is_noticed(photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    pack([FolderRecords(photos)], out)
    read, done = packs._load, []

    def between(path, dtype):
        if not done:
            done.append(1)
            os.rename(photos / "dog" / "0.png", photos / "cat" / "9.png")
            pack([FolderRecords(photos)], out)
        return read(path, dtype)

    monkeypatch.setattr(packs, "_load", between)
    with pytest.raises(FormatError, match="the pack has changed since it was opened"):
        open_pack(out)


def test_old_packs_go_when_nobody_reads_them(photos):
    pytest.importorskip("fcntl")
    first = load(photos)
    (one,) = kept()
    add_cats(photos)
    second = load(photos)
    assert len(kept()) == 2  # the first is in use
    del first
    (photos / "cat" / "a0.png").unlink()
    load(photos)
    assert len(kept()) == 2 and one not in kept()
    assert len(second.train.names) == 12


def test_old_packs_stay_where_nobody_can_tell_who_reads_them(photos, monkeypatch):
    monkeypatch.setattr(locking, "fcntl", None)
    load(photos)
    add_cats(photos)
    load(photos)
    assert len(kept()) == 2


def test_new_rules_of_reading_pack_anew(photos, monkeypatch):
    load(photos)
    before = kept()
    monkeypatch.setattr("minicnn.data.cache._RULES", 0)
    load(photos)
    assert kept() != before


def test_other_bytes_of_equal_size_and_time_are_packed_anew(tmp_path):
    for level in (10, 50):
        for kind in "ab":
            write(tmp_path / "d" / kind / "0.bmp", level, "bmp")
            os.utime(tmp_path / "d" / kind / "0.bmp", (10**9, 10**9))  # as cp -p and tar do
        assert load(tmp_path / "d").train.pixels[0].max() == level


def test_a_pack_set_aside_comes_back(photos, tmp_path, monkeypatch):
    """Killed between the two renames: the old pack is all there is, and its images may be gone."""
    pytest.importorskip("fcntl")
    out = tmp_path / "out"
    pack([FolderRecords(photos)], out)
    child = os.fork()
    if not child:
        rename = os.rename

        def killed(*paths):
            rename(*paths)
            os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(os, "rename", killed)
        pack([FolderRecords(photos)], out)
    os.waitpid(child, 0)
    assert not out.exists()
    (photos / "cat" / "0.png").write_bytes(b"bad")
    with pytest.raises(FormatError, match="0.png"):
        pack([FolderRecords(photos)], out)
    assert len(open_pack(out)[1]["train"]) == 8
    assert sorted(os.listdir(tmp_path)) == ["d", "out"]


def test_what_another_machine_writes_is_left_alone_for_an_hour(tmp_path):
    """Its lock may not be seen here."""
    there = tmp_path / ".out.tmp.0123456789abcdef01234567"
    there.mkdir()
    (there / "train-images.npy").write_bytes(b"")
    folders.recover(tmp_path / "out")
    assert there.exists()
    for path in (there / "train-images.npy", there):
        os.utime(path, (path.stat().st_mtime - 3700,) * 2)
    folders.recover(tmp_path / "out")
    assert not there.exists()


def test_a_place_in_use_is_refused_before_any_image_is_read(photos, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    monkeypatch.setattr("minicnn.data.packing.header", pytest.fail)
    with pytest.raises(OptionError, match="where nothing is, or a pack to replace"):
        pack([FolderRecords(photos)], tmp_path / "mine")


def test_without_locks_the_slower_of_two_leaves_the_pack_of_the_faster(photos, monkeypatch):
    monkeypatch.setattr(locking, "fcntl", None)
    decode, faster = packing.decode_to, []

    def slowly(*words):
        if not faster:
            faster.append(1)
            faster.append(load(photos))
        return decode(*words)

    monkeypatch.setattr("minicnn.data.packing.decode_to", slowly)
    load(photos)
    assert int(pickle.loads(pickle.dumps(faster[1].train))[7][0].getpixel((0, 0))) == 200
