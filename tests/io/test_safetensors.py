"""Arrays come back bit for bit in any layout, and a bad file is always a FormatError."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from minicnn.errors import DTypeError, FormatError, OptionError
from minicnn.io import safetensors

GRID = np.arange(24, dtype=np.float32).reshape(4, 6)

LAYOUTS = {
    "contiguous": GRID,
    "transposed": GRID.T,
    "strided": GRID[::2, ::3],
    "reversed": GRID[::-1],
    "fortran": np.asfortranarray(GRID),
    "big-endian": GRID.astype(">f4"),
    "big-endian-transposed": GRID.astype(">i8").T,
    "broadcast": np.broadcast_to(GRID[0], (3, 6)),
    "0-d": np.array(2.5),
    "scalar": np.float32(2.5),
    "bool-0-d": np.array(True),
    "empty": np.zeros((0, 3)),
    "read-only": np.frombuffer(b"abcd", np.uint8),
    "special": np.array([np.nan, np.inf, -0.0, 5e-324]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_round_trip_in_any_layout(tmp_path, name):
    array = LAYOUTS[name]
    safetensors.save_file(tmp_path / "a", {"x": array, "other": np.ones(3, np.int8)})
    loaded, _ = safetensors.load_file(tmp_path / "a")
    assert list(loaded) == ["other", "x"]
    assert loaded["x"].shape == np.shape(array)
    assert loaded["x"].dtype == np.asarray(array).dtype.newbyteorder("=")
    np.testing.assert_array_equal(loaded["x"], array)
    assert np.array_equal(np.signbit(loaded["x"]), np.signbit(array)) if name == "special" else True
    loaded["x"][...] = 0  # writable


@pytest.mark.parametrize("code", ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
def test_round_trip_of_every_type(tmp_path, code):
    array = np.arange(5).astype(code)
    safetensors.save_file(tmp_path / "a", {"x": array})
    loaded = safetensors.load_file(tmp_path / "a")[0]["x"]
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)


def test_metadata_round_trip(tmp_path):
    safetensors.save_file(tmp_path / "a", {}, {"unit": "cm é"})
    assert safetensors.load_file(tmp_path / "a") == ({}, {"unit": "cm é"})


@pytest.mark.parametrize("array", [np.ones(2, complex), np.array(["a"]), np.array([{}], object)])
def test_save_refuses_other_types(tmp_path, array):
    with pytest.raises(DTypeError, match="'x'"):
        safetensors.save_file(tmp_path / "a", {"x": array})
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "tensors, metadata", [({1: GRID}, None), ({"__metadata__": GRID}, None), ({}, {"a": 1})]
)
def test_save_refuses_names_that_are_not_text(tmp_path, tensors, metadata):
    with pytest.raises(OptionError):
        safetensors.save_file(tmp_path / "a", tensors, metadata)


def test_bfloat16_becomes_float32():
    content = file_of(
        {"x": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}},
        bytes([0x80, 0x3F, 0x00, 0xC0, 0x80, 0x7F]),
    )
    array = safetensors.unpack(content, "a")[0]["x"]
    assert array.dtype == np.float32
    assert array.tolist() == [1.0, -2.0, np.inf]


def file_of(header, data=b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="U8", shape=(1,), start=0, end=1) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


BAD = {
    "empty": b"",
    "short": b"\x01\x00",
    "header-longer-than-file": struct.pack("<Q", 100) + b"{}",
    "header-too-large": struct.pack("<Q", 2**63) + b"{}",
    "header-over-limit": struct.pack("<Q", safetensors.MAX_HEADER + 1) + b" " * 10,
    "no-header": struct.pack("<Q", 0),
    "leading-space": file_of(b" {}"),
    "not-json": file_of(b"{x}"),
    "not-utf8": file_of(b'{"\xff": 1}'),
    "array": file_of(b"[]"),
    "deep": file_of(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "duplicate": file_of(b'{"a":%b,"a":%b}' % ((json.dumps(entry()).encode(),) * 2), b"x"),
    "hole": file_of({"a": entry(start=1, end=2)}, b"xy"),
    "overlap": file_of({"a": entry(), "b": entry()}, b"x"),
    "trailing": file_of({"a": entry()}, b"xy"),
    "truncated": file_of({"a": entry(shape=[4], end=4)}, b"xyz"),
    "size-overflow": file_of({"a": entry("F32", [4194305, 4194305, 211106198978564], end=4)}, b"xyzw"),
    "negative": file_of({"a": entry(shape=[-1])}, b"x"),
    "size-mismatch": file_of({"a": entry(shape=[2])}, b"x"),
    "unknown-type": file_of({"a": entry("F8_E4M3")}, b"x"),
    "no-such-type": file_of({"a": entry("Q8")}, b"x"),
    "rank": file_of({"a": entry(shape=[1] * 9)}, b"x"),
    "metadata-not-text": file_of({"__metadata__": {"a": 1}}),
    "pickle": b"\x80\x02}q\x00.",
    "torch-zip": b"PK\x03\x04" + b"\x00" * 50,
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_a_format_error(tmp_path, name):
    file = tmp_path / "bad.safetensors"
    file.write_bytes(BAD[name])
    with pytest.raises(FormatError, match=r"bad\.safetensors") as caught:
        safetensors.load_file(file)
    assert caught.value.path == str(file)
    assert len(str(caught.value)) - len(str(file)) < 300


def test_a_header_that_is_too_long_is_not_even_read(tmp_path, monkeypatch):
    monkeypatch.setattr(safetensors, "MAX_HEADER", 50)
    safetensors.save_file(tmp_path / "a", {"x": GRID, "y": GRID})
    with pytest.raises(FormatError, match="a header of .* bytes, at most 50"):
        safetensors.load_file(tmp_path / "a")


def test_too_many_tensors_are_refused(monkeypatch):
    monkeypatch.setattr(safetensors, "MAX_TENSORS", 2)
    content = safetensors.pack({str(i): np.zeros(1) for i in range(3)})
    with pytest.raises(FormatError, match="3 tensors"):
        safetensors.unpack(content, "a")


def test_a_file_cut_or_changed_anywhere_loads_or_is_a_format_error():
    content = safetensors.pack({"x": GRID, "y": np.arange(3)}, {"k": "v"})
    rng = np.random.default_rng(0)
    damaged = [content[:n] for n in range(0, len(content), 3)]
    for _ in range(300):
        bits = bytearray(content)
        bits[rng.integers(len(bits))] ^= 1 << rng.integers(8)
        damaged.append(bytes(bits))
    refused = 0
    for bad in damaged:
        try:
            safetensors.unpack(bad, "a")
        except FormatError:
            refused += 1
    assert refused >= len(content) // 3


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        safetensors.load_file(tmp_path / "none")


def test_a_file_of_another_kind_is_not_judged_by_its_header(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(100))
    with pytest.raises(FormatError, match=r"a\.jpg: not a safetensors file$"):
        safetensors.load_file(tmp_path / "a.jpg")
