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


@pytest.mark.parametrize("options", [("--accumulate", "2"), ("--mix", "mixup")])
def test_rates_are_tried_on_single_plain_batches(command, options):
    done = command("find-lr", *options)
    assert done.code == 2 and "single, plain batches" in done.err
