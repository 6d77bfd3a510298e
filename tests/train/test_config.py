"""The configuration: checked, complete as TOML, and honest about mistypes."""

from __future__ import annotations

import dataclasses
import tomllib

import pytest

from minicnn.errors import OptionError
from minicnn.train.config import _ELSEWHERE, Config, dump_toml, load_toml


def test_what_others_call_an_option_leads_to_one_of_ours():
    names = {field.name for field in dataclasses.fields(Config)}
    assert set(_ELSEWHERE.values()) <= names and not set(_ELSEWHERE) & names


def test_defaults_survive_toml(tmp_path):
    (tmp_path / "c.toml").write_text(dump_toml(Config().to_dict()))
    assert Config.from_dict(load_toml(tmp_path / "c.toml")) == Config()
    assert set(load_toml(tmp_path / "c.toml")) == {f.name for f in dataclasses.fields(Config)}


@pytest.mark.parametrize(
    "value",
    [
        "",
        'a"b\\c\n\t\x7f\x01é😀',
        0,
        -(2**62),
        1e-7,
        1e22,
        0.1,
        float("inf"),
        True,
        False,
        [],
        ["a", "b,"],
        [1.5, 2.0],
    ],
)
def test_toml_round_trip(value):
    text = dump_toml({"x": value, "table": {"y": value}})
    assert tomllib.loads(text) == {"x": value, "table": {"y": value}}


@pytest.mark.parametrize(
    "options, text",
    [
        ({"lr": -1}, "option lr: expected at least 0, got -1.0"),
        ({"lr": "fast"}, "option lr: expected a number, got 'fast'"),
        ({"lr": float("nan")}, "option lr: expected a finite number"),
        ({"lr": True}, "expected a number"),
        ({"epochs": 1.5}, "option epochs: expected a whole number, got 1.5"),
        ({"epochs": -1}, "option epochs: expected at least 0"),
        ({"seed": True}, "option seed: expected a whole number"),
        ({"compile": 1}, "option compile: expected true or false, got 1"),
        ({"seed": -1}, "option seed"),
        ({"seed": 2**63}, "option seed: expected at most 9223372036854775807"),
        ({"epochs": 2**31}, "option epochs: expected at most 2147483647"),
        ({"batch_size": 2**20000}, "option batch-size: expected at most 2147483647, got one of 20001 bits"),
        ({"workers": 257}, "option workers: expected at most 256"),
        ({"lr": 10**400}, "option lr: expected a finite number"),
        ({"out": "a\0b"}, "option out: expected text that a file and a path can hold"),
        ({"data": "\udcff"}, "option data: expected text that a file and a path can hold"),
        ({"data": 3}, "option data: expected text"),
        ({"val_fraction": 1.0}, "option val-fraction: expected less than 1, got 1.0"),
        ({"optimizer": "adan"}, "expected one of adam, adamw, sgd, rmsprop, got 'adan'"),
        ({"loss": ""}, "option loss"),
        ({"epoch": 3}, "there is no option 'epoch'; did you mean 'epochs'?"),
        ({"batch-size": 3}, "did you mean 'batch_size'?"),
        ({"learning_rate": 3}, "did you mean 'lr'?"),
        ({"wd": 3}, "did you mean 'weight_decay'?"),
        ({"zzz": 3}, "there are data, data_dir"),
    ],
)
def test_bad_options_are_refused(options, text):
    with pytest.raises(OptionError) as caught:
        Config.from_dict(options)
    assert text in str(caught.value)


def test_whole_numbers_serve_as_numbers():
    assert Config(lr=1).lr == 1.0
    assert isinstance(Config(lr=1).lr, float)


def test_what_decides_the_numbers_is_told_from_the_rest():
    base = Config()
    resumable = {"out": "x", "checkpoint_every": 5, "max_steps": 9, "data_dir": "d", "workers": 2}
    assert base.replace(**resumable).decisive() == base.decisive()
    for change in (
        {"lr": 0.1},
        {"seed": 1},
        {"model": "mlp"},
        {"augment": "standard"},
        {"epochs": 3},
        {"l1": 0.1},
        {"threads": 3},
    ):
        assert base.replace(**change).decisive() != base.decisive(), change


@pytest.mark.parametrize("content", [b"lr = ", b"= 3", b"\xff", b"a = 1\na = 2", b"x = [" * 3000])
def test_a_file_that_is_not_toml_is_refused_with_its_name(tmp_path, content):
    (tmp_path / "c.toml").write_bytes(content)
    with pytest.raises(OptionError, match=r"c\.toml: not TOML"):
        load_toml(tmp_path / "c.toml")


def test_a_missing_file_is_refused_with_its_name(tmp_path):
    with pytest.raises(OptionError, match=r"no configuration file .*none\.toml"):
        load_toml(tmp_path / "none.toml")
