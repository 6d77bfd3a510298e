"""The experiments: splits without leaks, the same numbers twice, statistics by the book."""

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import minicnn
from minicnn import optim
from minicnn.data import sources
from minicnn.data.duplicates import image_hashes
from minicnn.data.sealed import Sealed
from minicnn.data.vision import ImageArrays
from minicnn.errors import NonFiniteError, OptionError
from minicnn.train.experiments import Size, compare_losses, compare_regularisers, losses, overfitting
from minicnn.train.experiments.common import network, one_training, share, smaller, split_of, summary
from minicnn.train.journal import Journal

DIGITS = sources.load("digits")


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


def test_a_split_is_stratified_and_leaks_nothing():
    split = split_of(DIGITS, 100, 400, 500, noise=0.2)
    assert set(split.few) <= set(split.more)
    assert not set(split.more) & set(split.validation)
    assert (len(split.few), len(split.more), len(split.validation)) == pytest.approx((100, 400, 500), abs=8)
    labels = DIGITS.train.labels
    for part in (split.few, split.validation):
        counts = np.bincount(labels[part], minlength=10)
        assert counts.max() - counts.min() <= 3
    changed = set(np.flatnonzero(split.images.labels != labels))
    for part in (set(split.few), set(split.more) - set(split.few), set(split.validation)):
        assert len(changed & part) == round(0.2 * len(part))
    assert changed <= {*split.more, *split.validation}
    assert (split.clean.labels == labels).all()
    assert not split.test.is_open
    hashes = image_hashes(DIGITS.train)
    again = split_of(DIGITS, 100, 400, 500, noise=0.2)
    assert (hashes[again.few] == hashes[split.few]).all()
    assert (again.images.labels == split.images.labels).all()


def test_equal_images_are_not_learned_from_and_validated_on():
    twice = np.repeat(DIGITS.train.pixels[:300], 2, axis=0)
    images = ImageArrays(twice, np.repeat(DIGITS.train.labels[:300], 2), DIGITS.classes)
    split = split_of(dataclasses.replace(DIGITS, train=images), 100, 300, 200)
    hashes = image_hashes(images)
    assert not set(hashes[split.more].tolist()) & set(hashes[split.validation].tolist())
    assert (len(split.more), len(split.validation)) == pytest.approx((300, 200), abs=20)


def test_one_class_is_refused():
    images = ImageArrays(DIGITS.train.pixels[:50], np.zeros(50, np.int64), ["0"])
    with pytest.raises(OptionError, match="only one class"):
        split_of(dataclasses.replace(DIGITS, train=images, test=None, classes=["0"]), 10, 10, 10)


@pytest.mark.parametrize("sizes", [(5, 100, 100), (200, 100, 100), (100, 1200, 500)])
def test_too_many_or_too_few_images_are_refused(sizes):
    with pytest.raises(OptionError, match="expected --train-images 10 or more"):
        split_of(DIGITS, *sizes)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 5, 7), (1, 2, 3)])
def test_the_network_fits_any_images(shape):
    assert network(shape, 7, 4)(minicnn.zeros(2, *shape)).shape == (2, 7)


def test_statistics_are_scipys():
    values, others = [0.1, 0.13, 0.08, 0.12, 0.1], [0.15, 0.14, 0.12, 0.16, 0.13]
    found = summary(values)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert found == pytest.approx((np.mean(values), low, high))
    assert share([0.7, 1.0]) == (0.85, 0.0, 1.0)  # Student's would be far beyond
    assert smaller(values, others) == stats.ttest_rel(values, others, alternative="less").pvalue < 0.05
    assert smaller(others, others) == smaller([0.1, 0.3], [0.2, 0.4]) == 1.0  # nothing varies


@pytest.mark.parametrize("what, images, given, expected", [
    ("overfitting", 1300, {}, (200, 500)),
    ("overfitting", 900, {}, (112, 300)),
    ("losses", 900, {}, (450, 300)),
    ("losses", 900, {"val_images": 99}, (450, 99)),
])  # fmt: skip
def test_a_small_set_makes_a_smaller_experiment(what, images, given, expected):
    from minicnn.cli import experiment

    names = ("train_images", "val_images", "epochs", "seeds")
    args = SimpleNamespace(what=what, **dict.fromkeys(names) | given)
    size = experiment._size(args, experiment._WHAT[what][1], images)
    assert (size.train_images, size.val_images, size.seeds) == (*expected, 5)


def test_gradient_descent_sees_all_images_in_each_update():
    split = split_of(DIGITS, 100, 100, 100)

    def run(batch):
        return one_training(
            lambda: network(split.image_shape, 10, 2),
            lambda parameters: optim.SGD(parameters, lr=0.1),
            split,
            split.few,
            seed=0,
            epochs=3,
            batch_size=batch,
        )[0]

    assert (run(0).step, run(32).step) == (3, 3 * -(-len(split.few) // 32))


@pytest.fixture(scope="module")
def overfitted():
    with np.errstate(all="ignore"):
        return compare_regularisers(DIGITS, Size(200, 500, epochs=25, seeds=2))


def test_p_values_are_those_of_paired_tests_by_holms_rule(overfitted):
    gaps = {name: [r.train_accuracy - r.val_accuracy for r in runs] for name, runs in overfitted.runs.items()}
    none = gaps.pop("none")
    plain = {name: smaller(others, none) for name, others in gaps.items()}
    order = sorted(plain, key=plain.__getitem__)
    table = {row["name"]: row["p"] for row in overfitted.table()}
    assert len(order) == 6
    for rank, name in enumerate(order):
        expected = max((6 - before) * plain[order[before]] for before in range(rank + 1))
        assert table[name] == pytest.approx(min(1.0, expected)), name


def test_every_way_is_measured_with_every_seed(overfitted):
    assert list(overfitted.runs) == list(overfitting.ARMS)
    assert all(len(runs) == 2 for runs in overfitted.runs.values())
    table = {row["name"]: row for row in overfitted.table()}
    for name, runs in overfitted.runs.items():
        gaps = [run.train_accuracy - run.val_accuracy for run in runs]
        assert table[name]["gap"]["mean"] == pytest.approx(np.mean(gaps))
    assert table["more data"]["val_accuracy"]["mean"] > table["none"]["val_accuracy"]["mean"]
    json.dumps(overfitted.to_dict())


def test_what_diverges_does_not_win(monkeypatch):
    """Its mean is not a number, which no number is larger than."""

    def compared(**rates):
        made = {name: losses.OPTIMISERS[name] for name in rates}
        changed = {name: losses.Optimiser(one.make, (rates[name],), one.whole) for name, one in made.items()}
        monkeypatch.setattr(losses, "OPTIMISERS", changed)
        return compare_losses(DIGITS, Size(60, 60, epochs=2, seeds=2))

    monkeypatch.setattr(losses, "_BEYOND", 0)
    result = compared(GD=1e30, Adam=1e-3)
    assert math.isnan(result.chosen["cross_entropy", "GD"]["val_accuracy"]["mean"])
    assert result.winner["optimiser"] == "Adam"
    pytest.importorskip("matplotlib")
    assert [line.get_label() for line in losses.draw(result).axes[0].lines[:1]] == ["GD"]
    with pytest.raises(NonFiniteError, match="no training stayed finite"):
        compared(GD=1e30)


def test_l2_and_augmentation_make_the_gap_smaller(monkeypatch):
    arms = {name: overfitting.ARMS[name] for name in ("none", "L2", "augmentation")}
    monkeypatch.setattr(overfitting, "ARMS", arms)
    table = {row["name"]: row for row in compare_regularisers(DIGITS, Size(200, 500, epochs=40)).table()}
    for name in ("L2", "augmentation"):
        assert table[name]["gap"]["mean"] < table["none"]["gap"]["mean"]
        assert table[name]["p"] < 0.05


def test_two_runs_are_the_same():
    first, second = (
        compare_regularisers(DIGITS, Size(60, 50, epochs=2, seeds=2)).to_dict() for _ in range(2)
    )
    assert first == second


def test_l1_makes_weights_zero_and_l2_does_not():
    """The proximal step of L1 gives exact zeros (F6)."""
    split = split_of(DIGITS, 100, 100, 100)

    def zeros(**decay):
        trainer, _ = one_training(
            lambda: network(split.image_shape, 10, 4),
            lambda parameters: optim.SGD(parameters, lr=0.02, momentum=0.9, **decay),
            split,
            split.few,
            seed=0,
            epochs=20,
        )
        return np.mean(np.concatenate([p.array.reshape(-1) == 0 for p in trainer.model.parameters()]))

    assert zeros(l1=2e-2) > 0.02
    assert zeros(weight_decay=3e-2) == 0


def test_losses_are_chosen_on_validation_images_and_tested_once(monkeypatch):
    rates = {name: losses.Optimiser(o.make, o.rates[2:4], o.whole) for name, o in losses.OPTIMISERS.items()}
    monkeypatch.setattr(losses, "OPTIMISERS", rates)
    opened, told = [], []
    monkeypatch.setattr(Sealed, "open", lambda self, really=Sealed.open: opened.append(1) or really(self))
    size, journal = Size(100, 100, epochs=3, seeds=2), Journal()
    result = compare_losses(DIGITS, size, journal=journal, opened=told.append)
    assert len(opened) == 1
    (test,) = told
    assert (test["count"], test["accuracy"]) == (359, result.winner["test_accuracy"]["mean"])
    assert math.isfinite(test["loss"])
    compare_losses(DIGITS, size, journal=journal, opened=told.append)
    assert (len(opened), len(told)) == (1, 1)  # what is written down is not measured again
    assert json.dumps(compare_losses(DIGITS, size).to_dict()) == json.dumps(result.to_dict())
    assert len(result.sweep) == len(result.chosen) == 12
    for pair, facts in result.chosen.items():
        assert result.sweep[pair][facts["rate"]] == max(result.sweep[pair].values())
        assert len(facts["val_accuracies"]) == 2
    means = {pair: facts["val_accuracy"]["mean"] for pair, facts in result.chosen.items()}
    assert means[result.winner["loss"], result.winner["optimiser"]] == max(means.values())
    assert len(result.winner["test_accuracies"]) == 2
    json.dumps(result.to_dict())
    pytest.importorskip("matplotlib")
    assert len(losses.draw(result).axes) == 3


def test_the_ways_are_drawn(overfitted):
    pytest.importorskip("matplotlib")
    left, right = overfitting.draw(overfitted).axes
    assert [text.get_text() for text in left.get_yticklabels()] == list(overfitting.ARMS)
    assert "200 images of digits, 20% of the labels wrong" in right.figure.get_suptitle()


def test_one_seed_makes_no_interval():
    with pytest.raises(OptionError, match="2 seeds or more"):
        Size(200, 500, epochs=60, seeds=1)


def test_a_sweep_goes_on_where_the_best_rate_is_the_last():
    def with_best(best):
        return lambda rate: -abs(math.log(rate / best))

    assert losses.sweep(with_best(0.1), (0.03, 0.1, 0.3))[0].keys() == {0.03, 0.1, 0.3}
    found, best = losses.sweep(with_best(0.002), (0.03, 0.1))
    assert (list(found), best) == ([0.001, 0.003, 0.01, 0.03, 0.1], 0.003)
    found, best = losses.sweep(with_best(1e9), (1.0, 3.0))
    assert (list(found), best) == ([1.0, 3.0, 10.0, 30.0, 100.0], 100.0)
    found, best = losses.sweep(lambda rate: math.nan if rate > 2 else -rate, (1.0, 3.0))
    assert best == min(found)
