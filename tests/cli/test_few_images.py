"""Data sets of one's own that are small, lopsided or mixed: what cannot be measured is not reported as 0."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def test_without_test_images_there_is_no_test_accuracy(pictures, command):
    pictures("tiny", images=1)
    done = command("train", "--data", "tiny", "--epochs", "1", "--out", "r", "--json")
    assert done.code == 0, done.err
    assert done.json["test_accuracy"] is done.json["test_loss"] is done.json["macro_f1"] is None
    with open("r/result.json") as file:
        assert json.load(file)["test"]["accuracy"] is None
    done = command("evaluate", "r", "--json")
    assert (done.code, done.json["test_accuracy"], done.json["count"]) == (0, None, 0)
    for words in (("train", "--data", "tiny", "--epochs", "1", "--out", "r2"), ("evaluate", "r")):
        done = command(*words)
        assert done.code == 0
        assert "no test images" in done.out and "0.00%" not in done.out.splitlines()[0]


def test_a_report_needs_no_test_images(pictures, command, monkeypatch):
    from minicnn.train import report

    monkeypatch.undo()
    monkeypatch.chdir(pictures("tiny", images=1).parent)
    command("train", "--data", "tiny", "--epochs", "1", "--out", "r")
    assert report.missing() or "on 0 images" in Path("r/report.html").read_text()


def test_one_class_is_nothing_to_learn(pictures, command):
    pictures("single", classes=("cat",))
    done = command("train", "--data", "single", "--max-steps", "1", "--out", "r")
    assert done.code == 2
    assert "only one class, 'cat': there is nothing to tell apart" in done.err


@pytest.mark.parametrize("sizes", [((8, 8), (10, 12)), ((300, 250),)])
def test_a_change_of_size_is_told(pictures, command, sizes):
    pictures("mixed", sizes=sizes)
    done = command("train", "--data", "mixed", "--max-steps", "1", "--out", "r", "--model", "mlp")
    size = {(8, 8): "10 x 10", (300, 250): "224 x 224"}[sizes[0]]
    assert f"the middle of each image is scaled to {size} pixels" in done.err


def test_images_of_one_size_are_not_spoken_of(pictures, command):
    pictures("equal")
    done = command("train", "--data", "equal", "--max-steps", "1", "--out", "r")
    assert done.code == 0 and "scaled" not in done.err


def test_predict_tells_of_a_change_of_size(trained, tmp_path, command):
    for name, size in (("a.png", (8, 8)), ("b.png", (20, 31))):
        Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / name)
    done = command("predict", trained, tmp_path / "a.png", tmp_path / "b.png")
    assert done.code == 0
    assert done.err == f"{tmp_path / 'b.png'}: 20 x 31 pixels; the middle is scaled to 8 x 8\n"


def test_images_that_are_gone_are_told(pictures, command):
    folder = pictures("abc")
    assert command("train", "--data", "abc", "--max-steps", "1", "--out", "r").code == 0
    folder.rename(folder.with_name("xyz"))
    done = command("evaluate", "r")
    assert done.code == 2
    assert f"the images of this run, 'abc', are not in {folder.parent}; go to" in done.err
    assert command("evaluate", "r", "--data", "xyz").code == 0


def test_images_that_have_changed_are_not_measured_as_the_runs_own(pictures, command):
    folder = pictures("abc", images=12)
    assert command("train", "--data", "abc", "--max-steps", "1", "--out", "r").code == 0
    assert command("evaluate", "r").code == 0
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "dark" / "new.png")
    done = command("evaluate", "r")
    assert done.code == 2 and "'abc', have changed since it was trained; --data takes" in done.err
    done = command("evaluate", "r", "--data", "abc")
    assert done.code == 0 and "the run has learned from 2" in done.err
    assert (
        len(Path("r/test_set.jsonl").read_text().splitlines()) == 2
    )  # the training's and the first evaluation
