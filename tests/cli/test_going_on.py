"""Runs that go on, or are done again: with data elsewhere, without their best weights, after any stop."""

import json
import os
import shutil
import signal

from minicnn.train.config import load_toml


def test_a_run_goes_on_where_its_data_have_moved_to(pictures, command):
    folder = pictures("set")
    words = ("train", "--model", "mlp", "--epochs", "4")
    whole = command(*words, "--data", "set", "--out", "whole", "--json").json["digest"]
    assert command(*words, "--data", "set", "--out", "r", "--max-steps", "1").code == 0
    folder.rename("elsewhere")
    done = command("train", "--resume", "--out", "r", "--data", "elsewhere", "--max-steps", "0", "--json")
    assert done.code == 0, done.err
    assert done.json["digest"] == whole
    assert "it goes on from update 1, in epoch 2\n" in done.err
    assert load_toml("r/config.toml")["data"] == "elsewhere"
    pictures("other", images=5)
    done = command("train", "--resume", "--out", "r", "--data", "other")
    assert (done.code, "these are other images; --start-from RUN" in done.err) == (2, True)


def test_a_run_says_where_max_steps_stopped_it_and_when_nothing_is_left(pictures, command):
    pictures("set")
    words = ("train", "--model", "mlp", "--epochs", "4", "--data", "set", "--out", "r")
    cut, goes_on = (
        "stopped by --max-steps, after 1 of 4 updates; --resume with more goes on",
        "it goes on from",
    )
    done = command(*words, "--max-steps", "1", "--json")
    assert cut in done.err and cut in done.json["remarks"]
    assert goes_on not in command("train", "--resume", "--out", "r").err  # no further than that
    done = command("train", "--resume", "--out", "r", "--max-steps", "0", "--json")
    assert goes_on in done.err and "--max-steps" not in done.err and cut not in done.json["remarks"]
    done = command("train", "--resume", "--out", "r")
    assert goes_on not in done.err and "r was at its end: nothing is left to train" in done.err


def test_a_run_that_is_done_again_with_other_images_says_so(pictures, command):
    folder = pictures("set")
    words = ("train", "--model", "mlp", "--epochs", "1", "--max-steps", "1")
    assert command(*words, "--data", "set", "--out", "a").code == 0
    said = "these are other images than those of the run that this does again\n"
    assert said not in command("train", "a/config.toml", "--out", "b").err
    (folder / "dark" / "0.png").unlink()
    assert said in command("train", "a/config.toml", "--out", "c").err


def test_a_run_without_its_best_weights_does_not_go_on_for_nothing(tmp_path, command):
    out = tmp_path / "r"
    words = ("train", "--best", "--epochs", "3", "--out", out)
    assert command(*words, "--max-steps", "25").code == 0
    (out / "best.safetensors").unlink()
    done = command("train", "--resume", "--out", out, "--max-steps", "0")
    assert (
        done.code,
        "best.safetensors: gone, with the weights of epoch 1, the best so far" in done.err,
    ) == (
        3,
        True,
    )


def test_a_damaged_result_is_no_reason_not_to_go_on(trained, tmp_path, command):
    out = tmp_path / "r"
    shutil.copytree(trained, out)
    (out / "result.json").write_text("{")
    assert command("train", "--resume", "--out", out).code == 0
    assert json.loads((out / "result.json").read_text())["steps"] == 12


def test_a_run_that_is_stopped_while_it_is_tested_is_not_finished(tmp_path, command, monkeypatch):
    def killed(*args):
        os.kill(os.getpid(), signal.SIGTERM)

    out = tmp_path / "r"
    with monkeypatch.context() as patch:
        patch.setattr("minicnn.train.outcome.measure", killed)
        assert command("train", "--max-steps", "3", "--out", out).code == 143
    assert not (out / "model.safetensors").exists() and not (out / "result.json").exists()
    assert command("train", "--resume", "--max-steps", "3", "--out", out).code == 0
