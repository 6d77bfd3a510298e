"""The search finds what is better, repeats itself, and never looks at test images."""

import json
import os

import pytest

from minicnn.data import sealed
from minicnn.errors import OptionError
from minicnn.train.config import Config, load_toml
from minicnn.train.search import Span, parse_space


def test_spans_are_read_from_words():
    space = parse_space(["lr=1e-4:0.1:log", "batch-size=32:256", "optimizer=sgd,adam", "accumulate=1,2"])
    assert space["lr"] == Span((), 1e-4, 0.1, True, False)
    assert space["batch_size"] == Span((), 32, 256, False, True)
    assert space["optimizer"].choices == ("sgd", "adam")
    assert space["accumulate"].choices == (1, 2)


@pytest.mark.parametrize(
    "word, what",
    [
        ("rate=1:2", "no option 'rate' to search"),
        ("lr", "no option 'lr' to search"),
        ("lr=1:x", "expected low:high"),
        ("lr=2:1", "expected low:high"),
        ("lr=0:1:log", "a low end larger than 0"),
        ("lr=-1:1", "option lr: expected at least 0"),
        ("optimizer=sgd,adem", "did you mean 'adam'"),
        ("optimizer=a:b", "expected low:high"),
        ("epochs=a,b", "expected values of type int"),
        ("seed=0,1,2", "no option 'seed' to search"),
        ("val-fraction=0.1,0.5", "no option 'val_fraction' to search"),
        ("batch-size=0.5:64:log", "a low end larger than 0"),
        ("batch-size=0:64", "0 leaves the option open"),
        ("lr=0,0.1", "0 leaves the option open"),
    ],
)
def test_what_is_no_span_is_refused(word, what):
    with pytest.raises(OptionError, match=what):
        parse_space([word])


def test_without_optuna_the_command_is_named(monkeypatch):
    import sys

    from minicnn.train.search import search

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(OptionError, match=r'optuna is not installed; pip install "minicnn\[tune\]"'):
        search(Config(), parse_space(["lr=0.1,0.2"]))


def test_the_best_options_are_found_without_the_test_images(tmp_path, monkeypatch, capsys):
    pytest.importorskip("optuna")
    pytest.importorskip("matplotlib")
    from minicnn.cli import main

    monkeypatch.setattr(sealed.Sealed, "open", lambda self: pytest.fail("the test set was opened"))
    words = ["tune", "--epochs", "2", "--batch-size", "128", "--threads", "1", "--trials", "6", "--json"]
    words += ["--search", "lr=1e-6:1e-2:log", "--search", "optimizer=adam,sgd"]
    found = []
    for out in ("a", "b"):
        assert main([*words, "--out", str(tmp_path / out)]) == 0
        found.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert found[0] == found[1]
    finished = [t for t in found[0]["trials"] if t["val_accuracy"] is not None]
    best = max(finished, key=lambda t: t["val_accuracy"])
    assert found[0]["val_accuracy"] == best["val_accuracy"]
    assert {name: found[0]["best"][name] for name in ("lr", "optimizer")} == best["options"]
    monkeypatch.undo()
    assert main(["train", str(tmp_path / "a" / "best.toml"), "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "a" / "trials.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "options, what",
    [
        (("--max-steps", "5"), "--max-steps 5 ends before the first validation, after 11 updates"),
        (("--val-fraction", "0"), "a search needs validation images"),
    ],
)
def test_trials_without_a_validation_are_refused_before_the_first(tmp_path, capsys, options, what):
    pytest.importorskip("optuna")
    from minicnn.cli import main

    words = ["tune", "--search", "lr=0.1,0.2", "--batch-size", "128", "--out", str(tmp_path), *options]
    assert main(words) == 2
    assert what in capsys.readouterr().err
    assert not (tmp_path / "tune.trainings.json").exists()


def test_a_search_goes_on_from_the_best_of_another(tmp_path, monkeypatch, capsys):
    pytest.importorskip("optuna")
    from minicnn.cli import main

    monkeypatch.chdir(tmp_path)
    words = [
        "tune",
        "--epochs",
        "1",
        "--batch-size",
        "256",
        "--model",
        "mlp",
        "--trials",
        "1",
        "--patience",
        "3",
    ]
    assert main([*words, "--search", "lr=1e-3,1e-2", "--out", "first"]) == 0
    best = load_toml("first/best.toml")
    assert (best["monitor"], best["patience"], best["best"]) == ("val_accuracy", 3, False)
    assert main(["tune", "first/best.toml", "--trials", "1", "--search", "weight-decay=0.1,0.2"]) == 0
    assert sorted(os.listdir()) == ["first", "tuned"]


def test_trials_that_diverge_have_no_accuracy():
    pytest.importorskip("optuna")
    from minicnn.train.journal import Journal
    from minicnn.train.search import search

    journal, space = Journal(), parse_space(["lr=0.1,0.1"])

    def trial(number, finite):
        journal.add(f'trial {number}: {{"lr": 0.1}}', {"val_accuracies": [0.3], "finite": finite})

    trial(1, False)
    with pytest.raises(OptionError, match="no trial gave a finite validation accuracy"):
        search(Config(), space, trials=1, journal=journal)
    trial(2, True)
    found = search(Config(), space, trials=2, journal=journal)
    assert [one["val_accuracy"] for one in found.trials] == [None, 0.3]
    assert (found.accuracy, found.best.best, found.best.monitor) == (0.3, True, "val_accuracy")
    assert not search(Config(patience=2), space, trials=2, journal=journal).best.best
