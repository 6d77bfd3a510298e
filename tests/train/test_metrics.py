"""Measures equal scikit-learn's, whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, LabelError, OptionError, ShapeError
from minicnn.train.metrics import Metrics


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 8))  # scikit-learn warns where there is but one
    count = int(rng.integers(1, 60))
    return rng.integers(0, classes, count), rng.integers(0, classes, count), classes


@pytest.mark.parametrize("seed", range(30))
def test_all_measures_equal_scikit_learn(seed):
    truth, taken, classes = random_case(seed)
    measured = Metrics(classes)
    for part in np.array_split(np.arange(len(truth)), 3):
        measured.update(truth[part], taken[part])
    labels = list(range(classes))
    columns = reference.precision_recall_fscore_support(truth, taken, labels=labels, zero_division=0)
    report = measured.report()
    for average in ("macro", "micro"):
        expected = reference.precision_recall_fscore_support(truth, taken, average=average, zero_division=0)
        found = [report[f"{average}_{name}"] for name in ("precision", "recall", "f1")]
        assert found == pytest.approx(expected[:3], abs=1e-12)
    for mine, theirs in zip(
        (measured.precision, measured.recall, measured.f1, measured.support), columns, strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)
    assert measured.accuracy == pytest.approx(reference.accuracy_score(truth, taken), abs=1e-12)
    np.testing.assert_array_equal(measured.confusion, reference.confusion_matrix(truth, taken, labels=labels))
    for column, score in (
        ("precision", reference.precision_score),
        ("recall", reference.recall_score),
        ("f1", reference.f1_score),
    ):
        expected = score(truth, taken, average="macro", zero_division=0)
        assert measured.macro(getattr(measured, column)) == pytest.approx(expected, abs=1e-12)


def test_batches_of_unequal_size_do_not_bend_the_recall():
    """Averaging the recalls of batches, as Keras did up to version 2, gives 0.75 here; the truth is 0.6."""
    measured = Metrics(2)
    measured.update([1, 0, 0, 0], [1, 0, 0, 0], loss=1.0)
    measured.update([1, 1, 1, 1], [1, 1, 0, 0], loss=2.0)
    measured.update([], [], loss=0.0)
    assert measured.recall[1] == 3 / 5
    assert measured.accuracy == 6 / 8
    assert measured.loss == 1.5


def test_the_loss_is_the_mean_over_images_not_over_batches():
    measured = Metrics(2)
    measured.update([0, 0, 0], [0, 0, 0], loss=1.0)
    measured.update([0], [0], loss=5.0)
    assert measured.loss == 2.0


def test_scores_count_by_their_first_largest():
    measured = Metrics(["a", "b"])
    measured.update(Tensor(np.array([1, 0])), Tensor(np.array([[0.0, 1.0], [2.0, 2.0]])))
    assert measured.accuracy == 1.0


def test_nothing_counted_gives_zeros():
    measured = Metrics(3)
    assert (measured.accuracy, measured.loss, measured.macro(measured.f1), measured.count) == (
        0.0,
        0.0,
        0.0,
        0,
    )


@pytest.mark.parametrize(
    "truth, taken, error, text",
    [
        ([0, 1], [0], ShapeError, r"targets \(2,\), predictions \(1,\)"),
        ([[0]], [[[0]]], ShapeError, "one dimension"),
        ([0, 3], [0, 0], LabelError, "classes 0 to 2, got target 3 at index 1"),
        ([0, 0], [-1, 0], LabelError, "prediction -1 at index 0"),
        ([0.5], [0], DTypeError, "whole numbers, got float64"),
    ],
)
def test_bad_labels_are_refused_and_nothing_is_counted(truth, taken, error, text):
    measured = Metrics(3)
    with pytest.raises(error, match=text):
        measured.update(truth, taken)
    assert measured.count == 0


def test_no_class_is_refused():
    with pytest.raises(OptionError):
        Metrics([])


def test_counting_goes_on_from_a_saved_state():
    truth, taken, classes = random_case(3)
    whole, half = Metrics(classes), Metrics(classes)
    whole.update(truth, taken, 0.25)
    half.update(truth[:5], taken[:5], 0.25)
    rest = Metrics(classes)
    rest.load_state_dict(half.state_dict())
    rest.update(truth[5:], taken[5:], 0.25)
    assert rest.report() == whole.report()


def test_report_is_plain_data():
    import json

    measured = Metrics(["cat", "dog"])
    measured.update([0, 1, 1], [0, 1, 0], 0.5)
    report = json.loads(json.dumps(measured.report()))
    assert report["classes"]["dog"] == {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}
    assert report["confusion"] == [[1, 0], [1, 1]]
