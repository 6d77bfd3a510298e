"""Each check of the operation table finds the fault it is there for."""

import numpy as np
import pytest

from minicnn.core import tape
from minicnn.core.op import op
from minicnn.errors import ShapeError
from minicnn.ops.rules import require_float
from minicnn.testing import CHECKS, Invalid, OpCase, Sample, check_case, kernels, op_registry
from minicnn.testing.layouts import LAYOUTS


def double_forward(xp, x):
    return x * 2, (x,)


def double_backward(xp, gy, saved, needs):
    return (gy * 2,)


def refuse_vectors(x):
    require_float(x)
    if x.ndim == 1:
        raise ShapeError(expected="two dimensions", got=f"{x.ndim}")
    return x.shape


@pytest.fixture
def row(temporary_operations):
    """A row for y = 2x, with what the caller replaces in it."""

    def make(forward=double_forward, backward=double_backward, shape=refuse_vectors, **fields):
        def scratch(xp, x):
            return forward(xp, x)

        operation = op(scratch)
        operation.backward(backward)
        operation.shape(shape)
        given = {
            "name": "scratch",
            "function": operation,
            "samples": lambda rng: [Sample((rng.normal(size=(3, 4)),)), Sample((np.empty((0, 2)),))],
            "oracle": lambda x: 2 * x,
            "invalid": [Invalid((np.ones(3),), {}, ShapeError, "expected two dimensions, got 1")],
            "linear": (0,),
        }
        return OpCase(**(given | fields))

    return make


def failing(case):
    """The checks that fail."""
    report = check_case(case)
    assert report.ok == (not report.failures)
    return {failure.partition(",")[0].partition(" ")[0] for failure in report.failures}


def test_right_row_passes_every_check(row):
    report = check_case(row())
    assert report.ok, str(report)
    assert (report.samples, report.checked, report.total) == (2, 12, 12)
    assert str(report) == "scratch: ok, 2 samples, 12 of 12 elements"


def test_forward_finds_an_error_of_1e_11(row):
    assert failing(row(oracle=lambda x: 2 * x * (1 + 1e-11))) == {"forward"}


def test_forward_finds_a_small_element_that_is_wrong_beside_a_large_one(row):
    samples = [Sample((np.array([[1e6, 1e-6]]),))]
    case = row(samples=lambda rng: samples, oracle=lambda x: 2 * x * np.where(np.abs(x) < 1, 1 + 1e-9, 1))
    assert failing(case) == {"forward"}


def test_forward_finds_what_is_wrong_at_another_scale_only(row):
    saturated = row(forward=lambda xp, x: (xp.clip(x * 2, -100, 100), (x,)))
    texts = check_case(saturated, checks=["forward"]).failures
    assert len(texts) == 1 and "operands up to 1e+03" in texts[0]


@pytest.mark.parametrize(("error", "allowed"), [(1e-16, True), (1e-14, False)])
def test_forward_allows_what_cancels_in_a_sum_and_no_more(row, error, allowed):
    case = row(
        forward=lambda xp, x: (x.sum(1), (x,)),
        backward=lambda xp, gy, saved, needs: (gy[:, None] + 0 * saved[0],),
        shape=lambda x: x.shape[:1],
        samples=lambda rng: [Sample((np.array([[1e8, -1e8, 1.0]]),))],
        oracle=lambda x: x.sum(1) + error * np.abs(x).max(),
    )
    assert check_case(case, checks=["forward"]).ok == allowed


def test_gradient_and_adjoint_find_a_wrong_factor(row):
    assert failing(row(backward=lambda xp, gy, saved, needs: (gy * 2.00001,))) == {"gradient", "adjoint"}


def test_adjoint_finds_an_error_that_differences_cannot(row):
    slightly = row(backward=lambda xp, gy, saved, needs: (gy * 2 + gy[::-1] * 1e-7,))
    assert "adjoint" in failing(slightly)


def test_float32_finds_float64_results(row):
    wide = row(forward=lambda xp, x: (x * np.float64(2.0), (x,)))
    assert "float32" in failing(wide)


def test_float32_finds_lost_precision(row):
    coarse = row(
        forward=lambda xp, x: (
            (x.astype(xp.float16) if x.dtype == np.float32 else x).astype(x.dtype) * 2,
            (x,),
        )
    )
    assert "float32" in failing(coarse)


def test_layouts_finds_dependence_on_memory_order(row):
    careless = row(forward=lambda xp, x: (x.ravel(order="K").reshape(x.shape) * 2, (x,)))
    assert failing(careless) == {"layouts"}


def test_layouts_finds_dependence_on_the_gradients_memory_order(row):
    careless = row(backward=lambda xp, gy, saved, needs: (gy.ravel(order="K").reshape(gy.shape) * 2,))
    assert failing(careless) == {"layouts"}


def test_layouts_finds_what_goes_wrong_for_two_layouts_together(temporary_operations):
    @op
    def mixed(xp, x, y):
        z = x + y
        return (z.T.copy() if x.flags.f_contiguous and not y.flags.f_contiguous else z), None

    mixed.backward(lambda xp, gy, saved, needs: (gy, gy))
    square = OpCase(
        "mixed", mixed, lambda rng: [Sample((rng.normal(size=(3, 3)), rng.normal(size=(3, 3))))], np.add
    )
    texts = check_case(square, checks=["layouts"]).failures
    assert texts and all("fortran, " in text or "swapped, " in text for text in texts)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_keeps_shapes_and_numbers(name, rng):
    for shape in ((), (1,), (4,), (0,), (2, 0, 3), (3, 1, 2), (2, 3, 1, 4)):
        a = rng.normal(size=shape).astype(np.float32)
        laid = LAYOUTS[name](np, a)
        assert laid.shape == shape and laid.dtype.newbyteorder("=") == np.float32
        assert name == "repeated" or np.array_equal(laid, a)


def test_layouts_are_what_they_say(rng):
    laid = {name: layout(np, rng.normal(size=(3, 1, 2, 4))) for name, layout in LAYOUTS.items()}
    assert laid["step_2"].strides[-1] == 16
    assert min(laid["backwards"].strides) < 0
    assert laid["repeated"].strides[0] == 0
    assert not laid["unaligned"].flags.aligned
    assert not laid["big_endian"].dtype.isnative
    assert laid["odd_strides"].strides[1] == 3
    assert not laid["read_only"].flags.writeable
    assert not laid["swapped"].flags.c_contiguous


def test_exact_finds_what_rounds_whole_numbers(row):
    def forward(xp, x):
        return x * x.dtype.type(2 + 3e-7) if x.dtype == np.float32 else x * 2, (x,)

    assert failing(row(forward, exact=True)) >= {"exact"}


def test_exact_finds_a_wrong_backward_for_ties(row):
    case = row(
        forward=lambda xp, x: (xp.maximum(x, 0), (x,)),
        backward=lambda xp, gy, saved, needs: (gy * (saved[0] >= 0) * (saved[0].dtype == np.float32),),
        oracle=lambda x: np.maximum(x, 0),
        exact=True,
    )
    assert "exact" in failing(case)


def test_tails_go_through_forward(row):
    case = row(
        forward=lambda xp, x: (x * 2 * (x.size < 100), (x,)), tails=lambda rng: [Sample((np.ones((10, 10)),))]
    )
    assert {text.partition(" (")[0] for text in check_case(case).failures} == {"forward, sample 2"}


def test_nonfinite_finds_a_nan_that_is_swallowed(row):
    def forward(xp, x):
        return xp.fmax(x, -1e30) * 2, (x,)

    assert failing(row(forward)) == {"nonfinite"}


def test_nonfinite_finds_an_infinity_that_becomes_nan(row):
    assert failing(row(lambda xp, x: (x * 2 + 0 * x, (x,)))) == {"nonfinite"}


def test_nonfinite_finds_a_nan_that_does_not_come_back(row):
    careless = row(backward=lambda xp, gy, saved, needs: (xp.where(gy == gy, gy * 2, 0),))
    assert failing(careless) == {"nonfinite"}


def test_nonfinite_finds_a_nan_that_leaks_to_other_elements(row):
    careless = row(backward=lambda xp, gy, saved, needs: (gy * 2 + 0 * gy.sum(),))
    assert failing(careless) == {"nonfinite"}


def test_nonfinite_leaves_out_what_the_row_explains(row):
    case = row(lambda xp, x: (x * 2 + 0 * x, (x,)), nonfinite={0: "for this test"})
    assert "nonfinite" not in failing(case)


def test_gradient_finds_a_changed_input_and_a_changed_incoming_gradient(row):
    def forward(xp, x):
        y = x * 2
        if x.flags.writeable:
            x += 1
        return y, (x,)

    def backward(xp, gy, saved, needs):
        gx = gy * 2
        if gy.flags.writeable:
            gy += 1
        return (gx,)

    texts = check_case(row(forward, backward), checks=["gradient"]).failures
    assert any("x was changed" in text for text in texts)
    assert any("backward changed the incoming gradient" in text for text in texts)


def test_freed_finds_a_graph_that_keeps_what_it_saved(row, monkeypatch):
    original = tape.Node.backward
    monkeypatch.setattr(tape.Node, "backward", lambda self, gy, retain: original(self, gy, True))
    assert failing(row()) == {"freed"}


def test_abstract_finds_a_wrong_shape_rule(row):
    assert failing(row(shape=lambda x: refuse_vectors(x)[::-1])) == {"abstract"}


@pytest.mark.parametrize(
    ("invalid", "message"),
    [
        (Invalid((np.ones((2, 2)),), {}, ShapeError, ""), "was not refused"),
        (Invalid((np.ones(3),), {}, TypeError, ""), "instead of TypeError"),
        (Invalid((np.ones(3),), {}, ShapeError, "three"), "does not match 'three'"),
    ],
)
def test_refused_finds_wrong_refusals(row, invalid, message):
    report = check_case(row(invalid=[invalid]), checks=["refused"])
    assert len(report.failures) == 1 and message in report.failures[0]


def test_refused_finds_state_that_changed(row):
    def shape(x):
        if x.ndim == 1 and isinstance(x, np.ndarray):
            x += 1
        return refuse_vectors(x)

    report = check_case(row(shape=shape), checks=["refused"])
    assert report.failures == ["invalid call 0: an input changed"]


def test_unknown_errors_are_failures(row):
    def forward(xp, x):
        raise KeyError("lost")

    assert failing(row(forward=forward)) >= {"forward", "gradient"}


def test_registry_and_kernels_are_usable_by_others():
    rows = op_registry()
    assert {"conv2d", "max_pool2d", "cross_entropy"} <= rows.keys()
    assert rows["conv2d"].function is not None and rows["conv2d"].invalid
    assert set(CHECKS) >= {
        "forward",
        "gradient",
        "adjoint",
        "exact",
        "float32",
        "layouts",
        "nonfinite",
        "refused",
    }
    assert all(callable(kernel) for by_backend in kernels().values() for kernel in by_backend.values())
