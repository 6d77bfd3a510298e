"""The ladder: every way gives the same numbers, and figures that mean nothing are refused."""

import types

import numpy as np
import pytest

from minicnn.bench import kernels, ladder, report
from minicnn.bench.cases import Case
from minicnn.bench.steps import clock
from minicnn.core import dispatch
from minicnn.core.dispatch import Backend, Declined

CONVOLUTIONS = [
    Case("conv2d", (2, 3, 6, 5), (4, 3, 3, 3), {"padding": ((1, 1), (1, 1))}),
    Case("conv2d", (2, 4, 7, 6), (6, 2, 3, 2), {"stride": (2, 1), "dilation": (1, 2), "groups": 2}),
    Case("conv2d", (1, 3, 6, 6), (3, 1, 3, 3), {"stride": (2, 2), "padding": ((1, 0), (0, 1)), "groups": 3}),
]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=Case.label)
def test_einsum_is_the_convolution(case):
    for made in ladder.passes(case):
        found = ladder.errors(made.candidates["einsum over windows"], made.truth)
        assert max(found["error_rms"], found["error_max"]) < 1e-6, made.name


def test_loops_are_extrapolated_and_not_run():
    made = next(ladder.passes(CONVOLUTIONS[0]))
    measured = kernels.measure_pass(made, 0.001, True)
    loops = measured["candidates"][0]
    assert loops["name"] == "loops (oracle)" and loops["extrapolated"] is True
    assert all(row["extrapolated"] is False for row in measured["candidates"][1:])
    assert loops["gflops"] == pytest.approx(made.work.operations / loops["median_s"] / 1e9)


@pytest.fixture
def backend(monkeypatch):
    """A backend "mine" for NumPy arrays; what its ReLU does is the caller's."""
    mine = Backend("mine", np, np.ndarray)
    monkeypatch.setitem(dispatch._registry, "mine", mine)
    monkeypatch.setattr(ladder.backends, "names", lambda: ("numpy", "mine"))
    monkeypatch.setattr(ladder.backends, "unavailable", lambda name: None)
    monkeypatch.setattr(ladder.backends, "load", lambda name: mine)

    def attach(function):
        monkeypatch.setitem(dispatch.kernels["relu"].overlays, "mine", function)

    return attach


def rows(budget=0.001, force=True):
    made = next(ladder.passes(Case("relu", (4, 4))))
    return kernels.measure_pass(made, budget, force)


def named(measured, name):
    return next(row for row in measured["candidates"] if row["name"] == name)


def test_algorithms_of_a_kernel_stand_beside_it(backend):
    def mine(xp, x):
        y = xp.maximum(x, 0)
        return y, (y,)

    mine.algorithms = {"first": lambda xp, x: mine(xp, x), "second": lambda xp, x: (x + 1, (x,))}
    mine.algorithms["first"].saving = 4.0
    backend(mine)
    measured = rows()
    assert [row["name"] for row in measured["candidates"]] == [
        "reference",
        "mine",
        "mine: first",
        "mine: second",
    ]
    assert named(measured, "mine: first")["error_max"] == 0.0
    assert named(measured, "mine: second")["error_rms"] > 0.1  # it is wrong, and that shows
    made = next(ladder.passes(Case("relu", (4, 4))))
    assert [c.saving for c in made.candidates.values()] == [1.0, 1.0, 4.0, 1.0]


def test_a_kernel_that_declines_says_why(backend):
    backend(lambda xp, x: Declined("not on Sundays"))
    assert named(rows(), "mine") == {
        "name": "mine",
        "extrapolated": False,
        "declined": "not on Sundays",
    }
    assert report.notes(rows()) == ["mine declined: not on Sundays"]


def test_a_plain_3x3_convolution_may_have_a_quarter_of_the_multiplications():
    plain, strided, grouped = CONVOLUTIONS
    assert ladder._possible_saving(plain) == 4.0
    assert ladder._possible_saving(strided) == ladder._possible_saving(grouped) == 1.0
    assert ladder._possible_saving(Case("relu", (3, 3))) == 1.0


def roof(seconds, hard=True):
    """A roof under which every pass takes so long."""
    return types.SimpleNamespace(seconds=lambda operations, read, written: seconds, hard=hard, level=None)


def test_figures_above_the_roof_are_refused():
    made = next(ladder.passes(Case("relu", (4, 4))))
    candidate, times = made.candidates["reference"], clock.spread([1.0])
    assert kernels.figures(made, candidate, times, roof(1.05))["roof_fraction"] == 1.05
    assert kernels.figures(made, candidate, times, roof(1.06)) == {
        "refused": "above the roof: 106 % of what this machine gives"
    }
    assert kernels.figures(made, candidate, times, roof(1.06, hard=False))["roof_fraction"] == 1.06


def test_an_algorithm_may_exceed_the_roof_by_its_saving_and_no_further():
    made = next(ladder.passes(CONVOLUTIONS[0]))
    winograd = ladder.Candidate(lambda: None, saving=4.0)
    by_arithmetic = roof(None)
    by_arithmetic.seconds = lambda operations, read, written: operations
    times = clock.spread([made.work.operations / 3.9])
    assert kernels.figures(made, winograd, times, by_arithmetic)["roof_fraction"] == pytest.approx(3.9)
    times = clock.spread([made.work.operations / 4.3])
    assert "above the roof" in kernels.figures(made, winograd, times, by_arithmetic)["refused"]


@pytest.fixture
def busy(monkeypatch):
    """Half a processor is used by others, in every measurement."""
    state = {"now": 0.0, "looks": 0}

    def snapshot():
        state["now"] += 1.0
        state["looks"] += 1
        return clock.Snapshot(state["now"], 0.0, 0.5 * state["now"], 0.0, 0)

    monkeypatch.setattr(clock, "snapshot", snapshot)
    return state


def test_figures_of_a_busy_machine_are_refused_after_some_attempts(busy):
    measured = rows(force=False)
    assert measured["busy"] and measured["other_cpus"] == 0.5
    assert {row["refused"] for row in measured["candidates"]} == {"the machine is busy: others used 0.50 CPU"}
    assert busy["looks"] == 2 * kernels.ATTEMPTS


def test_a_busy_machine_is_waited_for_between_attempts_and_noticed_in_the_midst_of_one(busy, monkeypatch):
    monkeypatch.setattr(kernels, "_LOOK", 0.0)
    waits = []
    made = next(ladder.passes(Case("relu", (4, 4))))
    candidate = ladder.Candidate(lambda: sum(range(10**5)))
    made.candidates = {"slow": candidate}
    monkeypatch.setattr(kernels, "errors", lambda candidate, truth: {"error_rms": 0.0, "error_max": 0.0})
    measured = kernels.measure_pass(made, 1e9, False, lambda: waits.append(busy["looks"]))
    assert "busy" in named(measured, "slow")["refused"]
    assert waits == [2, 4]  # a look before and one after the first round of each


def test_native_kernels_stand_under_the_roof_of_the_level_in_use(monkeypatch):
    native = pytest.importorskip("minicnn._native")
    level = native.level()
    native.set_level("baseline")
    try:
        made = next(ladder.passes(Case("relu", (64, 64))))
        measured = kernels.measure_pass(made, 0.001, True)
    finally:
        native.set_level(level)
    assert measured["roof"]["level"] == "baseline"
    levels = {row["name"]: row["roof_level"] for row in measured["candidates"] if "median_s" in row}
    assert levels["reference"] == native.levels()[0]
    assert {level for name, level in levels.items() if name.startswith("native")} <= {"baseline"}


def test_force_keeps_and_marks_them(busy):
    measured = rows(force=True)
    assert measured["busy"] and busy["looks"] == 2
    assert named(measured, "reference")["median_s"] > 0


def test_scratch_of_the_reference_is_its_columns():
    case = CONVOLUTIONS[0]
    made = next(ladder.passes(case))
    columns = 4 * (3 * 9) * (2 * 6 * 5)
    padded = 4 * 2 * 3 * 8 * 7
    scratch = kernels.scratch_of(made, made.candidates["im2col + GEMM (reference)"])
    assert columns + padded <= scratch <= 2.5 * columns + padded


def test_updates_are_compared_on_fresh_copies_and_leave_the_operands():
    case = Case("adam_update", (50,))
    (made,) = ladder.passes(case)
    first = ladder.errors(made.candidates["reference"], made.truth)
    assert max(first["error_rms"], first["error_max"]) < 1e-6
    assert made.work.moved == 4 * 50 * 7
