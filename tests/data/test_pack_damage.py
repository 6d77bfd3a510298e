"""Packs that were damaged, left half written, or written while what they are made of changed."""

import errno
import json
import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn.cli import main
from minicnn.data.arrange import arrange
from minicnn.data.cache import cache_dir
from minicnn.data.duplicates import image_hashes
from minicnn.data.pack import open_pack
from minicnn.data.packing import pack
from minicnn.data.records import FolderRecords, TarRecords
from minicnn.data.sources import load
from minicnn.errors import FormatError, OptionError
from minicnn.io import folders

pytest.importorskip("PIL.Image")

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "files.py")))


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    return FILES.write_folders(tmp_path / "photos", {"a": 4, "b": 4})


@pytest.fixture
def packed(photos, tmp_path):
    pack([FolderRecords(photos)], tmp_path / "packed")
    return tmp_path / "packed"


@pytest.mark.parametrize(
    "name", ["train-images.npy", "train-labels.npy", "train-hashes.npy", "train-names.json", "pack.json"]
)
def test_any_damage_is_a_format_error(packed, name, rng):
    path = packed / name

    def read(damaged):
        _, parts = open_pack(packed)
        assert all(part.names for part in parts.values())

    def named(damaged):
        try:
            read(damaged)
        except FormatError as error:
            error.path = str(path)  # of the folder, of another file: they no longer fit together
            raise

    assert FILES.survives(named, path, path.read_bytes(), rng, 400) > 20


@pytest.mark.parametrize(
    "change",
    [
        {"counts": 5},
        {"classes": None},
        {"classes": [1, 2]},
        {"image_shape": [3, 6]},
        {"skipped": [1]},
        {"note": None},
    ],
)
def test_a_description_of_other_types_is_none(packed, change):
    facts = json.loads((packed / "pack.json").read_text())
    (packed / "pack.json").write_text(json.dumps(facts | change))
    with pytest.raises(FormatError, match="not the description of packed images"):
        open_pack(packed)


def test_labels_that_claim_to_fill_the_memory_are_refused(packed):
    header = {"descr": "<i8", "fortran_order": False, "shape": (10**13,)}
    with open(packed / "train-labels.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(FormatError, match="train-labels.npy: damaged"):
        open_pack(packed)


def test_a_damaged_pack_in_the_cache_is_made_again(photos):
    first = load(photos).fingerprint
    (one,) = (cache_dir() / "packs").iterdir()
    content = (one / "train-labels.npy").read_bytes()
    (one / "train-labels.npy").write_bytes(content.replace(b"(8,)", b"(8, "))
    assert load(photos).fingerprint == first


def test_all_of_it_is_on_the_disk_before_it_takes_its_name(photos, tmp_path, monkeypatch):
    """And the name, before what it replaces is gone."""
    done = []
    fsync, rename, rmtree = os.fsync, os.rename, folders.shutil.rmtree

    def synced(handle):
        done.append(("sync", os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))))
        fsync(handle)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("looks for names in /proc")
    pack([FolderRecords(photos)], tmp_path / "packed")
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", lambda *paths: done.append(("rename", paths[1])) or rename(*paths))
    monkeypatch.setattr(
        folders.shutil,
        "rmtree",
        lambda path, **options: done.append(("remove", path)) or rmtree(path, **options),
    )
    pack([FolderRecords(photos)], tmp_path / "packed")
    what = [event for event, _ in done]
    first = what.index("rename")
    names = {name for event, name in done[:first] if event == "sync"}
    expected = {
        "pack.json",
        *(f"train-{kind}" for kind in ("images.npy", "labels.npy", "hashes.npy", "names.json")),
    }
    assert names >= expected and len(names) == len(expected) + 1  # and the folder
    assert what[first:].count("rename") == 2
    assert done[first + 2] == ("sync", tmp_path.name) and "remove" not in what[: first + 2]


@pytest.mark.parametrize(
    "names",
    [["a/1", "a/0", "b/0", "b/1"], ["a/0", "a/1", "b/0"], ["a/0", "a/1", "b/0", "b/1", "b/2"]],
    ids=["order", "fewer", "more"],
)
def test_what_changes_while_it_is_read_is_refused(tmp_path, monkeypatch, names):
    """Between the look at the headers and the decoding."""

    def write(images):
        content = {f"{one}.pgm": b"P5 1 1 255 " + bytes([number]) for number, one in enumerate(images)}
        return FILES.write_tar(tmp_path / "a.tar", content)

    def changed(*words):
        write(names)
        return arrange(*words)

    path = write(["a/0", "a/1", "b/0", "b/1"])
    monkeypatch.setattr("minicnn.data.packing.arrange", changed)
    with pytest.raises(FormatError, match="a.tar: changed while its images were read"):
        pack([TarRecords(path)], tmp_path / "packed")
    assert os.listdir(tmp_path) == ["a.tar"]


def test_an_image_whose_disk_fails_is_named_and_not_the_pack(photos, tmp_path, monkeypatch):
    def failing(file, path, shape):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr("minicnn.data.packing.decode_to", failing)
    with pytest.raises(OSError, match="Input/output error") as caught:
        pack([FolderRecords(photos)], tmp_path / "packed")
    assert str(caught.value.filename).startswith(str(photos))


def test_what_a_killed_process_left_of_earlier_files_is_cleared_away(photos):
    pytest.importorskip("fcntl")
    load(photos)
    packs = cache_dir() / "packs"
    (one,) = packs.iterdir()
    name, _, key = one.name.rpartition("-")
    other = f"{name}-{'0' * len(key)}"
    left = [folders.temporary(packs / other), packs / f".{other}.lock", packs / f".{other}-more.tmp.x"]
    left[0].mkdir()
    (left[0] / "train-images.npy").write_bytes(b"half")
    left[1].touch()
    left[2].mkdir()  # of another name: nobody knows whose it is
    FILES.write_folders(photos, {"c": 1})
    load(photos)
    assert [path.exists() for path in left] == [False, False, True]
    assert len([path for path in packs.iterdir() if path.name[0] != "."]) == 1


def test_folders_of_other_things_are_not_replaced(photos, packed, tmp_path):
    game = tmp_path / "game"
    game.mkdir()
    (game / "pack.json").write_text('{"name": "a game"}')
    (packed / "notes.txt").write_text("mine")
    for out in (game, packed):
        with pytest.raises(OptionError, match="where nothing is, or a pack to replace"):
            pack([FolderRecords(photos)], out)
    assert (game / "pack.json").exists() and (packed / "notes.txt").read_text() == "mine"


def test_images_put_in_place_of_the_packed_ones_are_known_by_their_own_pixels(packed):
    images = open_pack(packed)[1]["train"]
    before, names = image_hashes(images), images.names
    chosen = np.arange(8) % 3 == 1
    images.data, images.targets = images.data[chosen], images.targets[chosen]
    assert image_hashes(images).tolist() == before[chosen].tolist()
    again = open_pack(packed)[1]["train"]
    again.data = again.data[chosen]
    assert len(names) == 8 and not hasattr(again, "names")


def test_check_compares_the_pixels_of_a_pack_with_their_hashes(packed, capsys):
    assert main(["data", "check", str(packed)]) == 0
    path = packed / "train-images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert main(["data", "check", str(packed)]) == 3
    error = capsys.readouterr().err
    assert "train-images.npy: damaged: 1 images are not those that were packed, as b/3.png" in error
