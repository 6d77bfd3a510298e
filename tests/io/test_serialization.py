"""What scripts save comes back; nothing that could run code is written or read."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from minicnn.core.tensor import Tensor
from minicnn.errors import FormatError, OptionError
from minicnn.io import load, safetensors, save
from minicnn.io.serialization import hash_arrays


def same(a, b) -> bool:
    if isinstance(a, (Tensor, np.ndarray)):
        a, b = np.asarray(a), np.asarray(b)
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


OBJECTS = {
    "state_dict": {"conv.weight": Tensor(np.ones((2, 3), np.float32)), "conv.bias": Tensor(np.zeros(2))},
    "script": {
        "model": {"w": np.arange(6.0).reshape(2, 3).T},
        "optimizer": {
            "state": {0: {"exp_avg": np.ones(2), "step": 7}, 1: {}},
            "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "nesterov": False, "params": [0, 1]}],
        },
        "epoch": 3,
        "best": float("inf"),
        "name": "é😀\n",
        "nothing": None,
    },
    "tensor": np.arange(3),
    "number": 3,
    "names-that-meet": {"a": {"b": np.zeros(1)}, "a.b": np.ones(1)},
    "empty": {},
}


@pytest.mark.parametrize("name", OBJECTS)
def test_round_trip(tmp_path, name):
    save(OBJECTS[name], tmp_path / "a.pt")
    assert same(load(tmp_path / "a.pt"), OBJECTS[name])


def test_numpy_numbers_become_python_numbers(tmp_path):
    save({"step": np.int64(3), "lr": np.float64(0.1)}, tmp_path / "a")
    assert same(load(tmp_path / "a"), {"step": 3, "lr": 0.1})


def test_a_state_dict_keeps_its_names_for_other_programs(tmp_path):
    save(OBJECTS["state_dict"], tmp_path / "a")
    assert sorted(safetensors.load_file(tmp_path / "a")[0]) == ["conv.bias", "conv.weight"]


def test_a_file_of_another_program_loads_as_a_flat_dict_of_tensors(tmp_path):
    safetensors.save_file(tmp_path / "a", {"w": np.ones(2)}, {"format": "pt"})
    loaded = load(tmp_path / "a", map_location="cpu", weights_only=True)
    assert isinstance(loaded["w"], Tensor)
    assert same(loaded, {"w": np.ones(2)})


class Model:
    def state_dict(self):
        return {}


@pytest.mark.parametrize(
    "bad", [Model(), {"model": Model()}, [lambda: 0], {"a": {1.5: 0}}, {3j}, {"x": np.array(["a"])}]
)
def test_save_refuses_anything_else(tmp_path, bad):
    with pytest.raises((OptionError, TypeError)):
        save(bad, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_save_says_where_the_model_is_and_what_to_save(tmp_path):
    with pytest.raises(OptionError, match=r"Model at 'model'; save model.state_dict\(\), not the model"):
        save({"model": Model()}, tmp_path / "a")


def test_save_refuses_endless_nesting(tmp_path):
    endless: list = []
    endless.append(endless)
    with pytest.raises(OptionError):
        save(endless, tmp_path / "a")


def test_a_pickle_is_not_read_and_the_way_out_is_named(tmp_path):
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"w": 1}))
    with pytest.raises(FormatError, match="safetensors.torch.save_file"):
        load(tmp_path / "a.pt")


def test_one_changed_bit_of_data_is_noticed(tmp_path):
    save({"w": np.ones(100)}, tmp_path / "a")
    content = bytearray((tmp_path / "a").read_bytes())
    content[-9] ^= 1
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(FormatError, match="SHA-256"):
        load(tmp_path / "a")


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        "{}",
        "[" * 5000,
        json.dumps({"version": 2, "structure": 1, "sha256": ""}),
        json.dumps({"version": 1, "structure": 1, "sha256": "0"}),
    ],
)
def test_a_malformed_structure_is_a_format_error(tmp_path, text):
    safetensors.save_file(tmp_path / "a", {}, {"minicnn": text})
    with pytest.raises(FormatError, match="a: "):
        load(tmp_path / "a")


@pytest.mark.parametrize(
    "structure", [{}, {"tensor": "none"}, {"a": 1, "b": 2}, {"dict": 3}, {"dict": [[[], 1]]}, {"list": 1}]
)
def test_a_structure_that_fits_its_checksum_but_nothing_else_is_a_format_error(tmp_path, structure):
    checksum = hash_arrays([("", np.frombuffer(json.dumps(structure).encode(), np.uint8))])
    header = {"version": 1, "structure": structure, "sha256": checksum}
    safetensors.save_file(tmp_path / "a", {}, {"minicnn": json.dumps(header)})
    with pytest.raises(FormatError, match="malformed"):
        load(tmp_path / "a")


def test_the_same_object_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save(OBJECTS["script"], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
