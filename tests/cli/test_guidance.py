"""What a person types by mistake is told, not guessed."""

import gzip
import shutil

import numpy as np
import pytest
from PIL import Image


@pytest.mark.parametrize("option", ["--epochs", "--batch-size", "--lr"])
def test_zero_is_no_default_on_the_command_line(command, tmp_path, option):
    done = command("train", option, "0", "--out", tmp_path / "r")
    assert done.code == 2
    assert f"{option} must be more than 0" in done.err
    assert not (tmp_path / "r").exists()


def test_training_on_shapes_alone_is_refused(command, tmp_path):
    done = command("train", "--device", "meta", "--out", tmp_path / "r")
    assert done.code == 2
    assert "--device must be cpu or cuda" in done.err


def test_verify_looks_at_the_final_weights_of_a_run_too(command, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    assert command("verify", run).out.count("good") == 2
    weights = run / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    done = command("verify", run)
    assert done.code == 3
    assert "model.safetensors" in done.err


@pytest.mark.parametrize("words", [("train", "--out", "r"), ("evaluate", "RUN")])
@pytest.mark.parametrize("place", ["nowhere", "./nowhere", "no/where.tar"])
def test_a_data_set_that_is_not_there_is_usage(command, trained, tmp_path, monkeypatch, words, place):
    monkeypatch.chdir(tmp_path)
    words = [str(trained) if word == "RUN" else word for word in words]
    done = command(*words, "--data", place)
    assert done.code == 2
    assert "nowhere" in done.err or "no such file or folder" in done.err


def test_where_a_known_data_set_was_looked_for(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("train", "--data", "mnist", "--out", "r")
    assert done.code == 3
    assert done.err == (
        "minicnn train: train-images-idx3-ubyte(.gz): not in data/MNIST/raw, data/mnist, data/MNIST or data; "
        "--data-dir (data_dir) names another place\n"
    )


def test_a_file_is_no_data_set(command, tmp_path):
    (tmp_path / "0.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "a.toml").write_text("lr = 1\n")
    done = command("train", "--data", tmp_path / "0.jpg")
    assert (done.code, "a single image; give the folder of class folders" in done.err) == (3, True)
    done = command("train", "--data", tmp_path / "a.toml")
    assert (done.code, "not a data set: " in done.err) == (3, True)


@pytest.mark.parametrize(
    "words, text",
    [
        (("train", "--lr", "-1"), "--lr must be more than 0"),
        (("train", "--epochs", "-3"), "--epochs must be more than 0"),
        (("train", "--ep", "1"), "there is no option --ep; did you mean --epochs?"),
        (("train", "--skipbad"), "there is no option --skipbad; did you mean --skip-bad?"),
        (("train", "--compil"), "there is no option --compil; did you mean --compile?"),
        (("tune", "--epochs", "0", "--search", "lr=0.1,0.2"), "--epochs must be more than 0"),
        (("find-lr", "--batch-size", "0"), "--batch-size must be more than 0"),
        (("find-lr", "--device", "gpu"), "--device must be cpu or cuda, got 'gpu'"),
        (("train", "--optimizer", "adm"), "did you mean 'adam'?"),
        (("train", "--schedule", "cos"), "did you mean 'cosine'?"),
        (("train", "--device", "gpu"), "--device must be cpu or cuda, got 'gpu'"),
        (("--json", "info"), "--json goes behind the command: minicnn info --json"),
        (("--seed", "3", "train"), "--seed goes behind the command: minicnn train --seed"),
        (("--jsno",), "--jsno goes behind the command: minicnn COMMAND --jsno"),
    ],
)
def test_slips_of_the_hand(command, tmp_path, monkeypatch, words, text):
    monkeypatch.chdir(tmp_path)
    done = command(*words)
    assert done.code == 2
    assert text in done.err and "meta" not in done.err
    assert not any(tmp_path.iterdir())


def test_a_folder_with_the_name_of_a_data_set_is_not_passed_over(command, pictures):
    pictures("digits")
    done = command("train", "--data", "digits", "--out", "r")
    assert (done.code, "'digits' is a data set known by name and a folder that is here" in done.err) == (
        2,
        True,
    )
    assert "./digits is the folder" in done.err
    words = ("train", "--model", "mlp", "--max-steps", "1", "--epochs", "1")
    assert " 2 classes;" in command(*words, "--data", "./digits", "--out", "mine").err
    assert " 10 classes;" in command(*words, "--data", "digits", "--data-dir", "data", "--out", "known").err


def test_a_size_for_images_that_are_not_scaled_is_refused(command, tmp_path):
    np.savez(tmp_path / "set.npz", images=np.zeros((20, 8, 8), np.uint8), labels=np.arange(20) % 2)
    for data in ("digits", tmp_path / "set.npz"):
        done = command("train", "--data", data, "--image-size", "16", "--out", tmp_path / "r")
        assert (done.code, "its images are 8 x 8 pixels and stay so, got image_size 16" in done.err) == (
            2,
            True,
        )
    words = ("train", "--data", tmp_path / "set.npz", "--image-size", "8", "--model", "mlp", "--epochs", "1")
    assert command(*words, "--out", tmp_path / "r").code == 0


@pytest.mark.parametrize("words", [("train", "--out", "r"), ("find-lr",), ("experiment", "overfitting")])
def test_one_class_is_nothing_to_tell_apart(command, pictures, words):
    pictures("set", classes=("only",), images=40)
    done = command(*words, "--data", "set")
    assert (done.code, "only one class" in done.err) == (2, True)


def test_help_tells_the_exit_codes(command):
    done = command("--help")
    text = " ".join(done.out.split())
    for part in ("2 usage", "3 bad input file", "4 numbers", "5 input/output", "130 and 143"):
        assert part in text


def test_load_finds_out_the_kind(command, trained, tmp_path):
    (tmp_path / "a.idx").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 9, 7]))
    (tmp_path / "b.gz").write_bytes(gzip.compress((tmp_path / "a.idx").read_bytes()))
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "a.bin", "PNG")
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "a.ppm")
    (tmp_path / "batch").write_bytes(bytes(3073 * 2))
    (tmp_path / "hundred").write_bytes(bytes(3074 * 2))
    expected = {
        tmp_path / "a.idx": "idx",
        tmp_path / "b.gz": "idx",
        tmp_path / "a.bin": "image",
        tmp_path / "a.ppm": "image",
        tmp_path / "batch": "cifar",
        tmp_path / "hundred": "cifar",
        trained / "model.safetensors": "safetensors",
        trained / "config.toml": "config",
    }
    found = {path: command("load", path, "--json").json["kind"] for path in expected}
    assert found == expected


def test_load_says_where_it_cannot_find_out_the_kind(command, tmp_path):
    (tmp_path / "a").write_bytes(b"what")
    done = command("load", tmp_path / "a")
    assert (done.code, "cannot tell what it is; --kind says it" in done.err) == (3, True)
    assert command("load", tmp_path / "none").code == 3
