"""How many digits convolutions keep: as docs/kernels.md says, and as set_conv_precision promises."""

import re
import runpy
from pathlib import Path

import pytest

from minicnn import set_conv_precision
from minicnn.backends.native.conv import (
    FEW_CHANNELS,
    FEW_TILES,
    MOST_CHANNELS,
    MOST_TILES,
    algorithm,
    gradient_algorithm,
)

ROOT = Path(__file__).parents[2]
SAME = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
ROUGHLY = 2  # times: machines have other CPU levels, and compilers add in other orders


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "docs/make_kernels.py"))


@pytest.fixture(scope="module")
def page(script):
    return script["rows_of"]((ROOT / "docs/kernels.md").read_text(encoding="utf-8"))


LONGEST = ("512 channels", "4,096 channels in", "16,384 tiles")
NAMES = (
    *("64 channels", "4,096 channels out", *LONGEST),
    *(f"{name}, {draw}" for draw in ("positive", "constant") for name in LONGEST),
)


def test_the_page_has_all_rows(script, page):
    assert page.keys() == script["ROWS"].keys() == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_errors_are_those_of_the_page_and_within_the_promise(script, page, name):
    found = script["errors"](name)
    assert len(found) == len(page[name]) == 12
    assert all(a / ROUGHLY < b < a * ROUGHLY for a, b in zip(found, page[name], strict=True)), found
    promised = re.search(r"up to (\S+) of the\s+largest result", set_conv_precision.__doc__)
    assert max(found[1::2]) < float(promised[1])


def test_winograd_serves_sums_only_as_long_as_keep_the_promise():
    def chosen(channels, tiles, results=16, choose=algorithm):
        return choose((results, channels, 3, 3), (tiles, channels, 4, 4), SAME)

    assert chosen(MOST_CHANNELS, 64) == "winograd" == chosen(FEW_CHANNELS, FEW_TILES)
    assert chosen(MOST_CHANNELS + 1, 64) == chosen(64, 64, MOST_CHANNELS + 1) == "direct"
    assert chosen(FEW_CHANNELS - 1, 64) == chosen(64, FEW_TILES - 1) == "direct"
    assert chosen(64, MOST_TILES, choose=gradient_algorithm) == "winograd" == chosen(64, MOST_TILES + 1)
    assert chosen(64, MOST_TILES + 1, choose=gradient_algorithm) == "direct"
