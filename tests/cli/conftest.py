"""A small trained run, and running commands in this process."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.core.threads import use_threads


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """So small a training is slower with more."""
    with use_threads(1):
        yield


@pytest.fixture(autouse=True)
def _without_reports(monkeypatch):
    """Drawing takes longer than the training; the run `trained` has a report."""
    monkeypatch.setattr("minicnn.train.report.write", lambda *args, **more: None)


@pytest.fixture
def command(capsys):
    """``command("info", "--json")`` gives code, output, error text, and the JSON object if there is one."""

    def run(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        last = out.strip().splitlines()[-1:] or [""]
        parsed = json.loads(last[0]) if "--json" in words and last[0].startswith("{") else None
        return SimpleNamespace(code=code, out=out, err=err, json=parsed)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run directory: twelve updates on the digits."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    assert (
        main(
            [
                "train",
                "--epochs",
                "2",
                "--max-steps",
                "12",
                "--batch-size",
                "128",
                "--threads",
                "1",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    return out


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Makes a folder of class folders in the working directory."""
    monkeypatch.chdir(tmp_path)

    def make(name, classes=("dark", "light"), images=6, sizes=((8, 8),)):
        for level, kind in enumerate(classes):
            folder = tmp_path / name / kind
            folder.mkdir(parents=True)
            for i in range(images):
                grey = np.full(sizes[i % len(sizes)], (60 * level + i) % 256, np.uint8)
                Image.fromarray(grey).save(folder / f"{i}.png")
        return tmp_path / name

    return make
