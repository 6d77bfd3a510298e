"""What a person types by mistake is told, not guessed."""

import shutil

import pytest


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
