"""Measuring a run on images of other places: their classes are found by name, wherever they come from."""

import numpy as np
import pytest

SHORT = ("--model", "mlp", "--max-steps", "3", "--epochs", "3")


@pytest.fixture
def run(pictures, command):
    """A run on three classes."""
    pictures("set", classes=("a", "b", "c"))
    assert command("train", "--data", "set", *SHORT, "--out", "r").code == 0
    return "r"


def support(done):
    assert done.code == 0, done.err
    return [row["support"] for row in done.json["classes"].values()]


def test_the_classes_of_a_pack_are_found_by_name(run, pictures, command):
    pictures("more", classes=("b", "c"), images=4)
    assert command("data", "pack", "more", "packed").code == 0
    packed = command("evaluate", run, "--data", "packed", "--json")
    files = command("evaluate", run, "--data", "more", "--json")
    assert support(packed) == support(files) == [0, 4, 4]
    assert packed.json["confusion"] == files.json["confusion"]


def test_a_pack_with_a_class_that_the_model_does_not_know_is_refused(run, pictures, command):
    pictures("more", classes=("ant", "b", "c"))
    assert command("data", "pack", "more", "packed").code == 0
    done = command("evaluate", run, "--data", "packed")
    assert (done.code, done.out) == (2, "")
    assert "packed: class 'ant' is none of the model's 3: a, b, c" in done.err


def test_labels_without_names_count_the_classes_of_the_model(run, tmp_path, command):
    images, labels = np.zeros((5, 8, 8), np.uint8), np.array([0, 2, 2, 1, 0])
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    assert support(command("evaluate", run, "--data", "set.npz", "--json")) == [2, 1, 2]
    np.savez(tmp_path / "few.npz", images=images, labels=labels % 2)
    assert support(command("evaluate", run, "--data", "few.npz", "--json")) == [4, 1, 0]
    np.savez(tmp_path / "many.npz", images=images, labels=labels + 1)
    done = command("evaluate", run, "--data", "many.npz")
    assert (done.code, "class '3' is none of the model's 3" in done.err) == (2, True)


def test_named_data_of_other_classes_are_refused(trained, command, monkeypatch):
    from minicnn.data import catalog, sources

    other = sources.load("digits")
    names = [f"shirt {number}" for number in range(10)]
    monkeypatch.setattr(sources, "_load_known", lambda name, root: sources.replace(other, classes=names))
    assert "fashion-mnist" in catalog.CATALOG
    done = command("evaluate", trained, "--data", "fashion-mnist")
    assert (done.code, "class 'shirt 0' is none of the model's 10" in done.err) == (2, True)


def test_what_a_person_reads_has_intervals(trained, command):
    lines = command("evaluate", trained, "--data", "digits").out.splitlines()
    facts = command("evaluate", trained, "--data", "digits", "--json").json
    for line, name in zip(lines[:3], ("accuracy", "top5_accuracy", "macro_f1"), strict=True):
        low, high = facts["intervals"][name]
        assert f"{facts[name]:.2%} (95 % interval {low:.2%} to {high:.2%})" in line
    assert any(f"stays below {facts['calibration_error_by_chance']:.4f}" in line for line in lines)
