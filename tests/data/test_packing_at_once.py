"""Several processes that pack the same images: one does, the others wait, and a killed one leaves nothing."""

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minicnn
from minicnn.data.cache import cache_dir
from minicnn.data.pack import open_pack
from minicnn.data.packing import pack
from minicnn.data.records import FolderRecords
from minicnn.data.sources import load
from minicnn.io import folders, locking

Image = pytest.importorskip("PIL.Image")

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "files.py")))

# Loads a folder, as if in a container of its own, where process numbers begin anew; decoding takes until
# a file is there, which it makes when it waits for another process. Prints how many images it decoded, the
# fingerprint, and what it told.
PROGRAM = """
import os, sys, time
os.getpid = lambda: 7
from minicnn.data import packing, sources
decode, decoded, told = packing.decode_to, [], []
def slowly(*words):
    decoded.append(1)
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.01)
    return decode(*words)
def tell(what, done, total):
    told.append(what)
    if "waiting" in what:
        open(sys.argv[2], "w").close()
packing.decode_to = slowly
source = sources.load(sys.argv[1], progress=tell)
print(len(decoded), source.fingerprint, *told)
"""


@pytest.fixture
def loading(tmp_path, monkeypatch):
    """Starts a process that loads the folder `d` of 20 images in `cache`; killed at the end."""
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    FILES.write_folders(tmp_path / "d", {"a": 12, "b": 8})
    started = []

    def start():
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "d"), str(tmp_path / "go on")]
        environment = {**os.environ, "PYTHONPATH": str(Path(minicnn.__file__).parents[1])}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def packs():
    return sorted(path.name for path in (cache_dir() / "packs").iterdir())


def until_it_packs(process):
    """Wait until its temporary folder is there."""
    while not any((cache_dir() / "packs").glob(".*.tmp.*/train-images.npy")):
        assert process.poll() is None
        time.sleep(0.01)


def test_two_at_once_pack_once(tmp_path, loading):
    pytest.importorskip("fcntl")
    first = loading()
    until_it_packs(first)
    second = loading()
    one, other = (process.communicate(timeout=60)[0].split(maxsplit=2) for process in (first, second))
    assert (one[0], other[0]) == ("20", "0")
    assert one[1].strip() == other[1] == load(tmp_path / "d").fingerprint
    assert "waiting for another process" in other[2]
    train = load(tmp_path / "d").train
    for index, name in enumerate(train.names):
        assert (train.pixels[index] == np.asarray(Image.open(tmp_path / "d" / name))).all()
    assert len(packs()) == 1


def test_a_killed_one_leaves_nothing_that_stays(tmp_path, loading):
    pytest.importorskip("fcntl")
    process = loading()
    until_it_packs(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(packs()) == 2  # the lock, and the beginning
    load(tmp_path / "d")
    (one,) = packs()
    assert not one.startswith(".")


def test_only_what_is_its_own_is_cleared_away(tmp_path):
    source = FILES.write_folders(tmp_path / "d", {"a": 2})
    others = (".out.tmp.notes", ".out2.tmp.0123456789abcdef", "out.tmp.0123456789abcdef")
    for name in (*others, folders.temporary(tmp_path / "out").name, ".out.old.0123456789abcdef"):
        (tmp_path / name).mkdir()
    (tmp_path / "out").mkdir()
    pack([FolderRecords(source)], tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "d", "out"])


def test_where_there_are_no_locks_it_packs_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "fcntl", None)
    source = FILES.write_folders(tmp_path / "d", {"a": 2})
    (tmp_path / ".out.tmp.0123456789abcdef").mkdir()  # perhaps of a process that runs
    for _ in range(2):
        pack([FolderRecords(source)], tmp_path / "out")
    assert len(open_pack(tmp_path / "out")[1]["train"]) == 2
    assert sorted(os.listdir(tmp_path)) == [".out.tmp.0123456789abcdef", "d", "out"]


def test_a_lock_file_that_was_removed_meanwhile_is_locked_anew(tmp_path):
    """Who waited holds a file without a name then; the next one would lock another."""
    pytest.importorskip("fcntl")
    path, waited = tmp_path / "lock", []
    first = locking.file(path, pytest.fail)
    first.__enter__()

    def give_up(seconds):
        if not waited:
            first.__exit__(None, None, None)
        waited.append(seconds)

    with locking.file(path, give_up) as held:
        assert held and path.exists() and waited
        with pytest.raises(BlockingIOError), locking.file(path, _refuse):
            pass
    assert not path.exists()


def _refuse(seconds):
    raise BlockingIOError
