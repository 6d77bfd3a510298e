"""The gradient check: what it reports, what it finds, and what it must not call wrong."""

import itertools

import numpy as np
import pytest

from minicnn.core import random
from minicnn.core.gradcheck import adjoint_check, gradcheck
from minicnn.core.op import op
from minicnn.core.tensor import Tensor
from minicnn.errors import GradError
from minicnn.ops.activation import relu
from minicnn.ops.elementwise import mul
from minicnn.ops.normalization import batch_norm
from minicnn.ops.transcendental import log


@pytest.fixture
def operation(temporary_operations):
    """An operation of two array functions; by default y = x²."""
    number = itertools.count()

    def make(forward=lambda xp, x: (x * x, (x,)), backward=lambda xp, gy, saved, needs: (2 * saved[0] * gy,)):
        def scratch(xp, x):
            return forward(xp, x)

        scratch.__name__ = f"scratch{next(number)}"
        made = op(scratch)
        made.backward(backward)
        return made

    return make


def test_report_says_what_was_checked(operation, rng):
    report = gradcheck(operation(), rng.normal(size=(2, 3)))
    assert report and report.ok
    assert (report.checked, report.total, report.kinks) == (6, 6, 0)
    assert str(report) == "passed: 6 of 6 elements\n  x (2, 3): 6 of 6 elements and 1 direction"
    name, worst = report.worst
    assert name == "x" and worst.error < 1 and worst.numeric == pytest.approx(worst.analytic, rel=1e-6)


def test_wrong_element_is_named_with_its_values(operation, rng):
    def backward(xp, gy, saved, needs):
        g = 2 * saved[0] * gy
        g[1, 2] *= 1.0005  # 0.05 % pass the default check of PyTorch
        return (g,)

    x = rng.normal(size=(2, 3))
    with pytest.raises(
        GradError, match=r"scratch0: the gradient is wrong: x \(2, 3\): .* worst at \(1, 2\) numeric"
    ):
        gradcheck(operation(backward=backward), x)
    report = gradcheck(operation(backward=backward), x, raise_exception=False)
    assert not report and report.worst[1].index == (1, 2)
    assert report.worst[1].analytic == pytest.approx(1.0005 * report.worst[1].numeric, rel=1e-9)
    assert [a.wrong for a in report.arguments] == [2]  # the element, and the shift of all


def test_large_input_is_checked_along_directions_and_the_element_located(operation, rng):
    x = rng.normal(size=(20, 30))
    report = gradcheck(operation(), x)
    assert (report.checked, report.arguments[0].directions) == (0, 9)

    def backward(xp, gy, saved, needs):
        g = 2 * saved[0] * gy
        g[13, 7] += 1e-3 * gy[13, 7]
        return (g,)

    wrong = gradcheck(operation(backward=backward), x, raise_exception=False)
    assert wrong.worst[1].index == (13, 7)


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e-2, 1.0, 1e4, 1e12])
def test_scale_of_the_input_does_not_matter(scale, rng):
    assert gradcheck(mul, (scale * rng.normal(size=5), rng.normal(size=5)))
    assert gradcheck(batch_norm, (scale * rng.normal(size=(4, 2, 3)), None, None), attrs={"eps": 1e-300})


def test_wrong_gradient_is_found_at_any_scale(operation, rng):
    wrong = operation(backward=lambda xp, gy, saved, needs: (2.001 * saved[0] * gy,))
    for scale in (1e-30, 1e-8, 1e-2, 1e4, 1e12):
        assert not gradcheck(wrong, scale * rng.normal(size=5), raise_exception=False), scale


def test_zero_input_and_empty_input(operation):
    assert gradcheck(operation(), np.zeros((2, 2)))
    empty = gradcheck(operation(), np.zeros((0, 2)))
    assert empty and (empty.checked, empty.total) == (0, 0)
    wrong = operation(backward=lambda xp, gy, saved, needs: (gy,))
    assert not gradcheck(wrong, np.zeros((2, 2)), raise_exception=False)


def test_kink_nearby_is_stepped_around_and_kink_underfoot_accepted():
    report = gradcheck(relu, np.array([1.0, 1e-4, -1e-5, 3e-7, -1e-9, 0.0, -0.0]))
    (argument,) = report.arguments
    assert argument.stepped_around >= 4
    assert argument.on_kink >= 2
    assert "stepped around" in str(report) and "on a kink" in str(report)


@pytest.mark.parametrize(
    ("slope", "ok"), [(0.0, True), (0.5, True), (1.0, True), (1.001, False), (-0.5, False)]
)
def test_gradient_on_a_kink_lies_between_the_one_sided_derivatives(operation, slope, ok):
    def backward(xp, gy, saved, needs):
        (x,) = saved
        return (gy * xp.where(x > 0, 1.0, xp.where(x == 0, slope, 0.0)),)

    ramp = operation(lambda xp, x: (xp.maximum(x, 0), (x,)), backward)
    assert gradcheck(ramp, np.array([1.0, 0.0, -1.0, 0.0]), raise_exception=False).ok is ok


@pytest.mark.parametrize(("share", "ok"), [("first", True), ("equal", True), ("all", False), ("none", False)])
def test_tie_is_given_once(operation, share, ok):
    def backward(xp, gy, saved, needs):
        (x,) = saved
        ties = x == x.max()
        weights = {
            "first": ties & (xp.cumsum(ties) == 1),
            "equal": ties / ties.sum(),
            "all": ties,
            "none": ties & False,
        }
        return (gy * weights[share],)

    maximum = operation(lambda xp, x: (x.max(), (x,)), backward)
    assert gradcheck(maximum, np.array([2.0, 5.0, 5.0, -1.0, 5.0]), raise_exception=False).ok is ok


def test_jump_is_not_a_kink(operation):
    step = operation(lambda xp, x: ((x >= 0) * 1.0, ()), lambda xp, gy, saved, needs: (gy * 0,))
    assert gradcheck(step, np.array([1.0, -1.0]))
    assert not gradcheck(step, np.array([1.0, 0.0]), raise_exception=False)


def test_numbers_close_to_a_singularity():
    assert gradcheck(log, np.array([1.0, 1e-3, 1e-6, 1e-9]))


def test_same_tensor_used_twice(rng):
    x = rng.normal(size=(2, 2))
    report = gradcheck(mul, (x, x))
    assert [a.name for a in report.arguments] == ["x = y"]
    assert gradcheck(lambda x: mul(mul(x, x), x), x)


def test_gradient_lost_at_the_second_use_is_found(rng, monkeypatch):
    right = mul.backward_kernel.reference

    def first_only(xp, gy, saved, needs, **attrs):
        return right(xp, gy, saved, needs, **attrs)[0], None

    monkeypatch.setattr(mul.backward_kernel, "reference", first_only)
    x = rng.normal(size=(2, 2))
    assert not gradcheck(mul, (x, x), raise_exception=False)


def test_several_results_count_and_integers_do_not(operation, rng):
    square = operation()
    indices = Tensor(np.array([1, 2]))
    assert gradcheck(lambda x: (square(x), indices, x), rng.normal(size=3))
    half = operation(backward=lambda xp, gy, saved, needs: (saved[0] * gy,))
    assert not gradcheck(lambda x: (x, half(x)), rng.normal(size=3), raise_exception=False)
    with pytest.raises(GradError, match="no floating point tensor"):
        gradcheck(lambda x: indices, rng.normal(size=3))


def test_random_functions_are_held_still_and_leave_no_trace(operation, rng):
    def noisy(x):
        return mul(x, random.generator().random(x.shape))

    before = random.get_state()
    x = Tensor(rng.normal(size=4), requires_grad=True)
    copy = x.array.copy()
    assert gradcheck(noisy, x)
    assert random.get_state() == before
    assert x.grad is None and np.array_equal(x.array, copy)


def test_function_that_remembers_is_found(rng):
    calls = []

    def counting(x):
        calls.append(1)
        return mul(x, float(len(calls)))

    report = gradcheck(counting, rng.normal(size=2), raise_exception=False)
    assert "two calls on the same input give different results" in report.problems


def test_shape_and_dtype_of_gradients_are_checked(operation, rng):
    flat = operation(backward=lambda xp, gy, saved, needs: ((2 * saved[0] * gy).ravel(),))
    report = gradcheck(flat, rng.normal(size=(2, 3)), raise_exception=False)
    assert "the gradient of x has shape (6,), not (2, 3)" in report.problems
    single = operation(backward=lambda xp, gy, saved, needs: ((2 * saved[0] * gy).astype(np.float32),))
    report = gradcheck(single, rng.normal(size=(2, 3)), raise_exception=False)
    assert "the gradient of x is float32, not float64" in report.problems
    narrow = operation(forward=lambda xp, x: ((x * x).astype(np.float32), (x,)))
    report = gradcheck(narrow, rng.normal(size=(2, 3)), raise_exception=False)
    assert "the result is float32, not float64" in report.problems


def test_results_that_are_not_finite_are_refused():
    report = gradcheck(log, np.array([1.0, 0.0]), raise_exception=False)
    assert "the result is not finite" in report.problems


def test_wrong_use_is_refused(rng):
    with pytest.raises(GradError, match="floating point tensors or arrays to check"):
        gradcheck(mul, (np.arange(3), 2.0))
    with pytest.raises(GradError, match=r"positions \[1\]"):
        gradcheck(mul, (rng.normal(size=3), 2.0), wrt=[1])


def test_wrt_chooses_what_is_checked(rng):
    report = gradcheck(mul, (rng.normal(size=3), rng.normal(size=3)), wrt=[1])
    assert [a.name for a in report.arguments] == ["y"]


def test_adjoint_is_exact_in_float32(operation, rng):
    backwards = operation(lambda xp, x: (x[::-1] * 2 + 1, ()), lambda xp, gy, saved, needs: (gy[::-1] * 2,))
    report = adjoint_check(backwards, np.zeros((3, 4)), wrt=[0])
    assert report and report.checked == 12
    slightly = operation(
        lambda xp, x: (x[::-1] * 2, ()), lambda xp, gy, saved, needs: (gy[::-1] * 2 * (1 + 2e-7),)
    )
    with pytest.raises(GradError, match="the gradient is wrong"):
        adjoint_check(slightly, np.zeros((3, 4)), wrt=[0])


def test_adjoint_of_a_large_input_uses_random_vectors(operation):
    scaled = operation(lambda xp, x: (x * 3, ()), lambda xp, gy, saved, needs: (gy * 3,))
    report = adjoint_check(scaled, np.zeros((30, 40)), wrt=[0])
    assert report and (report.checked, report.arguments[0].directions) == (0, 8)


def test_adjoint_finds_that_a_function_is_not_linear(operation):
    report = adjoint_check(operation(), np.zeros(4), wrt=[0], raise_exception=False)
    assert "the gradient of x depends on x, so the function is not linear" in report.problems


@pytest.mark.parametrize(
    "forward, wrong, x",
    [
        (lambda xp, x: x + 1e6, lambda xp, x: 1.01, [0.5, -0.3]),
        (lambda xp, x: x + 1e4, lambda xp, x: 1.00005, [0.5, -0.3]),
        (lambda xp, x: xp.exp(x), lambda xp, x: 1.005 * xp.exp(x), [1e-9]),
        (lambda xp, x: xp.exp(x), lambda xp, x: xp.where(abs(x) < 1e-6, 1.005, 1) * xp.exp(x), [1.0, 1e-9]),
    ],
)
def test_rounding_of_short_steps_excuses_no_wrong_gradient(temporary_operations, forward, wrong, x):
    @op
    def nearly(xp, x):
        return forward(xp, x), (x,)

    @nearly.backward
    def nearly_backward(xp, gy, saved, needs):
        return (gy * wrong(xp, saved[0]),)

    assert not gradcheck(nearly, np.array(x), raise_exception=False)
