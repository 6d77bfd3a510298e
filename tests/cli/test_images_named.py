"""Commands that are given images by name, and name those that they tell of."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def digits(tmp_path):
    """Two images of the size of the digits, one larger, in folders, and a file that is no image."""
    for name, side in (("b/zero.png", 8), ("b/deep/one.webp", 8), ("b/wide.png", 20)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((side, side), 9 * side, np.uint8)).save(tmp_path / name)
    (tmp_path / "b" / "notes.txt").write_text("not looked at")
    return tmp_path / "b"


def test_predict_takes_folders_and_goes_on_after_a_bad_file(trained, digits, command):
    done = command("predict", trained, digits, digits / "zero.png", "--json", "--top", "1")
    names = [digits / name for name in ("deep/one.webp", "wide.png", "zero.png", "zero.png")]
    assert [one["image"] for one in done.json["predictions"]] == list(map(str, names))
    assert (done.code, done.json["skipped"]) == (0, [])
    left_out, scaled = done.err.splitlines()
    assert left_out.startswith("left out: 1 files of the folders whose names do not end in .png,")
    assert scaled == f"{digits / 'wide.png'}: 20 x 20 pixels; the middle is scaled to 8 x 8"
    bad = digits / "bad.png"
    bad.write_bytes(b"no image")
    for options, code in (((), 3), (("--skip-bad",), 0)):
        done = command("predict", trained, digits, *options, "--json")
        assert (done.code, len(done.json["predictions"])) == (code, 3)
        assert f"left out: {bad}: not an image" in done.err and done.json["skipped"][0].startswith(str(bad))
        done = command("predict", trained, digits, *options)
        assert (done.code, len(done.out.splitlines())) == (code, 3)


def test_predict_refuses_a_folder_without_images(trained, tmp_path, command):
    (tmp_path / "notes.txt").touch()
    done = command("predict", trained, tmp_path)
    assert (done.code, f"{tmp_path}: no file in it whose name ends in .png, .jpg" in done.err) == (3, True)
    done = command("predict", trained, tmp_path / "typo.png", "--skip-bad")
    assert (done.code, done.err) == (3, f"minicnn predict: {tmp_path / 'typo.png'}: no such file\n")


def test_many_files_are_answered_as_one_by_one(trained, tmp_path, monkeypatch):
    from minicnn.train import evaluate

    rng = np.random.default_rng(0)
    names = [tmp_path / f"{i}.png" for i in range(7)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8)).save(name)
    told: list[str] = []
    run = evaluate.open_run(trained)
    together = run.predict(names, tell=told.append)
    assert told == [
        f"{names[0]}: 9 x 9 pixels; the middle is scaled to 8 x 8",
        "6 more of other sizes, scaled likewise",
    ]
    for batch in (3, 1):
        monkeypatch.setattr(evaluate, "_BATCH", batch)
        for a, b in zip(together, run.predict(names), strict=True):
            assert dict(a) == pytest.approx(dict(b), abs=1e-6)


def test_check_names_the_images_that_occur_more_than_once(pictures, command):
    folder = pictures("set", images=30)
    shutil.copy(folder / "dark" / "3.png", folder / "dark" / "copy.png")
    shutil.copy(folder / "dark" / "4.png", folder / "light" / "other.png")
    found = command("data", "check", "set", "--json").json
    assert (found["repeated"], found["shared"]) == ({"training": 2}, {})
    copy, other = (
        {"part": "training", "image": f"{name}.png", "class": name.split("/")[0]}
        for name in ("dark/copy", "light/other")
    )
    assert found["equal"] == [
        [{**copy, "image": "dark/3.png"}, copy],
        [{**copy, "image": "dark/4.png"}, other],
    ]
    lines = command("data", "check", "set").out.splitlines()
    assert [line for line in lines if line.startswith("equal")] == [
        "equal, in different classes: dark/4.png (training, dark), light/other.png (training, light)",
        "equal: dark/3.png (training, dark), dark/copy.png (training, dark)",
    ]
    for i in range(5, 30):
        shutil.copy(folder / "dark" / f"{i}.png", folder / "dark" / f"again{i}.png")
    lines = command("data", "check", "set").out.splitlines()
    assert sum(line.startswith("equal") for line in lines) == 20
    assert "and 7 more: --json names them all" in lines
    for i in range(30):
        shutil.copy(folder / "light" / "9.png", folder / "light" / f"once more{i}.png")
    lines = command("data", "check", "set").out.splitlines()
    assert any(line.endswith(" and 11 more") and line.count(".png") == 20 for line in lines)


def test_images_in_two_parts_are_told_and_written_down(pictures, command):
    for part in ("train", "test", "val"):
        pictures(f"set/{part}", images=4)
        for path in (Path("set") / part).rglob("*.png"):  # no two are equal yet
            Image.new("L", (8, 8), 9 + len(part) + 20 * int(path.stem) + 7 * len(path.parent.name)).save(path)
    shutil.copy("set/train/dark/0.png", "set/test/dark/0.png")
    shutil.copy("set/train/light/1.png", "set/test/light/3.png")
    shutil.copy("set/train/dark/2.png", "set/val/light/2.png")
    expected = {"training and validation": 1, "training and test": 2}
    assert command("data", "check", "set", "--json").json["shared"] == expected
    done = command("train", "--data", "set", "--model", "mlp", "--epochs", "1", "--out", "r", "--json")
    assert done.json["shared_images"] == expected
    lines = done.err.splitlines()
    assert "test: 2 images of it are among those of training too" in lines
    assert "validation: image of it is among those of training too" in lines


def test_check_lists_all_that_cannot_be_read(pictures, command):
    folder = pictures("set")
    for i in range(7):
        (folder / "dark" / f"bad{i}.png").write_bytes(b"no image")
    for options, code in (((), 3), (("--skip-bad",), 0)):
        done = command("data", "check", "set", *options)
        assert (done.code, done.out.count("left out: dark/bad")) == (code, 7)


def test_images_for_others_come_first_among_what_is_left_out(pictures, command):
    folder = pictures("set")
    for ending in ("csv", "db", "doc", "ini", "json", "txt", "txt2", "xls", "tif"):
        for name in ("a", "b") if ending != "tif" else ("scan",):
            (folder / "dark" / f"{name}.{ending}").touch()
    note = next(line for line in command("data", "check", "set").out.splitlines() if line.startswith("note"))
    assert "left out, not png jpg" in note and ": 1 .tif, 2 .csv, " in note
    assert note.endswith(" and 3 more kinds of file(s)")


def test_evaluate_leaves_out_what_cannot_be_read(pictures, trained, command):
    folder = pictures("set", classes=[str(i) for i in range(10)], images=1)
    (folder / "3" / "bad.png").write_bytes(b"no image")
    done = command("evaluate", trained, "--data", folder)
    assert (done.code, "bad.png: not an image" in done.err) == (3, True)
    done = command("evaluate", trained, "--data", folder, "--skip-bad", "--json")
    assert (done.code, done.json["count"]) == (0, 10)
    assert "left out: 3/bad.png: " in done.err
    done = command("evaluate", trained, "--skip-bad")
    assert (done.code, "--skip-bad is for --data" in done.err) == (2, True)


def test_only_the_first_that_are_left_out_are_named(capsys):
    from minicnn.cli.output import tell_skipped

    tell_skipped([(f"{i}.png", "empty") for i in range(7)])
    assert capsys.readouterr().err.splitlines()[4:] == ["left out: 4.png: empty", "left out: 2 more"]
