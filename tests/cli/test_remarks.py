"""What a training says of itself besides its figures."""

import numpy as np
import pytest

from minicnn.train import remarks
from minicnn.train.config import Config

CLASSES = ["cat", "dog", "frog"]
OVERFITTED = [{"epoch": 0, "val_loss": 0.2}, {"epoch": 1, "val_loss": 1.11}]


@pytest.mark.parametrize("counts, options, said", [
    ((50, 50, 50), {}, False),
    ((50, 50, 10), {}, False),
    ((60, 50, 10), {}, True),
    ((60, 50, 0), {}, True),
    ((60, 50, 10), {"balance": "loss"}, False),
])  # fmt: skip
def test_uneven_classes(counts, options, said):
    lines = list(remarks.before(Config(**options), np.repeat(np.arange(3), counts), CLASSES))
    assert bool(lines) == said
    assert all(f"{counts[2]} images of frog to 60 of cat" in line for line in lines)


def test_stopping_early_under_a_rate_that_falls_late():
    labels = np.arange(3)
    (line,) = remarks.before(Config(patience=3, schedule="onecycle"), labels, CLASSES)
    assert "which --patience may cut off" in line
    for options in ({"patience": 3, "schedule": "constant"}, {"schedule": "onecycle"}):
        assert not list(remarks.before(Config(**options), labels, CLASSES))


@pytest.mark.parametrize("options, records, epochs, best, words", [
    ({"epochs": 5}, [{"val_loss": 0.3}], 5, None, []),
    ({"epochs": 5, "patience": 2}, [{"val_loss": 0.3}], 5, 3, ["weights are those of epoch 4"]),
    ({"epochs": 5, "patience": 2}, [{"val_loss": 0.3}], 4, 1, ["stopped early, after epoch 4", "epoch 2"]),
    ({"epochs": 5, "patience": 2, "max_steps": 7}, [], 1, None, []),
    ({"epochs": 5}, [{"val_loss": 1.2}, {"val_loss": 1.11}], 5, None, ["a loss of 1.11 at best"]),
    ({"epochs": 5}, OVERFITTED, 5, None, ["was 0.2 after epoch 1 and is 1.11 now: it learns by heart"]),
    ({"epochs": 5, "best": True}, OVERFITTED, 5, 0, ["weights are those of epoch 1"]),
    ({"epochs": 5}, OVERFITTED[:1], 5, None, []),
    ({"epochs": 5}, [{"train_loss": 39134544.0}], 5, None, ["a loss of 3.913e+07"]),
    ({"epochs": 5, "loss": "mse"}, [{"val_loss": 1.2}], 5, None, []),
])  # fmt: skip
def test_the_end(options, records, epochs, best, words):
    lines = list(remarks.after(Config(**options), records, epochs, best, 3))
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))


@pytest.mark.parametrize("processors, threads, workers, waited, seconds, advice", [
    (2, 1, 0, 40, 100, 1), (2, 2, 0, 40, 100, None), (2, 1, 1, 40, 100, None), (8, 4, 1, 40, 100, 2),
    (1, 1, 0, 40, 100, None), (2, 1, 0, 20, 100, None), (2, 1, 0, 4, 10, None),
])  # fmt: skip
def test_waiting_for_images(processors, threads, workers, waited, seconds, advice, monkeypatch):
    monkeypatch.setattr(remarks, "processors", lambda: processors)
    config = Config(workers=workers, threads=threads)
    lines = list(remarks.after(config, [{"val_loss": 0.3}], 5, None, 3, waited, seconds))
    said = f"40% of the time was spent waiting for images: --workers {advice} loads more of them meanwhile"
    assert lines == ([] if advice is None else [said])


def test_a_resumed_training_is_judged_by_all_its_epochs(command, tmp_path, monkeypatch):
    judged = []
    monkeypatch.setattr(remarks, "after", lambda config, records, *more: judged.append(len(records)) or [])
    out = tmp_path / "r"
    assert command("train", "--epochs", "3", "--max-steps", "30", "--out", out).code == 0
    assert command("train", "--resume", "--out", out, "--max-steps", "69").code == 0
    assert judged == [1, 3]


def test_a_training_tells_them(command, tmp_path):
    words = {"--epochs": 6, "--patience": 1, "--lr": 3, "--optimizer": "sgd", "--schedule": "constant"}
    done = command("train", *(word for pair in words.items() for word in pair), "--out", tmp_path / "r")
    assert done.code == 0
    assert "stopped early" in done.err and "did not learn" in done.err
