"""The kernels of losses: every form of input and every option, every tail, sums that keep their digits."""

import itertools

import numpy as np
import pytest

from minicnn.core import dispatch
from minicnn.core.dispatch import Declined
from minicnn.testing import kernels

REDUCTIONS = ("none", "mean", "sum")
CLASSES = ("cross_entropy", "nll_loss")
DIFFERENCES = {"l1_loss": {}, "mse_loss": {}, "huber_loss": {"delta": 0.5}}
BCE = "binary_cross_entropy_with_logits"
SHAPES = [
    (5,),
    (50,),
    (1, 1),
    (17, 10),
    (3, 65),
    (0, 4),
    (2, 3, 0),
    (2, 3, 1),
    (2, 5, 7),
    (2, 21, 4, 33),
    (3, 140, 129),
]


def both(name, *operands, **attrs):
    """Results of the kernel, and of the reference in float64."""
    with np.errstate(all="ignore"):
        found = kernels()[name]["native"](*operands, **attrs)
        exact = dispatch.kernels[name].reference(np, *map(in_float64, operands), **attrs)
    return found, exact


def in_float64(value):
    if isinstance(value, tuple):
        return tuple(map(in_float64, value))
    is_float = isinstance(value, np.ndarray) and value.dtype == np.float32
    return value.astype(float) if is_float else value


def close(found, exact, scale=1.0):
    np.testing.assert_allclose(found, exact, rtol=3e-6, atol=2e-6 * scale)


def labelled(rng, shape, kind=np.int64, ignore_index=-100):
    """Scores, and labels of which a third is ignored."""
    axis = min(1, len(shape) - 1)
    x = (3 * rng.standard_normal(shape)).astype(np.float32)
    size = shape[:axis] + shape[axis + 1 :]
    target = np.where(rng.random(size) < 0.3, ignore_index, rng.integers(shape[axis], size=size)).astype(kind)
    return x, target, rng.uniform(0.5, 2, shape[axis]).astype(np.float32)


# -- classes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", CLASSES)
def test_classes_in_every_form(name, reduction, native, level, rng):
    smoothings = (0.0, 0.1, 1.0) if name == "cross_entropy" else (None,)
    for shape, weighted, smoothing in itertools.product(SHAPES, (False, True), smoothings):
        x, target, w = labelled(rng, shape)
        operands = (x, target, w if weighted else None)
        attrs = {"reduction": reduction, "ignore_index": -100}
        if smoothing is not None:
            attrs["label_smoothing"] = smoothing
        (y, saved), (exact, exact_saved) = both(name, *operands, **attrs)
        assert y.dtype == np.float32 and y.shape == np.shape(exact)
        close(y, exact, 10 * x.size if reduction == "sum" else 10)
        close(saved[-1], exact_saved[-1])
        if name == "cross_entropy":
            close(saved[0], exact_saved[0])
        gy = np.asarray(rng.standard_normal(np.shape(exact)), np.float32)
        found, exact = both(f"{name}.backward", gy, saved, (True, False, False), **attrs)
        assert found[1:] == (None, None)
        close(found[0], exact[0])


@pytest.mark.parametrize("kind", (np.int8, np.uint8, np.int32, np.uint64, ">i4"))
@pytest.mark.parametrize("name", CLASSES)
def test_labels_of_any_integer_type(name, kind, native, rng):
    x, target, _ = labelled(rng, (20, 7), kind, ignore_index=6)
    attrs = {"reduction": "mean", "ignore_index": 6}
    (y, saved), (exact, exact_saved) = both(name, x, target, None, **attrs)
    close(y, exact)
    assert saved[1] is target


@pytest.mark.parametrize("shape", ((4, 3), (2, 3, 5)))
@pytest.mark.parametrize("name", CLASSES)
def test_all_ignored_is_nan_with_gradient_0(name, shape, native, level):
    x = np.ones(shape, np.float32)
    attrs = {"reduction": "mean", "ignore_index": 1}
    attrs |= {"label_smoothing": 0.1} if name == "cross_entropy" else {}
    (y, saved), _ = both(name, x, np.ones((shape[0], *shape[2:]), int), None, **attrs)
    assert np.isnan(y)
    found, _ = both(f"{name}.backward", np.ones((), np.float32), saved, (True,), **attrs)
    assert not found[0].any()


@pytest.mark.parametrize("name", CLASSES)
def test_labels_out_of_range_give_nan_and_reach_nothing(name, native, level, rng):
    for shape in ((4, 3), (4, 100), (2, 3, 20)):
        x = rng.standard_normal(shape).astype(np.float32)
        target = np.zeros((shape[0], *shape[2:]), np.int64)
        target.flat[1], target.flat[2] = 2**40, -(2**40)
        y, saved = kernels()[name]["native"](x, target, None, reduction="none")
        assert np.isnan(y.flat[1:3]).all() and not np.isnan(y.flat[3:]).any()
        attrs = {"reduction": "none", "ignore_index": -100}
        attrs |= {"label_smoothing": 0.0} if name == "cross_entropy" else {}
        kernels()[f"{name}.backward"]["native"](np.ones_like(y), saved, (True, False, False), **attrs)


@pytest.mark.parametrize("name", CLASSES)
def test_no_classes_are_declined_and_refused(name, native):
    x, target = np.zeros((3, 0), np.float32), np.full(3, -100)
    assert kernels()[name]["native"](x, target, None) == Declined("no classes")
    numbers = [np.zeros(size, np.float32) for size in (1, 1, 3, 3)] + [x] * (name == "cross_entropy")
    smoothing = (0.0,) if name == "cross_entropy" else ()
    with pytest.raises(ValueError, match="at least one class"):
        getattr(native, f"{name}_forward")(*numbers, x, target, None, -100, *smoothing, 1)


@pytest.mark.parametrize("inner", (1, 3))
def test_infinite_scores_as_in_the_reference(inner, native, level):
    rows = [[0, -np.inf, 1], [np.inf, 0, 1], [np.nan, 0, 1], [3e38, -3e38, 0], [-np.inf] * 3]
    x = np.repeat(np.array(rows, np.float32)[:, :, None], inner, axis=2)
    w = np.array([1, 0, 2], np.float32)
    for label, weights, smoothing in itertools.product(range(3), (None, w), (0.0, 0.2)):
        target = np.full((len(rows), inner), label)
        attrs = {"reduction": "none", "ignore_index": -100, "label_smoothing": smoothing}
        with np.errstate(all="ignore"):
            found = kernels()["cross_entropy"]["native"](x, target, weights, **attrs)
            expected = dispatch.kernels["cross_entropy"].reference(np, x, target, weights, **attrs)
        close(found[0], expected[0])
        close(found[1][0], expected[1][0])


@pytest.mark.parametrize("shape", ((30_000, 10), (1500, 101), (3, 21, 5000)))
def test_classes_same_bits_for_any_number_of_threads(shape, native, level, rng, steady):
    x, target, w = labelled(rng, shape)

    def call():
        results = []
        for name, more in (("cross_entropy", {"label_smoothing": 0.1}), ("nll_loss", {})):
            attrs = {"reduction": "mean", "ignore_index": -100, **more}
            y, saved = kernels()[name]["native"](x, target, w, **attrs)
            needs = (True, False, False)
            results += [y, *kernels()[f"{name}.backward"]["native"](y, saved, needs, **attrs)]
        return results

    steady(call)


# -- elements ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", DIFFERENCES)
def test_every_tail_of_a_difference(name, reduction, native, level, rng, guarded):
    attrs = DIFFERENCES[name]
    kind = REDUCTIONS.index(reduction)
    forward, backward = getattr(native, f"{name}_forward"), getattr(native, f"{name}_backward")
    for n in range(70):
        x, target = rng.standard_normal((2, n)).astype(np.float32)
        shape = (n,) if reduction == "none" else ()
        gy = np.asarray(rng.standard_normal(shape), np.float32)
        y = guarded(lambda out, x=x, t=target: forward(out, x, t, kind, **attrs), shape)
        gx = guarded(lambda out, g=gy, x=x, t=target: backward(out, g, x, t, kind, **attrs), (n,))
        _, (exact, saved) = both(name, x, target, reduction=reduction, **attrs)
        close(y, exact, n + 1)
        _, exact = both(f"{name}.backward", gy, saved, (True, False), reduction=reduction, **attrs)
        close(gx, exact[0])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_every_tail_of_questions(reduction, native, level, rng):
    for n, weighted, pos_weighted in itertools.product(range(70), (False, True), (False, True)):
        x, target, w, pos_weight = rng.uniform(0.1, 2, (4, n)).astype(np.float32)
        operands = (5 * (x - 1), target / 2, w if weighted else None, pos_weight if pos_weighted else None)
        (y, saved), (exact, _) = both(BCE, *operands, reduction=reduction)
        assert y.dtype == np.float32
        close(y, exact, n + 1)
        gy = np.asarray(rng.standard_normal(np.shape(exact)), np.float32)
        needs = (True, True, False, False)
        found, exact = both(f"{BCE}.backward", gy, saved, needs, reduction=reduction)
        close(found[0], exact[0])
        close(found[1], exact[1], 10)


def test_weights_of_questions_broadcast_and_may_be_numbers(native, rng):
    x, target = rng.standard_normal((4, 5)).astype(np.float32), rng.random((4, 5)).astype(np.float32)
    pos_weight = rng.uniform(1, 3, 5).astype(np.float32)
    (y, saved), (exact, _) = both(BCE, x, target, 0.5, pos_weight, reduction="sum")
    close(y, exact, 20)
    assert saved[2] == 0.5 and saved[3] is pos_weight


@pytest.mark.parametrize("name", [*DIFFERENCES, BCE])
def test_infinities_and_nan_of_elements_as_in_the_reference(name, native, level):
    numbers = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-40, 3e38, -3e38] * 2, np.float32)
    x, target = (np.ascontiguousarray(a).ravel() for a in np.meshgrid(numbers, numbers))
    attrs = {"reduction": "none", **DIFFERENCES.get(name, {})}
    if name == BCE:
        target = np.where(target > 0, np.float32(1), np.float32(0))
    with np.errstate(all="ignore"):
        y, saved = kernels()[name]["native"](x, target, **attrs)
        expected = dispatch.kernels[name].reference(np, x, target, **attrs)[0]
        np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)
        needs = (True, True, False, False)[: len(saved)]
        found = kernels()[f"{name}.backward"]["native"](np.ones_like(y), saved, needs, **attrs)
        exact = dispatch.kernels[f"{name}.backward"].reference(np, np.ones_like(y), saved, needs, **attrs)
    for a, b in zip(found[:2], exact[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", (10_000_019, 5_000_000))
def test_long_sums_keep_their_digits(n, native, level):
    x = np.full(n, 0.1, np.float32)
    y = kernels()["l1_loss"]["native"](x, np.zeros_like(x), reduction="sum")[0]
    assert abs(float(y) / (n * float(np.float32(0.1))) - 1) < 1e-6


def test_elements_same_bits_for_any_number_of_threads(native, level, rng, steady):
    x, target = rng.random((2, 100_003), np.float32)

    def call():
        results = []
        for name, more in ((BCE, {}), *DIFFERENCES.items()):
            attrs = {"reduction": "mean", **more}
            y, saved = kernels()[name]["native"](x, target, **attrs)
            needs = (True, False, False, False)[: len(saved)]
            results += [y, *kernels()[f"{name}.backward"]["native"](y, saved, needs, **attrs)]
        return results

    steady(call)


def test_sums_same_bits_for_any_number_of_threads(native, level, rng, steady):
    """Many sums: their last digit shows the order of additions now and then only."""
    x, target = rng.random((2, 200_000), np.float32)
    lengths = range(40_001, 200_000, 3_001)
    mse_loss = kernels()["mse_loss"]["native"]
    steady(lambda: [mse_loss(x[:n], target[:n], reduction="sum")[0] for n in lengths])
