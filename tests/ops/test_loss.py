"""What the operation table cannot say of losses: relations, extreme values, labels, PyTorch's numbers."""

import math

import numpy as np
import pytest

import minicnn
from minicnn import Tensor
from minicnn.errors import LabelError, OptionError, ShapeError
from minicnn.nn import functional as F
from minicnn.ops import loss as ops

INF, NAN = math.inf, math.nan

# -- PyTorch's numbers: torch 2.13, float64, rounded to 15 places ----------------------------

Z = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 2.0, 0.0], [-0.5, 0.25, 1.0]])
T = np.array([0, 2, 1, 2])
W = np.array([1.0, 3.0, 0.5])
P = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.1, 0.1, 0.8]])
CROSS_ENTROPY = [  # target, options, loss, its gradient in the first row of scores
    (T, {}, 1.464270056408634, [-0.099062775962844, 0.007514721892394, 0.09154805407045]),
    (T, {"weight": W}, 1.015479550637439, [-0.079250220770275, 0.006011777513915, 0.07323844325636]),
    (
        T,
        {"weight": W, "reduction": "sum", "label_smoothing": 0.2},
        5.885708936906783,
        [-0.202542880903178, -0.166935223673469, 0.369478104576647],
    ),
    (
        T,
        {"weight": W, "ignore_index": 1, "label_smoothing": 0.1},
        1.64307126801352,
        [-0.149698496188638, -0.034219084025974, 0.183917580214612],
    ),
    (
        T,
        {"label_smoothing": 0.3},
        1.533020056408634,
        [-0.049062775962844, -0.017485278107606, 0.06654805407045],
    ),
    (P, {}, 1.808020056408634, [0.100937224037156, -0.067485278107606, -0.03345194592955]),
    (
        P,
        {"weight": W, "label_smoothing": 0.1},
        2.297312735419283,
        [0.152695977477385, -0.217242404616883, 0.064546427139498],
    ),
]


@pytest.mark.parametrize(("target", "options", "loss", "gradient"), CROSS_ENTROPY)
def test_cross_entropy_is_that_of_pytorch(target, options, loss, gradient):
    z = Tensor(Z, requires_grad=True)
    options = {name: Tensor(v) if name == "weight" else v for name, v in options.items()}
    result = F.cross_entropy(z, Tensor(target), **options)
    result.backward()
    assert result.item() == pytest.approx(loss, abs=2e-15)
    np.testing.assert_allclose(z.grad.array[0], gradient, rtol=0, atol=2e-15)


Q, R = np.array([0.5, -1.0, 3.0, 0.0]), np.array([0.0, 1.0, 1.0, 0.25])
V = np.array([1.0, 2.0, 0.5, 3.0])
PAIRS = {  # losses of Q and R: each element, the mean, the sum
    "bce": (
        lambda q, r, v, reduction: F.binary_cross_entropy_with_logits(
            q, r, v, reduction=reduction, pos_weight=minicnn.tensor([2.0], dtype=np.float64)
        ),
        [0.974076984180107, 5.253046750072891, 0.048587351573742, 2.599301927099795],
        2.218753253231633,
        8.875013012926534,
    ),
    "smooth_l1": (
        lambda q, r, v, reduction: F.smooth_l1_loss(q, r, beta=0.6, reduction=reduction),
        [0.208333333333333, 1.7, 1.7, 0.052083333333333],
        0.915104166666667,
        3.660416666666667,
    ),
    "huber": (
        lambda q, r, v, reduction: F.huber_loss(q, r, delta=0.6, reduction=reduction),
        [0.125, 1.02, 1.02, 0.03125],
        0.5490625,
        2.19625,
    ),
    "weighted mse": (
        lambda q, r, v, reduction: F.mse_loss(q, r, weight=v, reduction=reduction),
        [0.25, 8.0, 2.0, 0.1875],
        1.605769230769231,
        10.4375,
    ),
    "weighted l1": (
        lambda q, r, v, reduction: F.l1_loss(q, r, weight=v, reduction=reduction),
        [0.5, 4.0, 1.0, 0.75],
        0.961538461538462,
        6.25,
    ),
    "weighted huber": (
        lambda q, r, v, reduction: F.huber_loss(q, r, weight=v, reduction=reduction),
        [0.125, 3.0, 0.75, 0.09375],
        0.9921875,
        3.96875,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_losses_of_pairs_are_those_of_pytorch(name):
    function, *expected = PAIRS[name]
    for reduction, right in zip(("none", "mean", "sum"), expected, strict=True):
        result = function(Tensor(Q), Tensor(R), Tensor(V), reduction)
        np.testing.assert_allclose(result.array, right, rtol=0, atol=2e-15)


def test_kl_div_is_that_of_pytorch():
    x = Tensor(np.log([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]))
    target = np.array([[0.1, 0.9, 0.0], [0.5, 0.25, 0.25]])
    right = {"mean": 0.168627976186396, "sum": 1.011767857118377, "batchmean": 0.505883928559189}
    for reduction, value in right.items():
        assert F.kl_div(x, Tensor(target), reduction=reduction).item() == pytest.approx(value, abs=2e-15)
    logarithms = Tensor(np.log(target + 0.1))
    result = F.kl_div(x, logarithms, reduction="batchmean", log_target=True)
    assert result.item() == pytest.approx(0.767724394997723, abs=2e-15)


# -- how they relate -------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(6, 4), (2, 4, 3, 2), (4,)])
def test_cross_entropy_is_nll_loss_of_log_softmax(rng, shape, reduction):
    x = rng.standard_normal(shape)
    target = Tensor(np.asarray(rng.integers(4, size=shape[:1] + shape[2:] if len(shape) > 1 else ())))
    options = {"reduction": reduction, "ignore_index": 2, "weight": Tensor(rng.uniform(0.5, 2, 4))}
    both = [Tensor(x, requires_grad=True) for _ in range(2)]
    results = (
        F.cross_entropy(both[0], target, **options),
        F.nll_loss(F.log_softmax(both[1], min(1, len(shape) - 1)), target, **options),
    )
    for result in results:
        result.backward(np.ones(result.shape))
    np.testing.assert_allclose(results[0].array, results[1].array, rtol=1e-13)
    np.testing.assert_allclose(both[0].grad.array, both[1].grad.array, rtol=1e-12, atol=1e-15)


def test_gradient_of_cross_entropy_is_p_minus_y(rng):
    x = Tensor(rng.standard_normal((5, 3)), requires_grad=True)
    target = rng.integers(3, size=5)
    F.cross_entropy(x, Tensor(target), reduction="sum").backward()
    np.testing.assert_allclose(x.grad.array, F.softmax(x.detach(), 1).array - np.eye(3)[target], atol=1e-15)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_one_hot_probabilities_give_the_loss_of_indices(rng, label_smoothing):
    x = Tensor(rng.standard_normal((5, 3)))
    target = rng.integers(3, size=5)
    hard = F.cross_entropy(x, Tensor(target), label_smoothing=label_smoothing)
    soft = F.cross_entropy(x, Tensor(np.eye(3)[target]), label_smoothing=label_smoothing)
    assert hard.item() == pytest.approx(soft.item(), rel=1e-14)


def test_the_mean_is_weighted_by_the_classes():
    x, w = Tensor(Z), Tensor(W)
    losses = F.cross_entropy(x, Tensor(T), w, reduction="none").array
    mean = F.cross_entropy(x, Tensor(T), w).item()
    assert mean == pytest.approx(losses.sum() / W[T].sum(), rel=1e-14)
    assert mean != pytest.approx(losses.mean(), rel=1e-2)


def test_binary_cross_entropy_is_cross_entropy_of_two_classes(rng):
    x, yes = rng.standard_normal(6), rng.integers(2, size=6)
    two = Tensor(np.stack([np.zeros(6), x], 1))
    binary = F.binary_cross_entropy_with_logits(Tensor(x), Tensor(yes.astype(np.float64)))
    assert binary.item() == pytest.approx(F.cross_entropy(two, Tensor(yes)).item(), rel=1e-14)


def test_smooth_l1_with_beta_0_is_l1():
    x, y = Tensor(Q), Tensor(R)
    assert F.smooth_l1_loss(x, y, beta=0).item() == F.l1_loss(x, y).item()


# -- ignored positions and empty batches -----------------------------------------------------


def test_all_ignored_gives_nan_as_mean_and_no_gradient():
    for smoothing in (0.0, 0.1):
        x = Tensor(np.zeros((2, 3), np.float32), requires_grad=True)
        loss = F.cross_entropy(x, minicnn.tensor([-100, -100]), label_smoothing=smoothing)
        loss.backward()
        assert math.isnan(loss.item())
        assert x.grad.tolist() == [[0] * 3] * 2
        sum_ = F.cross_entropy(x, minicnn.tensor([-100, -100]), reduction="sum", label_smoothing=smoothing)
        assert sum_.item() == 0


def test_ignored_positions_may_hold_anything():
    x = Tensor(np.array([[1.0, -INF], [NAN, 0.0], [0.0, 0.0]]))
    losses = F.cross_entropy(x, minicnn.tensor([-1, -1, 0]), ignore_index=-1, reduction="none")
    np.testing.assert_allclose(losses.array, [0, 0, math.log(2)])


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "huber_loss", "binary_cross_entropy_with_logits"])
def test_the_mean_of_nothing_is_nan(name):
    x = minicnn.zeros(0, 3)
    assert math.isnan(getattr(F, name)(x, x).item())
    assert getattr(F, name)(x, x, reduction="sum").item() == 0


def test_the_mean_of_an_empty_batch_of_labels_is_nan():
    none = minicnn.zeros(0, dtype=np.int64)
    assert math.isnan(F.cross_entropy(minicnn.zeros(0, 3), none).item())
    assert F.cross_entropy(minicnn.zeros(0, 3), none, reduction="none").shape == (0,)


# -- extreme values; warnings are errors -----------------------------------------------------


@pytest.mark.parametrize(
    ("row", "label", "loss"),
    [
        ([1e4, -1e4], 0, 0),
        ([1e4, -1e4], 1, 2e4),
        ([3e38, 3e38], 0, math.log(2)),
        ([3e38, -3e38], 0, 0),
        ([3e38, -3e38], 1, INF),
        ([-INF, 0], 1, 0),
        ([-INF, 0], 0, INF),
        ([INF, 0], 0, NAN),
        ([5], 0, 0),
    ],
)
def test_cross_entropy_of_extreme_scores(row, label, loss):
    x = Tensor(np.array([row], np.float32), requires_grad=True)
    for target in (minicnn.tensor([label]), Tensor(np.eye(len(row), dtype=np.float32)[[label]])):
        result = F.cross_entropy(x, target)
        np.testing.assert_allclose(result.item(), loss, rtol=1e-6)
        result.backward()
    assert np.isfinite(x.grad.array).all() or math.isnan(loss)


def test_a_class_of_weight_0_adds_nothing():
    x, w = Tensor(np.array([[0.0, -INF, 0.0]])), Tensor(np.array([1.0, 0.0, 1.0]))
    assert F.cross_entropy(x, minicnn.tensor([1]), w, reduction="sum").item() == 0
    smoothed = F.cross_entropy(x, minicnn.tensor([0]), w, label_smoothing=0.3)
    assert smoothed.item() == pytest.approx(math.log(2) * (0.7 + 0.3 * 2 / 3))


def test_binary_cross_entropy_of_extreme_scores():
    x = Tensor(np.array([1e4, -1e4, 1e4, 3e38, -3e38, INF, -INF, -INF], np.float32), requires_grad=True)
    target = minicnn.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0])
    loss = F.binary_cross_entropy_with_logits(x, target, reduction="none")
    np.testing.assert_array_equal(loss.array, np.array([0, 0, 1e4, 0, 3e38, 0, 0, INF], np.float32))
    loss.backward(np.ones(8, np.float32))
    np.testing.assert_array_equal(x.grad.array, [0, 0, 1, 0, -1, 0, 0, -1])


def test_huber_squares_nothing_large():
    x = minicnn.tensor([3e38, -3e38], requires_grad=True)
    loss = F.huber_loss(x, minicnn.zeros(2), reduction="none", delta=0.5)
    np.testing.assert_allclose(loss.array, 1.5e38, rtol=1e-6)
    loss.backward(np.ones(2, np.float32))
    assert x.grad.tolist() == [0.5, -0.5]


def test_kl_div_of_a_target_of_0():
    x = Tensor(np.array([[-INF, 0.0]]))
    assert F.kl_div(x, Tensor(np.array([[0.0, 1.0]])), reduction="sum").item() == 0


# -- labels ----------------------------------------------------------------------------------


def test_a_label_out_of_range_is_named_with_index_value_and_range():
    with pytest.raises(LabelError) as info:
        F.cross_entropy(minicnn.zeros(4, 10), minicnn.tensor([0, 9, 11, -1]))
    assert str(info.value) == "cross_entropy: expected labels from 0 to 9 (10 classes), got 11 at target[2]"


def test_the_ignored_label_is_in_range():
    x = minicnn.zeros(2, 3)
    assert F.cross_entropy(x, minicnn.tensor([99, 0]), ignore_index=99).item() == pytest.approx(math.log(3))
    with pytest.raises(LabelError, match="got -100 at"):
        F.nll_loss(x, minicnn.tensor([0, -100]), ignore_index=99)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64])
def test_labels_of_every_integer_type(dtype):
    x = Tensor(Z, requires_grad=True)
    loss = F.cross_entropy(x, Tensor(T.astype(dtype)), Tensor(W), label_smoothing=0.1)
    loss.backward()
    assert loss.dtype == x.grad.dtype == np.float64
    assert loss.item() == F.cross_entropy(Tensor(Z), Tensor(T), Tensor(W), label_smoothing=0.1).item()


def test_cross_entropy_saves_the_probabilities_and_little_else():
    x = minicnn.randn(100, 10)
    _, saved = ops.cross_entropy.call_with_saved(x, minicnn.zeros(100, dtype=np.int64), None)
    p, target, w, total = saved
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)
    assert (p.shape, target.shape, w, float(total)) == ((100, 10), (100,), None, 100.0)


# -- options ---------------------------------------------------------------------------------


def test_an_unknown_reduction_names_the_choices():
    x = minicnn.zeros(2, 3)
    calls = {
        "cross_entropy": minicnn.tensor([0, 1]),
        "nll_loss": minicnn.tensor([0, 1]),
        "mse_loss": x,
        "smooth_l1_loss": x,
    }
    for name, target in calls.items():
        with pytest.raises(OptionError, match="reduction out of 'none', 'mean', 'sum', got 'average'"):
            getattr(F, name)(x, target, reduction="average")
    with pytest.raises(OptionError, match="reduction out of"):
        F.l1_loss(x, x, reduction="average", weight=x)


@pytest.mark.parametrize(
    ("size_average", "reduce", "reduction"),
    [
        (True, None, "mean"),
        (None, True, "mean"),
        (False, None, "sum"),
        (None, False, "none"),
        (False, True, "sum"),
        (True, False, "none"),
    ],
)
def test_the_older_spelling_of_reduction(size_average, reduce, reduction):
    x, y = Tensor(Q), Tensor(R)
    old = F.mse_loss(x, y, size_average, reduce, reduction="mean")
    np.testing.assert_array_equal(old.array, F.mse_loss(x, y, reduction=reduction).array)


def test_ignore_index_is_refused_for_probabilities():
    with pytest.raises(OptionError, match="ignore_index is for class indices"):
        F.cross_entropy(Tensor(Z), Tensor(P), ignore_index=1)


def test_losses_do_not_broadcast():
    with pytest.raises(
        ShapeError, match=r"mse_loss: expected target of the input's shape \(4, 1\), got \(4,\)"
    ):
        F.mse_loss(minicnn.zeros(4, 1), minicnn.zeros(4))
    with pytest.raises(ShapeError, match="weight of the input's shape"):
        F.mse_loss(minicnn.zeros(4), minicnn.zeros(4), weight=minicnn.ones(1))


# -- kinks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [F.l1_loss, F.smooth_l1_loss, F.huber_loss])
def test_the_slope_where_input_and_target_are_equal_is_0(function):
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    y = Tensor(np.array([1.0, 5.0]), requires_grad=True)
    function(x, y, reduction="sum").backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([0, -1], [0, 1])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_weights_of_sum_0_give_nan_as_mean_and_no_gradient(label_smoothing):
    x = Tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, Tensor([0, 0]), Tensor([0.0, 1.0, 2.0]), label_smoothing=label_smoothing)
    loss.backward()
    assert math.isnan(loss.item()) and x.grad.tolist() == [[0.0] * 3] * 2
