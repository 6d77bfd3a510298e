"""The other commands on a small trained run, and the frame around all of them."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import backends, nn
from minicnn.data import sources
from minicnn.io import checkpoint, safetensors

# -- evaluate --------------------------------------------------------------------------------


def test_evaluate_repeats_what_training_measured(trained, command):
    done = command("evaluate", trained, "--json")
    result = json.loads((trained / "result.json").read_text())
    assert done.code == 0
    assert done.json["test_accuracy"] == result["test_accuracy"]
    assert done.json["confusion"] == result["test"]["confusion"]
    assert np.sum(done.json["confusion"]) == done.json["count"] == 359
    assert done.json["classes"]["3"].keys() == {"precision", "recall", "f1", "support", "intervals"}


def test_evaluate_has_the_promised_fields(trained, command):
    done = command("evaluate", trained, "--json").json
    result = json.loads((trained / "result.json").read_text())
    for name in ("test_accuracy", "val_accuracy", "epochs", "steps", "digest", "backend", "threads"):
        assert done[name] == result[name]
    assert done["test_loss"] == pytest.approx(result["test_loss"], rel=1e-6)
    assert done["images_per_second"] == pytest.approx(359 / done["seconds"])


@pytest.fixture
def computed(monkeypatch):
    """With which backends and how many threads a model's scores are computed."""
    seen = set()
    forward = nn.Sequential.forward

    def watched(self, images):
        seen.add((backends.active().name, minicnn.get_num_threads()))
        return forward(self, images)

    monkeypatch.setattr(nn.Sequential, "forward", watched)
    return seen


@pytest.mark.parametrize("name", ["evaluate", "predict"])
def test_a_run_is_asked_with_its_own_threads_and_backend(trained, tmp_path, command, computed, name):
    run = tmp_path / "r"
    shutil.copytree(trained, run)
    config = (run / "config.toml").read_text()

    def recorded(backend):
        text = re.sub("^threads = .*", "threads = 3", config, flags=re.MULTILINE)
        text = re.sub("^backend = .*", f'backend = "{backend}"', text, flags=re.MULTILINE)
        (run / "config.toml").write_text(text)

    words = [name, run, "--json"]
    if name == "predict":
        Image.new("L", (8, 8)).save(tmp_path / "0.png")
        words.append(tmp_path / "0.png")
    for backend, options, threads in (
        ("numpy", (), 3),
        ("numpy", ("--threads", "2"), 2),
        ("of another machine", ("--backend", "numpy"), 3),
    ):
        recorded(backend)
        computed.clear()
        done = command(*words, *options)
        assert done.code == 0, done.err
        assert computed == {("numpy", threads)}
        if name == "evaluate":
            assert (done.json["backend"], done.json["threads"]) == ("numpy", threads)
    assert minicnn.get_num_threads() == 1
    done = command(*words)  # the other machine's
    assert (done.code, "expected a backend out of numpy" in done.err) == (2, True)


def test_evaluate_says_what_it_can_of_a_run_without_results(trained, tmp_path, command):
    for name in ("config.toml", "model.safetensors"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    done = command("evaluate", tmp_path, "--json").json
    assert done["test_accuracy"] > 0 and done["val_accuracy"] is done["digest"] is done["steps"] is None
    for content in ("{", "[1]"):
        (tmp_path / "result.json").write_text(content)
        done = command("evaluate", tmp_path, "--json")
        assert (done.code, done.err.count("result.json: damaged")) == (3, 1)


def test_evaluate_prints_tables_for_people(trained, command):
    done = command("evaluate", trained, "--data", "digits")
    lines = done.out.splitlines()
    assert lines[0].startswith("accuracy ") and "on 359 images" in lines[0]
    assert ["class", "precision", "recall", "F1", "images"] in [line.split() for line in lines]
    assert "macro average" in done.out and "confusion matrix" in done.out


@pytest.fixture
def folder_of_images(tmp_path):
    """Six grey images of 8 x 8 in two classes."""
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(6):
            grey = np.full((8, 8), level + i, np.uint8)
            Image.fromarray(grey).save(tmp_path / "images" / name / f"{i}.png")
    return tmp_path / "images"


def test_evaluate_refuses_data_with_other_classes(trained, folder_of_images, command):
    done = command("evaluate", trained, "--data", folder_of_images)
    assert done.code == 3
    assert "0.png: 'dark' is not one of the 10 classes" in done.err


@pytest.mark.parametrize("name", ["evaluate", "predict"])
def test_what_is_no_run_directory_is_refused(tmp_path, command, name):
    done = command(name, tmp_path, *(["x.png"] if name == "predict" else []))
    assert (done.code, "not a run directory" in done.err) == (2, True)
    (tmp_path / "config.toml").write_text("lr = 0.1\n")
    done = command(name, tmp_path, *(["x.png"] if name == "predict" else []))
    assert (done.code, "does not say what the data were like" in done.err) == (2, True)


def test_an_unfinished_run_says_so(trained, tmp_path, command):
    (tmp_path / "config.toml").write_text((trained / "config.toml").read_text())
    done = command("evaluate", tmp_path)
    assert (done.code, "not finished; train with --resume" in done.err) == (3, True)


def test_a_run_on_a_folder_sets_images_aside_to_test_on(folder_of_images, tmp_path, command):
    out = tmp_path / "r"
    options = ("--model", "mlp", "--epochs", "3", "--val-fraction", "0.2", "--json", "--out", out)
    done = command("train", "--data", folder_of_images, *options)
    assert done.code == 0, done.err
    assert command("evaluate", out, "--json").json["count"] == 2
    found = command(
        "predict", out, folder_of_images / "dark" / "0.png", folder_of_images / "light" / "0.png", "--json"
    )
    assert [p["classes"][0]["class"] for p in found.json["predictions"]] == ["dark", "light"]


# -- predict ---------------------------------------------------------------------------------


def test_predict_treats_an_image_file_as_a_test_image(trained, tmp_path, command):
    from minicnn.train.evaluate import open_run

    image, _ = sources.load("digits").test[7]
    image.save(tmp_path / "a.png")
    image.convert("RGB").save(tmp_path / "b.bmp")
    done = command("predict", trained, tmp_path / "a.png", tmp_path / "b.bmp", "--json")
    run = open_run(trained)
    tensor = run._transform()(image)
    with minicnn.no_grad():
        scores = run.model(tensor.reshape(1, 1, 8, 8)).numpy()[0].astype(np.float64)
    expected = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    first, second = done.json["predictions"]
    assert {c["class"]: c["probability"] for c in first["classes"]} == pytest.approx(
        dict(zip("0123456789", expected.tolist(), strict=True)), abs=1e-6
    )
    assert [c["class"] for c in first["classes"]] == [c["class"] for c in second["classes"]]
    assert first["classes"][0]["probability"] == pytest.approx(second["classes"][0]["probability"], abs=1e-6)
    assert first["classes"] == sorted(first["classes"], key=lambda c: -c["probability"])


def test_predict_brings_other_sizes_to_that_of_training(trained, tmp_path, command):
    Image.fromarray(np.zeros((20, 31, 3), np.uint8)).save(tmp_path / "a.png")
    done = command("predict", trained, tmp_path / "a.png", "--top", "2")
    assert done.code == 0
    assert done.out.count("%") == 2


@pytest.mark.parametrize("content", [None, b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_predict_refuses_what_is_no_image(trained, tmp_path, command, content):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    done = command("predict", trained, tmp_path / "a.png")
    assert done.code == 3
    assert "a.png" in done.err and len(done.err.splitlines()) == 1


# -- summary, gradcheck, info ----------------------------------------------------------------


def test_summary_of_a_model_and_of_a_run(trained, command):
    done = command("summary", "lenet5", "--json")
    assert (done.json["parameters"], done.json["input"]) == (61_706, [1, 1, 28, 28])
    assert {
        "name",
        "kind",
        "output_shape",
        "parameters",
        "macs",
        "activation_bytes",
        "scratch_bytes",
        "seconds",
    } == done.json["layers"][0].keys()
    assert command("summary", trained, "--json").json["input"] == [1, 1, 8, 8]
    assert (
        "Conv2d"
        in command("summary", "resnet20", "--input", "3x16x16", "--batch-size", "4", "--classes", "3").out
    )


def test_summary_of_a_run_takes_no_other_shape(trained, command):
    for options in (("--input", "1,9,9"), ("--classes", "3")):
        done = command("summary", trained, *options)
        assert done.code == 2 and "are those of the run" in done.err


def test_summary_tells_the_expected_time_or_why_not(command, monkeypatch):
    without = command("summary", "lenet5", "--no-time", "--json").json
    assert without["step_seconds"] is without["layers"][0]["seconds"] is None
    if minicnn.backends.active().name == "native":
        done = command("summary", "lenet5", "--json")
        assert done.json["step_seconds"] > sum(row["seconds"] for row in done.json["layers"]) > 0
        assert "expected time of a training step with Adam" in command("summary", "lenet5").out
    with minicnn.use_backend("numpy"):
        assert command("summary", "lenet5", "--json").json["step_seconds"] is None
        assert "no expected time: " in command("summary", "lenet5").out


@pytest.mark.parametrize(
    "options",
    [
        ("lenet",),
        ("lenet5", "--input", "1,4,4"),
        *(
            ("lenet5", "--input", text)
            for text in ("a", "", "0,1,1", "1,-1,1", "²,²,²", "1,99999999,99999999")
        ),
        *(("mlp", "--batch-size", text) for text in ("0", "-1", "1.5", "nan", "", 40 * "9", 5000 * "9")),
        *(("mlp", "--classes", text) for text in ("0", "99999999999", 40 * "9")),
        ("mlp", "--input", "3,65536,65536"),
    ],
)
def test_summary_refuses(command, options):
    done = command("summary", *options)
    assert done.code == 2
    assert 1 <= len(done.err.splitlines()) <= 3


def test_gradcheck_reports_coverage_and_the_worst_element(command):
    done = command("gradcheck", "relu", "conv2d", "--json")
    assert (done.code, done.json["ok"]) == (0, True)
    facts = done.json["operations"]["conv2d"]
    assert facts["checked"] == facts["elements"] > 0
    assert facts["worst_error"] < 1 and facts["worst_at"]
    assert "1 of 1 operations passed" in command("gradcheck", "relu").out


def test_gradcheck_fails_on_a_wrong_gradient(command, monkeypatch):
    from minicnn.ops import relu

    monkeypatch.setattr(
        relu.backward_kernel, "reference", lambda xp, gy, saved, needs: (gy * 1.001 * (saved[0] > 0),)
    )
    with minicnn.use_backend("numpy"):
        done = command("gradcheck", "relu", "--json")
        text = command("gradcheck", "relu").out
    assert (done.code, done.json["ok"]) == (1, False)
    assert done.json["operations"]["relu"]["failures"]
    assert "WRONG" in text and "0 of 1 operations passed" in text


@pytest.mark.parametrize("words", [("gradcheck", "relu", "--seed"), ("predict", "r", "a.png", "--top")])
@pytest.mark.parametrize("number", ["-1", "inf", "1e3", "", 40 * "9"])
def test_numbers_out_of_range_are_refused_by_the_option(command, words, number):
    done = command(*words[:-1], f"{words[-1]}={number}")
    assert done.code == 2
    assert f"argument {words[-1]}: expected a whole number from" in done.err
    assert len(done.err.splitlines()) == 2


def test_gradcheck_refuses_an_unknown_operation(command):
    done = command("gradcheck", "conv3d")
    assert (done.code, "did you mean 'conv2d'?" in done.err) == (2, True)


def test_info_tells_about_backends_and_operations(command):
    done = command("info", "--json")
    assert done.json["version"] == minicnn.__version__
    assert done.json["backends"].keys() >= {"numpy", "native", "cuda"}
    assert done.json["operations"]["conv2d"]["numpy"] == "reference"
    assert done.json["threads"] >= 1 and done.json["libraries"]
    text = command("info").out
    assert "backends" in text and "conv2d.backward" in text


def test_info_tells_which_algorithm_serves_convolutions(command):
    pytest.importorskip("minicnn._native", reason="the extension was not built")
    found = command("info", "--json").json
    assert found["conv_precision"] == "high" and found["conv_algorithms"].startswith("winograd for 3 x 3")
    assert f"convolutions: precision high, {found['conv_algorithms']}\n" in command("info").out
    minicnn.set_conv_precision("highest")
    try:
        assert "winograd" not in command("info", "--json").json["conv_algorithms"]
    finally:
        minicnn.set_conv_precision("high")


# -- load, verify, digest --------------------------------------------------------------------


def test_load_says_what_is_in_a_file(trained, tmp_path, command):
    (tmp_path / "a.idx").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 9, 7]))
    Image.fromarray(np.full((2, 3), 9, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.bin").write_bytes(bytes([3]) + bytes(3072))

    def load(kind, path):
        return command("load", "--kind", kind, path, "--json").json

    facts = load("idx", tmp_path / "a.idx")
    assert (facts["dtype"], facts["shape"], facts["minimum"], facts["maximum"]) == ("uint8", [3], 5, 9)
    image = load("image", tmp_path / "a.png")
    assert (image["format"], image["width"], image["height"]) == ("PNG", 3, 2)
    assert load("cifar", tmp_path / "a.bin")["counts"] == {"3": 1}
    tensors = load("safetensors", trained / "model.safetensors")["tensors"]
    assert tensors["features.0.weight"] == ["float32", [16, 1, 3, 3]]
    assert load("config", trained / "config.toml")["options"]["model"] == "digits_cnn"
    assert "counts   5: 1, 7: 1, 9: 1" in command("load", "--kind", "idx", tmp_path / "a.idx").out


@pytest.mark.parametrize(
    "kind, code", [("idx", 3), ("cifar", 3), ("image", 3), ("safetensors", 3), ("onnx", 2), ("config", 2)]
)
@pytest.mark.parametrize("content", [b"\xff\xfe garbage \x00", None])
def test_load_refuses_bad_and_missing_files(tmp_path, command, kind, code, content):
    if content is not None:
        (tmp_path / "bad").write_bytes(content)
    done = command("load", "--kind", kind, tmp_path / "bad")
    assert done.code == code
    assert ("bad" in done.err or "not supported yet" in done.err) and len(done.err.splitlines()) <= 3


def test_verify_and_digest_agree(trained, command):
    newest = checkpoint.find(trained)
    facts = command("verify", trained, "--json").json
    assert (facts["path"], facts["kind"], facts["step"], facts["finite"]) == (
        str(newest),
        "checkpoint",
        12,
        True,
    )
    assert (
        command("digest", newest).out.strip()
        == facts["digest"]
        == command("digest", trained, "--json").json["digest"]
    )
    assert "good checkpoint, step 12" in command("verify", trained).out
    assert "good tensors" in command("verify", trained / "model.safetensors").out


@pytest.mark.parametrize("words", [("verify",), ("digest",), ("load", "--kind", "safetensors")])
def test_whoever_reads_a_checkpoint_refuses_damage(trained, tmp_path, command, words):
    content = checkpoint.find(trained).read_bytes()
    (tmp_path / "a").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    done = command(*words, tmp_path / "a")
    assert (done.code, "SHA-256" in done.err) == (3, True)
    assert command(*words, tmp_path / "none").code == 3
    assert command(*words, tmp_path).code == 3


def test_other_programs_can_read_the_weights(trained):
    tensors, _ = safetensors.load_file(trained / "model.safetensors")
    assert tensors["features.0.weight"].shape == (16, 1, 3, 3)
