"""What is in a file."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn.data.inspect import KINDS, inspect, to_text
from minicnn.errors import FormatError, OptionError

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "files.py")))


def test_idx(tmp_path):
    path = FILES.write_idx(tmp_path / "a", np.array([[1, 2], [3, 9]], "i2"))
    about = {"dtype": "int16", "shape": [2, 2], "minimum": 1, "maximum": 9}
    assert inspect("idx", path) == {"kind": "idx", "path": str(path), "bytes": 20, **about}
    empty = FILES.write_idx(tmp_path / "b", np.zeros((0, 2), "u1"))
    assert "minimum" not in inspect("idx", empty)


@pytest.mark.parametrize(
    ("content", "name", "counts"),
    [
        (FILES.cifar_bytes([3, 3, 1]), "CIFAR-10", {"1": 1, "3": 2}),
        (FILES.cifar_bytes([99], [4]), "CIFAR-100", {"99": 1}),
    ],
)
def test_cifar(tmp_path, content, name, counts):
    (tmp_path / "a.bin").write_bytes(content)
    found = inspect("cifar", tmp_path / "a.bin")
    assert (found["format"], found["counts"]) == (name, counts)


def test_image(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 255 ab")
    found = inspect("image", tmp_path / "a.pgm")
    assert (found["format"], found["width"], found["height"]) == ("PPM", 2, 1)
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 255 a")
    with pytest.raises(FormatError):
        inspect("image", tmp_path / "a.pgm")


def test_safetensors(tmp_path):
    numpy_format = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "a.safetensors"
    numpy_format.save_file({"w": np.zeros((2, 3), np.float32)}, path, {"step": "7"})
    found = inspect("safetensors", path)
    assert found["tensors"] == {"w": ["float32", [2, 3]]}
    assert (found["numbers"], found["metadata"]) == (6, {"step": "7"})


def test_kinds_that_are_none_or_not_yet_are_refused(tmp_path):
    with pytest.raises(OptionError, match="ONNX files is not supported yet"):
        inspect("onnx", tmp_path)
    with pytest.raises(OptionError, match="a kind out of idx, cifar"):
        inspect("csv", tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "onnx"])
def test_a_missing_file_is_a_format_error(tmp_path, kind):
    with pytest.raises(FormatError, match="no such file"):
        inspect(kind, tmp_path / "missing")


def test_text_and_json(tmp_path):
    found = inspect("idx", FILES.write_idx(tmp_path / "a", np.array([5, 5, 1], "u1")))
    assert json.loads(json.dumps(found)) == found
    assert "counts   1: 1, 5: 2" in to_text(found)
