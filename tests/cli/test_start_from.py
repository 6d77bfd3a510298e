"""A training that begins with the weights of another."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.data import sources
from minicnn.io import load
from minicnn.train.config import Config, load_toml
from minicnn.train.run import search_rate

SHORT = ("--max-steps", "1", "--lr", "1e-30", "--schedule", "constant", "--optimizer", "sgd", "--epochs", "1")


def weights(run):
    return {name: value.numpy() for name, value in load(run / "model.safetensors").items()}


def test_more_epochs_begin_where_the_others_ended(trained, tmp_path, command):
    out = tmp_path / "r"
    done = command("train", "--start-from", trained, *SHORT, "--out", out)
    assert done.code == 0, done.err
    assert f"it begins with the weights of {trained}; of all layers\n" in done.err
    assert "chosen for these data: batch size" in done.err  # the model was not
    before, after = weights(trained), weights(out)
    assert before.keys() == after.keys()
    for name, value in before.items():
        if "running" not in name and "num_batches" not in name:
            assert np.array_equal(value, after[name]), name
    assert load_toml(out / "config.toml")["model"] == "digits_cnn"
    assert (
        command("train", "--start-from", trained / "model.safetensors", *SHORT, "--out", tmp_path / "s").code
        == 0
    )
    checkpoint = max((trained / "checkpoints").iterdir())
    assert command("train", "--start-from", checkpoint, *SHORT, "--out", tmp_path / "c").code == 0
    for other in ("s", "c"):
        assert all(np.array_equal(value, after[name]) for name, value in weights(tmp_path / other).items())


def test_it_learns_on(trained, tmp_path, command):
    words = ("train", "--epochs", "1", "--lr", "1e-3", "--json")
    new = command(*words, "--out", tmp_path / "new").json
    on = command(*words, "--start-from", trained, "--out", tmp_path / "on").json
    assert on["val_accuracy"] > new["val_accuracy"] + 0.05


def test_the_last_layer_begins_anew_for_other_classes(trained, pictures, tmp_path, command):
    for name, classes in (("two", ("dark", "light")), ("ten", [f"grey{i}" for i in range(10)])):
        pictures(name, classes=classes, images=4)
        done = command(
            "train", "--data", name, "--start-from", trained, *SHORT, "--out", tmp_path / f"r{name}"
        )
        assert done.code == 0, done.err
        assert "the last layer, which is of other classes there, begins anew" in done.err
        before, after = weights(trained), weights(tmp_path / f"r{name}")
        last = list(before)[-1].rpartition(".")[0]
        other = {n for n, value in after.items() if not np.array_equal(before[n], value)}
        assert {n for n in other if "running" not in n and "num_batches" not in n} == {
            n for n in before if n.startswith(last)
        }


def told(done):
    """What was said of what a training before learned from."""
    assert done.code == 0, done.err
    return [line for line in done.err.splitlines() if "learned from" in line]


def test_weights_that_have_seen_what_validates_are_spoken_of(trained, tmp_path, command):
    def run(start, name, *options):
        return told(command("train", "--start-from", start, *SHORT, *options, "--out", tmp_path / name))

    assert run(trained, "same") == run(trained, "fewer", "--val-fraction", "0.05") == []
    assert run(trained, "none", "--seed", "1", "--val-fraction", "0") == []
    (line,) = run(trained, "other", "--seed", "1")
    split = "of the 143 images to validate on: --seed 0 --val-fraction 0.1 splits them as it did"
    assert line == f"{trained} learned from 124 {split}"
    assert run(trained / "model.safetensors", "file", "--seed", "1") == [line]
    assert run(max((trained / "checkpoints").iterdir()), "checkpoint", "--seed", "1") == [line]
    (line,) = run(tmp_path / "other", "third", "--seed", "1")  # the first of three learned from them
    assert line == f"{tmp_path / 'other'} learned from 124 of the 143 images to validate on"
    (tmp_path / "other" / "learned.npy").unlink()
    (line,) = run(tmp_path / "other", "fourth", "--seed", "1")
    assert line.startswith(f"nobody can tell which images {tmp_path / 'other'} learned from: ")
    assert not (tmp_path / "fourth" / "learned.npy").exists()  # it would not be all


def test_a_file_of_weights_that_lies_in_no_run_is_taken_as_it_is(trained, tmp_path, command):
    """Also beside a file of options, and below another program's."""
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(trained / "model.safetensors", folder / "pre.safetensors")
    (folder / "config.toml").write_text("lr = 1e-3\n")
    (tmp_path / "config.toml").write_text("[tool]\nname = 'other'\n")
    words = ("train", "--model", "digits_cnn", "--start-from", folder / "pre.safetensors", *SHORT)
    done = command(*words, "--out", tmp_path / "r")
    start = folder / "pre.safetensors"
    assert told(done) == [f"nobody can tell which images {start} learned from: it lies in no run"]
    assert not (tmp_path / "r" / "learned.npy").exists()
    done = command("evaluate", tmp_path / "r", "--data", _other_digits(tmp_path))
    assert "the run does not say which images it learned from: these may be among them\n" in done.err


def _other_digits(folder):
    """A few of the digits, as an archive."""
    source = sources.load("digits")
    np.savez(folder / "few.npz", images=source.train.pixels[:200], labels=source.train.labels[:200])
    return folder / "few.npz"


def test_what_was_learned_is_written_down_when_a_run_goes_on(trained, tmp_path, command):
    out = tmp_path / "r"
    assert command("train", "--max-steps", "2", "--out", out).code == 0
    before = (out / "learned.npy").read_bytes()
    (out / "learned.npy").unlink()  # as where it was killed just before
    assert command("train", "--resume", "--max-steps", "3", "--out", out).code == 0
    assert (out / "learned.npy").read_bytes() == before


def test_images_of_another_shape_are_refused_where_they_cannot_be_scaled(trained, tmp_path, command):
    np.savez(tmp_path / "set.npz", images=np.zeros((40, 12, 12), np.uint8), labels=np.arange(40) % 4)
    words = (
        "train",
        "--data",
        tmp_path / "set.npz",
        "--start-from",
        trained,
        *SHORT,
        "--out",
        tmp_path / "r",
    )
    done = command(*words)
    assert done.code == 2 and not (tmp_path / "r").exists()
    assert f"{trained} learned from images of shape (1, 8, 8), those of" in done.err
    assert "--image-size 12 tries it nevertheless" in done.err
    done = command(*words, "--image-size", "12")
    assert (done.code, "the last layer, which is of other classes there, begins anew" in done.err) == (
        0,
        True,
    )


def test_images_elsewhere_and_a_few_more_are_known_by_their_pixels(pictures, command):
    folder = pictures("set", images=12)
    words = ("train", "--model", "mlp", *SHORT)
    assert command(*words, "--data", "set", "--out", "a").code == 0
    copy = folder.with_name("more")
    shutil.copytree(folder, copy)
    for name in ("dark", "light"):
        Image.new("L", (8, 8), 230 + len(name)).save(copy / name / "new.png")
    lines = told(command(*words, "--data", "more", "--start-from", "a", "--out", "b"))
    assert [re.sub("[0-9]+", "N", line) for line in lines] == [
        "a learned from N of the N images to validate on",
        "a learned from N of the N images to test on",
    ]
    done = command("evaluate", "a", "--data", "more")
    assert done.err == "the run has learned from 20 of these 26 images: on them it is better than on others\n"
    for path in copy.glob("*/*"):
        path.unlink() if path.name != "new.png" else None
    assert (
        told(command(*words, "--data", "more", "--start-from", "a", "--val-fraction", "0", "--out", "c"))
        == []
    )
    assert "learned" not in command("evaluate", "a", "--data", "more").err


def test_other_images_are_brought_to_the_shape_of_before(pictures, command):
    pictures("small", sizes=((12, 12),))
    pictures("large", classes=("a", "b", "c"), sizes=((40, 30),))
    assert command("train", "--data", "small", "--model", "lenet5", *SHORT, "--out", "a").code == 0
    done = command("train", "--data", "large", "--start-from", "a", *SHORT, "--out", "b")
    assert done.code == 0, done.err
    assert " images of 12 x 12 pixels, 1 channel, 3 classes" in done.err
    assert command("evaluate", "b", "--json").code == 0
    done = command("train", "--resume", "--out", "b", "--max-steps", "2")
    assert done.code == 0, done.err


REAL = ("--epochs", "2", "--max-steps", "6", "--lr", "1e-3", "--json")  # digits_cnn has dropout


def test_a_stopped_training_ends_as_one_that_was_not(trained, tmp_path, command):
    start, out = tmp_path / "start.safetensors", tmp_path / "r"
    start.write_bytes((trained / "model.safetensors").read_bytes())
    words = ("train", "--start-from", start, *REAL)
    whole = command(*words, "--out", tmp_path / "whole").json
    assert (
        command("train", "--start-from", trained, *REAL, "--out", tmp_path / "dir").json["digest"]
        == whole["digest"]
    )
    assert command(*words, "--max-steps", "3", "--out", out).json["digest"] != whole["digest"]
    start.unlink()
    done = command("train", "--resume", "--out", out, *REAL)
    assert (done.code, "begins with" in done.err) == (0, False)
    assert done.json["digest"] == whole["digest"]


def test_a_training_stopped_before_its_first_checkpoint_begins_with_the_same(trained, tmp_path, command):
    start, out = tmp_path / "start.safetensors", tmp_path / "r"
    start.write_bytes((trained / "model.safetensors").read_bytes())
    whole = command("train", "--start-from", start, *REAL, "--out", out).json
    for path in (out / "checkpoints").iterdir():
        path.unlink()
    done = command("train", "--resume", "--out", out, "--json")
    assert (done.json["digest"], "it begins with the weights" in done.err) == (whole["digest"], True)
    for path in (out / "checkpoints").iterdir():
        path.unlink()
    other = {name: value + 1 for name, value in load(start).items()}
    minicnn.save(other, start)
    done = command("train", "--resume", "--out", out)
    assert (done.code, "has other weights than when this run was begun" in done.err) == (2, True)


def test_a_search_begins_with_them(trained):
    def first_loss(**options):
        config = Config(epochs=1, batch_size=256, threads=1, model="digits_cnn", **options)
        return search_rate(config, steps=30).losses[0]

    assert first_loss(start_from=str(trained)) < 0.7 * first_loss()


@pytest.mark.parametrize(
    ("start", "options", "code", "what"),
    [
        ("nothing", (), 2, "expected a run directory or a .safetensors file, got"),
        (
            "run",
            ("--model", "mlp"),
            2,
            "a run of digits_cnn, this one would be of mlp; leave out --model",
        ),
        ("part", (), 3, "unexpected"),
        ("no weights", (), 3, "not the weights of a model"),
        ("unfinished", (), 3, "not finished"),
    ],
)
def test_what_cannot_be_begun_with_is_refused(trained, tmp_path, command, start, options, code, what):
    place = tmp_path / "start"
    if start == "run":
        place = trained
    elif start == "part":
        minicnn.save({"somewhere.weight": minicnn.zeros(2)}, place)
    elif start == "no weights":
        minicnn.save({"weights": [minicnn.zeros(2)]}, place)
    elif start == "unfinished":
        place.mkdir()
        (place / "config.toml").write_text((trained / "config.toml").read_text())
    done = command("train", "--start-from", place, *options, *SHORT, "--out", tmp_path / "r")
    assert (done.code, what in done.err) == (code, True), done.err
    assert not (tmp_path / "r").exists()


def test_more_epochs_for_a_finished_run_are_pointed_there(trained, command):
    done = command("train", "--resume", "--out", trained, "--epochs", "9")
    assert (done.code, "--start-from RUN with another --out trains on" in done.err) == (2, True)
