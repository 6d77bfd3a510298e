"""IDX files: what is read, and every way to be wrong."""

import gzip
import hashlib
import os
import runpy
import struct
import time
import tracemalloc
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn.data.formats import read_idx
from minicnn.errors import FormatError

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "files.py")))


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 5), (1,) * 8])
@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_every_type_and_rank_comes_back(tmp_path, rng, dtype, shape, name):
    array = rng.integers(-100, 100, shape).astype(dtype)
    read = read_idx(FILES.write_idx(tmp_path / name, array))
    assert read.dtype == dtype
    assert read.dtype.isnative
    assert np.array_equal(read, array)


def test_gzip_shows_in_the_content_and_not_in_the_name(tmp_path):
    path = tmp_path / "plain"
    path.write_bytes(gzip.compress(FILES.idx_bytes(np.arange(3, dtype="u1"))))
    assert read_idx(str(path)).tolist() == [0, 1, 2]


def header(*sizes, code=8, rank=None):
    return bytes([0, 0, code, len(sizes) if rank is None else rank]) + struct.pack(f">{len(sizes)}I", *sizes)


BAD = {
    "empty": (b"", "0 bytes are too few", 0),
    "short magic": (b"\0\0\x08", "3 bytes are too few", 3),
    "magic": (b"\x89PNG" + bytes(8), "begins with 89 50 4e 47", 0),
    "type code": (header(3, code=7) + bytes(3), "unknown IDX element type 07", 2),
    "no dimensions": (header(rank=0) + bytes(1), "0 dimensions", 3),
    "too many dimensions": (header(*[1] * 9) + bytes(1), "9 dimensions", 3),
    "short sizes": (header(3, rank=2) + b"\0\0", "ends within its 2 sizes", 10),
    "too few bytes": (header(2, 3) + bytes(5), "imply 18 bytes, the file has 17", 4),
    "too many bytes": (header(2, 3) + bytes(7), "imply 18 bytes, the file has 19", 4),
    "huge": (header(2**32 - 1, 2**32 - 1, 2**32 - 1), "imply", 4),
    "nan": (FILES.idx_bytes(np.array([1, np.nan], "f4")), "element 1 is not a finite number", 12),
    "infinity": (FILES.idx_bytes(np.array([[1, 2], [np.inf, 0]], "f8")), "element 2 is not", 28),
}
ZIPPED = {
    **{
        name: (gzip.compress(content), what, at)
        for name, (content, what, at) in BAD.items()
        if "bytes" not in name
    },
    "too few bytes": (gzip.compress(header(2, 3) + bytes(5)), "ends after 5 of the 6 bytes", 17),
    "too many bytes": (gzip.compress(header(2, 3) + bytes(7)), "goes on after the 6 bytes", 18),
    "trailing garbage": (
        gzip.compress(header(3) + bytes(3)) + b"more",
        "something follows the gzip data",
        11,
    ),
    "second member": (gzip.compress(header(3) + bytes(3)) * 2, "something follows", 11),
    "cut off": (gzip.compress(header(300) + bytes(300))[:-9], "end too early", None),
    "checksum": (gzip.compress(header(3) + bytes(3))[:-8] + bytes(8), "damaged gzip data", None),
    "no gzip": (b"\x1f\x8b" + bytes(30), "damaged gzip data", 0),
}


@pytest.mark.parametrize(
    ("content", "what", "offset"),
    [*BAD.values(), *ZIPPED.values()],
    ids=[*BAD, *(f"{name}, gz" for name in ZIPPED)],
)
def test_bad_files_are_refused_with_the_place(tmp_path, content, what, offset):
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=what) as caught:
        read_idx(path)
    assert caught.value.path == str(path)
    if offset is not None:
        assert caught.value.offset == offset
        assert f"(byte {offset})" in str(caught.value)


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_damaged_files_give_an_array_or_a_format_error(tmp_path, rng, name):
    array = rng.integers(0, 256, (5, 4, 3)).astype(np.uint8)
    content = FILES.write_idx(tmp_path / name, array).read_bytes()
    assert FILES.survives(read_idx, tmp_path / "damaged", content, rng) > 100


def bomb(start):
    """A gzip file of 10 MB: ``start`` and then 10 GB of zeros, made of one block again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(7) + first + block * 10_000 + packer.flush() + bytes(8)


@pytest.mark.parametrize(
    "start", [b"", header(2**32 - 1), header(1 << 10)], ids=["zeros", "declared", "short"]
)
def test_a_gzip_bomb_fails_fast_in_little_memory(tmp_path, start):
    path = tmp_path / "bomb.gz"
    path.write_bytes(bomb(start))
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(FormatError):
        read_idx(path)
    seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 1
    assert peak < 16 << 20


def test_paths_that_are_no_files_are_refused(tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        read_idx(tmp_path / "missing")
    with pytest.raises(FormatError, match="not a regular file"):
        read_idx(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_does_not_keep_us_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="not a regular file"):
        read_idx(tmp_path / "pipe")


REAL = {
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_have_their_known_bytes(shared_data, name):
    array = read_idx(shared_data / "mnist" / f"{name}.gz")
    assert hashlib.sha256(FILES.idx_bytes(array)).hexdigest() == REAL[name]
