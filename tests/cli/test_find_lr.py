"""minicnn find-lr: a picture and a suggestion."""

import pytest
from PIL import Image


def test_it_suggests_and_draws(tmp_path, command):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "lr.png"
    done = command("find-lr", "--steps", "30", "--batch-size", "32", "--plot", picture, "--json")
    assert done.code == 0
    assert len(done.json["rates"]) == len(done.json["losses"]) > 10
    assert done.json["rates"][0] < done.json["suggestion"] < done.json["rates"][-1]
    with Image.open(picture) as image:
        assert image.size > (100, 100)
    assert command("find-lr", "--step", "30").code == 2


def test_it_says_what_a_training_takes(command):
    assert (
        "adam; `minicnn train` takes --lr 0.005 for it unless you say otherwise"
        in command("find-lr", "--optimizer", "adam", "--steps", "30", "--lr", "0.3").err
    )


def test_the_folder_of_the_picture_is_made(tmp_path, command):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "new" / "lr.png"
    assert command("find-lr", "--steps", "30", "--batch-size", "32", "--plot", picture).code == 0
    assert picture.exists()
    done = command("find-lr", "--steps", "30", "--plot", picture / "lr.png")
    assert (done.code, "cannot create the output" in done.err or "File exists" in done.err) == (5, True)


def test_images_that_are_left_out_are_counted(command, pictures):
    (pictures("set", images=20) / "dark" / "bad.png").write_bytes(b"")
    done = command("find-lr", "--data", "set", "--skip-bad", "--steps", "30", "--model", "mlp")
    assert done.code == 0, done.err
    assert "1 images cannot be read and are left out (dark/bad.png: " in done.err
    assert "`minicnn data check` lists all" in done.err


@pytest.mark.parametrize("options", [("--accumulate", "2"), ("--mix", "mixup")])
def test_rates_are_tried_on_single_plain_batches(command, options):
    done = command("find-lr", *options)
    assert done.code == 2 and "single, plain batches" in done.err
