"""Top-k, calibration and intervals, against scikit-learn and literal loops."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from minicnn.errors import OptionError, ShapeError
from minicnn.train import intervals
from minicnn.train.intervals import averages, bootstrap, by_chance, of_classes, wilson
from minicnn.train.judgement import BINS, Judgement


def case(seed, count=200, classes=7):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, count)
    scores = rng.normal(size=(count, classes)) * 2
    scores[np.arange(count), targets] += 1.5
    return targets, scores


def judged(targets, scores, parts=3, classes=7):
    found = Judgement(classes)
    for part in np.array_split(np.arange(len(targets)), parts):
        found.update(targets[part], scores[part], loss=1.0)
    return found


@pytest.mark.parametrize("seed", range(10))
def test_top_k_is_scikit_learns(seed):
    targets, scores = case(seed)
    found = judged(targets, scores)
    for k in range(1, 7):
        expected = reference.top_k_accuracy_score(targets, scores, k=k, labels=np.arange(7))
        assert found.top(k) == pytest.approx(expected, abs=1e-12)
    assert found.top(1) == found.accuracy
    assert found.top(7) == 1


def test_of_equal_scores_the_lower_index_comes_first():
    found = Judgement(3)
    found.update([0, 1, 2], np.zeros((3, 3)))
    assert [found.top(k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])
    assert found.top(1) == found.accuracy


def expected_calibration_error(targets, scores):
    """The definition, image by image."""
    chances = [np.exp(row - row.max()) / np.exp(row - row.max()).sum() for row in scores]
    total = 0.0
    for b in range(1, BINS + 1):
        inside = [
            (p, t) for p, t in zip(chances, targets, strict=True) if (b - 1) / BINS < p.max() <= b / BINS
        ]
        if inside:
            right = sum(p.argmax() == t for p, t in inside) / len(inside)
            sure = sum(p.max() for p, _ in inside) / len(inside)
            total += len(inside) / len(targets) * abs(right - sure)
    return total


@pytest.mark.parametrize("seed", range(10))
def test_the_calibration_error_is_its_definition(seed):
    targets, scores = case(seed)
    assert judged(targets, scores).calibration_error == pytest.approx(
        expected_calibration_error(targets, scores), abs=1e-12
    )


def test_a_model_that_is_as_sure_as_it_is_right_is_calibrated():
    found = Judgement(2)
    scores = np.tile([np.log(3), 0.0], (4, 1))  # 75 % sure
    found.update([0, 0, 0, 1], scores)
    assert found.calibration_error == pytest.approx(0, abs=1e-12)
    found.update([1, 1, 1, 1], scores)
    assert found.calibration_error == pytest.approx(0.75 - 3 / 8)


def test_the_worst_errors_are_the_surest_ones():
    targets, scores = case(3, 500)
    found = judged(targets, scores)
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    wrong = [i for i in range(500) if scores[i].argmax() != targets[i]]
    expected = sorted(wrong, key=lambda i: -chances[i].max())[:24]
    assert [one.image for one in found.worst] == expected
    assert all(one.target == targets[one.image] for one in found.worst)
    assert all(one.prediction == scores[one.image].argmax() for one in found.worst)
    assert found.worst[0].confidence == pytest.approx(chances[expected[0]].max())


@pytest.mark.parametrize("count, right", [(200, 160), (400, 380)])
def test_intervals_cover_as_often_as_they_say(count, right):
    """The chance, by the binomial distribution of how many are right, that the interval holds the truth."""
    rate, covered = right / count, 0.0
    for found in range(count + 1):
        chance = stats.binom.pmf(found, count, rate)
        if chance > 1e-5:
            matrix = np.array([[found, count - found], [0, 0]])
            low, high = bootstrap(matrix, lambda m: m[:, 0, 0] / m.sum(axis=(1, 2)), seed=found)
            covered += chance * (low <= rate <= high)
    assert 0.94 <= covered <= 0.97


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.98, 1.0])
def test_wilsons_interval_covers_near_the_ends_too(rate):
    counts = np.random.default_rng(0).binomial(60, rate, 2000)
    ends = {right: wilson(right, 60) for right in set(counts.tolist())}
    covered = np.mean([ends[right][0] <= rate <= ends[right][1] for right in counts.tolist()])
    assert covered >= 0.93


@pytest.mark.parametrize(
    "right, count", [(0, 10), (10, 10), (45, 50), (1, 1), (359, 360), (0, 1), (9876, 10000)]
)
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilsons_interval_is_scipys(right, count, level):
    expected = stats.binomtest(right, count).proportion_ci(level, method="wilson")
    assert wilson(right, count, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilsons_interval_has_the_values_of_the_literature():
    """R. G. Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I."""
    values = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (right, count), expected in values.items():
        assert wilson(right, count) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("right", [True, False])
def test_where_all_is_right_or_wrong_nothing_is_certain(right):
    found = Judgement(2)
    found.update([0, 1] * 20, np.eye(2)[[0, 1] * 20 if right else [1, 0] * 20])
    report = found.report()
    low, high = report["intervals"]["accuracy"]
    assert (low, high) == pytest.approx((0.9124, 1) if right else (0, 0.0876), abs=1e-4)
    assert report["intervals_note"].startswith("macro averages: drawing these images anew")
    assert judged(*case(0, 500, 4), classes=4).report()["intervals_note"] is None
    assert "fewer than 20 images" in judged(*case(0, 60)).report()["intervals_note"]


@pytest.mark.parametrize(
    "classes, images, rate, least", [(100, 10, 0.7, 0.82), (100, 20, 0.7, 0.88), (10, 100, 0.9, 0.92)]
)
def test_the_interval_of_macro_f1_covers_it_with_many_classes_too(classes, images, rate, least):
    """Plain percentiles cover 61 % in the first case: F1 of few images is too low, drawn anew twice so."""
    chances = np.full((classes, classes), (1 - rate) / (classes - 1))
    np.fill_diagonal(chances, rate)
    rng, covered = np.random.default_rng(0), []
    for seed in range(100):
        matrix = rng.multinomial(classes * images, chances.reshape(-1) / classes).reshape(chances.shape)
        _, _, (low, high) = np.transpose(bootstrap(matrix, averages, samples=400, seed=seed))
        # With such errors precision, recall and F1 of all classes are equal.
        covered.append(low <= rate <= high)
    assert np.mean(covered) >= least


def test_the_bootstrap_is_that_of_the_images():
    """Drawing cells and drawing images give the same distribution."""
    targets, scores = case(0, 120, 4)
    found = judged(targets, scores, classes=4)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(4000):
        i = rng.integers(0, 120, 120)
        measures = reference.precision_recall_fscore_support(
            targets[i], scores[i].argmax(axis=1), average="macro", zero_division=0
        )
        values.append(measures[:3])
    report = found.report()
    for name, drawn in zip(("precision", "recall", "f1"), np.transpose(values), strict=True):
        # The bias, of which quantiles are corrected.
        shift = 2 * stats.norm.ppf(np.mean(drawn < report[f"macro_{name}"]))
        expected = np.quantile(drawn, stats.norm.cdf([shift - 1.96, shift + 1.96]))
        assert report["intervals"][f"macro_{name}"] == pytest.approx(expected, abs=0.01)


def test_the_averages_are_scikit_learns():
    targets, scores = case(5, 60, 9)
    found = judged(targets, scores, classes=9)
    expected = reference.precision_recall_fscore_support(
        targets, scores.argmax(axis=1), average="macro", zero_division=0
    )
    assert averages(found.confusion[None])[0] == pytest.approx(expected[:3], abs=1e-12)


def test_the_intervals_of_a_class_are_those_of_its_shares():
    targets, scores = case(1, 300, 4)
    taken = scores.argmax(axis=1)
    found = judged(targets, scores, classes=4).report()["classes"]
    for number, row in enumerate(found.values()):
        true, said = targets == number, taken == number
        right = int((true & said).sum())
        assert row["intervals"]["precision"] == list(wilson(right, int(said.sum())))
        assert row["intervals"]["recall"] == list(wilson(right, int(true.sum())))
        for name in ("precision", "recall", "f1"):
            low, high = row["intervals"][name]
            assert low < row[name] < high


def test_the_interval_of_f1_covers_it():
    """For a class of 30 among 100 images; F1 of the whole population is 2 * 0.24 / (0.3 + 0.29)."""
    chances, true = np.array([0.24, 0.06, 0.05, 0.65]), 2 * 0.24 / (0.3 + 0.29)
    drawn = np.random.default_rng(0).multinomial(100, chances, size=2000)
    ends = [of_classes(one.reshape(2, 2))[0]["f1"] for one in drawn]
    assert 0.93 <= np.mean([low <= true <= high for low, high in ends]) <= 0.97


def test_of_a_class_without_images_there_is_no_interval():
    assert of_classes(np.array([[0, 0], [0, 5]]))[0] == {"precision": None, "recall": None, "f1": None}
    assert of_classes(np.array([[0, 0], [1, 5]]))[0]["recall"] is None


@pytest.mark.parametrize("count", [300, 3000])
def test_a_calibrated_model_stays_below_what_chance_gives(count):
    rng, below = np.random.default_rng(0), []
    for seed in range(300):
        confidence = 1 - 0.6 * rng.beta(0.5, 2, count)
        right = rng.random(count) < confidence
        found = Judgement(2)
        found._count_confidence(confidence, right)
        error = np.abs(found.bins[:, 2] - found.bins[:, 1]).sum() / count
        below.append(error <= by_chance(found.bins, samples=400, seed=seed))
    assert 0.91 <= np.mean(below) <= 0.98


def test_a_model_that_is_too_sure_is_not_taken_for_a_calibrated_one():
    found = Judgement(2)
    found.update([0, 1] * 100, np.tile([3.0, 0.0], (200, 1)))  # 95 % sure, 50 % right
    report = found.report()
    assert report["calibration_error"] > 5 * report["calibration_error_by_chance"] > 0


def test_the_report_names_them_all():
    report = judged(*case(0)).report()
    assert report["micro_f1"] == report["accuracy"]
    assert report["intervals"]["accuracy"][0] < report["accuracy"] < report["intervals"]["accuracy"][1]
    assert sum(row[0] for row in report["calibration_bins"]) == report["count"] == 200
    assert report["top5_accuracy"] >= report["accuracy"]
    low, high = report["intervals"]["top5_accuracy"]
    assert report["intervals"]["accuracy"][1] < low < report["top5_accuracy"] < high
    empty = Judgement(3).report()
    assert (empty["count"], empty["accuracy"], empty["intervals"]) == (0, None, None)


def test_nothing_is_counted_of_what_is_refused():
    found = Judgement(3)
    with pytest.raises(OptionError, match="expected scores"):
        found.update([0], [1])
    with pytest.raises(ShapeError):
        found.update([0, 1], np.zeros((3, 3)))
    assert found.count == found.bins.sum() == found.top(3) == 0


def test_the_bootstrap_of_many_classes_is_drawn_in_pieces(monkeypatch):
    confusion = np.random.default_rng(0).integers(0, 4, (6, 6))
    whole = bootstrap(confusion, averages, samples=100)
    monkeypatch.setattr(intervals, "_ROOM", 7 * 36)
    assert np.array_equal(bootstrap(confusion, averages, samples=100), whole)
