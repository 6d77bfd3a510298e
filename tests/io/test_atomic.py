"""A write leaves the old file or the new one, whatever fails and whenever it stops."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from minicnn.io import atomic


def test_write_replaces_and_leaves_nothing_behind(tmp_path):
    file = tmp_path / "a"
    atomic.write(file, b"old")
    atomic.write(file, "neu")
    atomic.write(file, lambda f: f.write(b"newer"))
    assert file.read_bytes() == b"newer"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_write_keeps_the_old_file_when_a_step_fails(tmp_path, monkeypatch, step, code):
    file = tmp_path / "a"
    atomic.write(file, b"old")

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("builtins.open" if step == "open" else f"os.{step}", fail)
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        atomic.write(file, b"new")
    monkeypatch.undo()
    assert caught.value.filename == str(file)
    assert caught.value.errno == code
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_write_keeps_the_old_file_when_the_system_allows_no_more_bytes(tmp_path):
    import resource

    file = tmp_path / "a"
    atomic.write(file, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            atomic.write(file, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(file)
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_write_keeps_the_old_file_when_the_content_fails(tmp_path):
    file = tmp_path / "a"
    atomic.write(file, b"old")

    def half(f):
        f.write(b"ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic.write(file, half)
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_write_flushes_the_file_before_the_rename_and_the_directory_after(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os,
        "fsync",
        lambda f: (calls.append("dir" if os.path.isdir(f"/proc/self/fd/{f}") else "file"), fsync(f)),
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), replace(a, b)))
    atomic.write(tmp_path / "a", b"x")
    assert calls == ["file", "rename", "dir"]


def test_remove_stale_deletes_what_dead_processes_left(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = [f".a.tmp.{dead.pid}", f".a.tmp.{os.getpid()}", f".a.tmp.{os.getppid()}", "a.tmp.1", ".b.tmp.x"]
    for name in names:
        (tmp_path / name).touch()
    atomic.remove_stale(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([f".a.tmp.{os.getppid()}", "a.tmp.1", ".b.tmp.x"])


def test_what_only_posix_knows_is_not_asked_elsewhere(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError("as Windows does")

    monkeypatch.setattr(atomic, "_POSIX", False, raising=False)
    monkeypatch.setattr(os, "open", refuse)
    atomic.write(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"
    for name in (f".a.tmp.{os.getpid()}", ".a.tmp.1"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(os, "kill", lambda *args: pytest.fail("this would send a signal on Windows"))
    atomic.remove_stale(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".a.tmp.1", "a"]
