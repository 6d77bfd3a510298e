"""Results that are kept one by one: experiments and searches that are killed go on, to the same end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import minicnn
from minicnn import backends
from minicnn.cli import main
from minicnn.errors import FormatError, OptionError
from minicnn.train.journal import Journal, held


def test_what_is_done_is_not_done_again(tmp_path):
    made = []

    def result():
        made.append(1)
        return {"accuracy": 1 / 3, "curve": [0.1, None]}

    first = Journal(tmp_path / "j.json", {"seeds": (1, 2)})
    assert first.once("a", result) == first.once("a", result) == result()
    assert len(made) == 2
    again = Journal(tmp_path / "j.json", {"seeds": (1, 2)})
    assert again.once("a", pytest.fail) == {"accuracy": 1 / 3, "curve": [0.1, None]}
    assert Journal().once("a", lambda: 7) == 7
    assert os.listdir(tmp_path) == ["j.json"]


def test_results_of_other_settings_are_refused(tmp_path):
    path = tmp_path / "j.json"
    Journal(path, {"epochs": 3, "seeds": 2}).add("a", 1)
    with pytest.raises(OptionError, match=r"j.json was begun with seeds 2, now it is 5; another --out"):
        Journal(path, {"epochs": 3, "seeds": 5})
    with pytest.raises(OptionError, match="begun with noise None, now it is 0.1"):
        Journal(path, {"epochs": 3, "seeds": 2, "noise": 0.1})
    with pytest.raises(OptionError, match="begun with seeds 2, now it is None"):
        Journal(path, {"epochs": 3})


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"done": {}}', '{"settings": 1, "done": {}}'])
def test_a_damaged_journal_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "j.json"
    path.write_text(content)
    with pytest.raises(FormatError, match="damaged"):
        Journal(path)
    assert path.read_text() == content


SMALL = ("--train-images", "60", "--val-images", "60", "--seeds", "2", "--epochs")
COMMANDS = {
    "overfitting": ("experiment", "overfitting", *SMALL, "8"),
    "losses": ("experiment", "losses", *SMALL, "2"),
    "tune": (
        *("tune", "--epochs", "2", "--batch-size", "128", "--backend", "numpy", "--model", "mlp"),
        *("--trials", "14", "--search", "lr=1e-6:1e-2:log", "--search", "optimizer=adam,sgd"),
    ),
}
RESULT = {"overfitting": "overfitting.json", "losses": "losses.json", "tune": "trials.json"}


def killed_after(count, words, journal):
    """Run a command until so many trainings are written down; then it is killed. Those that there are."""
    environment = {**os.environ, "PYTHONPATH": str(Path(minicnn.__file__).parents[1])}
    command = [sys.executable, "-P", "-m", "minicnn", *words]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)
    try:
        while True:
            assert process.poll() is None, "it ended before it was killed"
            if journal.exists() and len(json.loads(journal.read_text())["done"]) >= count:
                break
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return json.loads(journal.read_text())["done"]


@pytest.mark.parametrize("name", COMMANDS)
def test_what_was_killed_goes_on_to_the_same_end(tmp_path, capsys, name):
    pytest.importorskip("matplotlib")
    if name == "tune":
        pytest.importorskip("optuna")
    journal = tmp_path / "cut" / f"{name}.trainings.json"
    words = [*COMMANDS[name], "--out"]
    assert main([*words, str(tmp_path / "whole")]) == 0
    told = len(capsys.readouterr().err.splitlines())
    done = killed_after(3, [*words, str(tmp_path / "cut")], journal)
    assert not (tmp_path / "cut" / RESULT[name]).exists()
    assert main([*words, str(tmp_path / "cut")]) == 0
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{len(done)} trainings are done")
    assert len(others) == told - sum(result is not None for result in done.values())  # nothing is told of NaN
    results = [(tmp_path / run / RESULT[name]).read_text() for run in ("whole", "cut")]
    assert results[0] == results[1]
    changed = [word.replace("2", "3") if word == "2" else word for word in words]  # seeds, epochs
    assert main([*changed, str(tmp_path / "cut")]) == 2
    assert "trainings.json was begun with" in capsys.readouterr().err
    assert (tmp_path / "cut" / RESULT[name]).read_text() == results[0]


def test_two_processes_do_not_write_one_journal(tmp_path, capsys):
    pytest.importorskip("fcntl")
    pytest.importorskip("matplotlib")
    words = [*COMMANDS["overfitting"], "--out", str(tmp_path)]
    with held(tmp_path / "overfitting.trainings.json", {}, print):
        assert main(words) == 2
        assert "another process is writing" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_a_finished_search_goes_on_with_more_trials(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("optuna")
    words = [word if word != "14" else "3" for word in COMMANDS["tune"]]
    assert main([*words, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main([*("5" if word == "3" else word for word in words), "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("3 trainings are done")
    assert [line.split(":")[0] for line in told[1:]] == ["trial 4 of 5", "trial 5 of 5"]
    assert len(json.loads((tmp_path / "trials.json").read_text())["trials"]) == 5


def test_a_search_does_not_go_on_with_another_backend_or_version(tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("optuna")
    words = ["tune", "--epochs", "1", "--model", "mlp", "--search", "lr=1e-4:1e-2:log", "--trials", "1"]
    words += ["--threads", "1", "--out", str(tmp_path)]
    with backends.use_backend("numpy"):
        assert main(words) == 0
    kept = json.loads((tmp_path / "tune.trainings.json").read_text())["settings"]
    assert (kept["version"], kept["backend"]) == (minicnn.__version__, "numpy")
    assert main([*words, "--backend", "numpy"]) == 0  # the same, in so many words
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr("minicnn.train.journal.__version__", "0.0.1")
        assert main([*words, "--backend", "numpy"]) == 2
    assert "was begun with version" in capsys.readouterr().err
    if backends.unavailable("native") is None:
        with backends.use_backend("native"):
            assert main(words) == 2
        assert "was begun with backend 'numpy'" in capsys.readouterr().err
