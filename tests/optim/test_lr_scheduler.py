"""Schedules: PyTorch's sequences, resuming, refusals."""

from __future__ import annotations

import copy
import json
import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn import optim
from minicnn.core.tensor import Tensor
from minicnn.errors import CheckpointError, OptionError
from minicnn.optim import lr_scheduler

HERE = Path(__file__).parent
ROWS = SimpleNamespace(**runpy.run_path(str(HERE / "rows.py")))
RECORDED = json.loads((HERE / "reference.json").read_text(encoding="utf-8"))["rates"]
NUMBERS = range(len(ROWS.SCHEDULES))


def name_of(i: int) -> str:
    return f"{i}-{ROWS.SCHEDULES[i][1]}"


def parameters() -> list[Tensor]:
    return [Tensor(np.zeros(1), requires_grad=True) for _ in range(2)]


def sgd(lr: float = 1.0) -> optim.SGD:
    return optim.SGD(parameters(), lr=lr)


def rates(optimizer, schedule, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        optimizer.step()
        schedule.step()
        found.append(schedule.get_last_lr()[0])
    return found


@pytest.mark.parametrize("i", NUMBERS, ids=name_of)
def test_learning_rates_and_momenta_are_those_of_pytorch(i):
    found = ROWS.rates_in_time(optim, ROWS.SCHEDULES[i], parameters())
    count = (
        12 if ROWS.SCHEDULES[i][2].get("anneal_strategy") == "linear" else None
    )  # its end differs, see below
    np.testing.assert_allclose(found[:count], RECORDED[i][:count], rtol=1e-14, atol=1e-18)


@pytest.mark.parametrize("i", NUMBERS, ids=name_of)
def test_a_schedule_goes_on_bitwise_after_a_round_trip_through_json(i):
    row = ROWS.SCHEDULES[i]
    whole = ROWS.rates_in_time(optim, row, parameters())
    optimizer, schedule = ROWS.make_schedule(optim, row, parameters())
    for step in range(5):
        ROWS.advance(optimizer, schedule, step)
    saved = json.loads(json.dumps([schedule.state_dict(), optimizer.state_dict()["param_groups"]]))
    optimizer, schedule = ROWS.make_schedule(optim, row, parameters())
    schedule.load_state_dict(saved[0])
    optimizer.load_state_dict({"state": {}, "param_groups": saved[1]})
    assert [ROWS.advance(optimizer, schedule, step) for step in range(5, 12)] == whole[6:]
    assert schedule.get_last_lr() == whole[-1][:2]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("StepLR", {"step_size": 3, "gamma": 0.5}),
        ("MultiStepLR", {"milestones": [2, 5, 5], "gamma": 0.3}),
        ("ExponentialLR", {"gamma": 0.9}),
        ("ConstantLR", {"factor": 0.25, "total_iters": 4}),
        ("LinearLR", {"start_factor": 0.1, "total_iters": 7}),
        ("LambdaLR", {"lr_lambda": lambda epoch: 1 / (1 + epoch)}),
        ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.01}),
        ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 2}),
        ("CosineAnnealingWarmRestarts", {"T_0": 3}),
    ],
)
def test_step_by_step_agrees_with_a_jump_by_the_closed_formula(name, options):
    optimizer = sgd()
    schedule = getattr(lr_scheduler, name)(optimizer, **options)
    found = rates(optimizer, schedule, 9)
    jumper = getattr(lr_scheduler, name)(sgd(), **options)
    jumper.optimizer.step()
    for epoch in (9, 4, 7):
        jumper.step(epoch)
        assert jumper.get_last_lr()[0] == pytest.approx(found[epoch - 1], rel=1e-12, abs=1e-15)


def test_a_rate_changed_by_hand_is_carried_on():
    optimizer = sgd()
    schedule = lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    optimizer.param_groups[0]["lr"] = 0.25
    assert rates(optimizer, schedule, 2) == [0.25, 0.125]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ExponentialLR", {"gamma": 0.5}),
        ("LinearLR", {"total_iters": 9}),
        ("CosineAnnealingLR", {"T_max": 9}),
    ],
)
def test_a_schedule_continues_from_last_epoch(name, options):
    optimizer, kind = sgd(), getattr(lr_scheduler, name)
    (*_, rate) = rates(optimizer, kind(optimizer, **options), 3)
    continued = kind(optimizer, **options, last_epoch=2)
    assert continued.last_epoch == 3 and continued.get_last_lr() == [rate]
    with pytest.raises(OptionError, match="initial_lr"):
        kind(sgd(), **options, last_epoch=2)


def test_warm_restarts_follow_fractions_of_an_epoch():
    schedule = lr_scheduler.CosineAnnealingWarmRestarts(sgd(), T_0=2, T_mult=2)
    for epoch, fraction in ((0.5, 0.25), (1.5, 0.75), (2.0, 0.0), (5.0, 0.75), (6.0, 0.0), (0.0, 0.0)):
        schedule.step(epoch)
        assert schedule.get_last_lr()[0] == pytest.approx((1 + math.cos(math.pi * fraction)) / 2)


def test_one_cycle_that_starts_at_its_peak_divides_by_nothing():
    schedule = lr_scheduler.OneCycleLR(sgd(), max_lr=1.0, total_steps=10, pct_start=0.1)
    assert schedule.get_last_lr() == [1.0]


def test_one_cycle_ends():
    optimizer = sgd()
    schedule = lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=3)
    rates(optimizer, schedule, 3)
    with pytest.raises(OptionError, match="at most 3 steps, got 4"):
        schedule.step()


@pytest.mark.parametrize("options", [{}, {"three_phase": True}])
def test_a_linear_cycle_stays_at_its_end_and_can_be_saved_there(options):
    """PyTorch's goes on below zero, which no optimizer takes back."""
    optimizer, other = (optim.SGD(parameters(), lr=1.0, momentum=0.9) for _ in range(2))
    options = {"max_momentum": 0.99, "anneal_strategy": "linear"} | options
    schedule = lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=5, **options)
    found = rates(optimizer, schedule, 5)
    assert found[-1] == found[-2] > 0
    assert optimizer.param_groups[0]["momentum"] < 1
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["lr"] == found[-1]


def test_plateau_reads_a_tensor_and_waits_out_its_patience():
    optimizer = sgd()
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    for _ in range(3):
        schedule.step(Tensor(1.0))
    assert schedule.get_last_lr() == [1.0] and schedule.num_bad_epochs == 2
    schedule.step(Tensor(1.0))
    assert schedule.get_last_lr() == [0.5] and optimizer.param_groups[0]["lr"] == 0.5


def test_a_step_before_the_optimizers_is_warned_of():
    schedule = lr_scheduler.ExponentialLR(sgd(), gamma=0.5)
    with pytest.warns(UserWarning, match="ExponentialLR.step\\(\\) came before optimizer.step\\(\\)"):
        schedule.step()


def steps_of(count: int) -> list[lr_scheduler.LRScheduler]:
    return [lr_scheduler.StepLR(optimizer, 1) for _ in range(count)]


optimizer = sgd()
sequence = lr_scheduler.SequentialLR(optimizer, [lr_scheduler.StepLR(optimizer, 1)], [])


@pytest.mark.parametrize(
    ("name", "arguments", "match"),
    [
        ("StepLR", (object(), 1), "expected an optimizer, got object"),
        ("StepLR", (optimizer, 0), "step_size a positive integer, got 0"),
        ("ConstantLR", (optimizer, 0.0), r"factor in \(0, 1\]"),
        ("LinearLR", (optimizer, 0.0), r"start_factor in \(0, 1\]"),
        ("LinearLR", (optimizer, 0.5, 2.0), r"end_factor in \[0, 1\]"),
        ("LinearLR", (optimizer, 0.5, 1.0, 0), "total_iters a positive integer"),
        ("LambdaLR", (optimizer, [math.sin, math.cos]), "lr_lambda for each of 1 groups"),
        ("CosineAnnealingLR", (optimizer, 0), "T_max a positive integer"),
        ("CosineAnnealingWarmRestarts", (optimizer, 1.5), "T_0 a positive integer"),
        ("CosineAnnealingWarmRestarts", (optimizer, 1, 0), "T_mult a positive integer"),
        ("OneCycleLR", (optimizer, 1.0), "total_steps, or epochs a positive integer, got None"),
        ("OneCycleLR", (optimizer, 1.0, None, 3), "steps_per_epoch a positive integer, got None"),
        ("OneCycleLR", (optimizer, 1.0, 5, None, None, 1.5), r"pct_start in \[0, 1\]"),
        ("OneCycleLR", (optimizer, 1.0, 5, None, None, 0.5, "sine"), "'cos' or 'linear', got 'sine'"),
        ("OneCycleLR", (optim.Adagrad(parameters()), 1.0, 5), "momentum in the optimizer"),
        ("ReduceLROnPlateau", (optimizer, "least"), "mode 'min' or 'max'"),
        ("ReduceLROnPlateau", (optimizer, "min", 1.0), r"factor in \[0, 1\)"),
        ("ReduceLROnPlateau", (optimizer, "min", 0.1, 1, 0.1, "other"), "threshold_mode 'rel' or 'abs'"),
        ("SequentialLR", (optimizer, [], []), "milestones between 0 schedules"),
        ("SequentialLR", (optimizer, [lr_scheduler.ReduceLROnPlateau(optimizer)], []), "need no figure"),
        ("SequentialLR", (optimizer, [sequence], []), "no sequence"),
        ("SequentialLR", (sgd(), [lr_scheduler.StepLR(optimizer, 1)], []), "of one optimizer"),
        ("SequentialLR", (optimizer, steps_of(3), [4, 2]), r"milestones in rising order, got \[4, 2\]"),
        ("SequentialLR", (optimizer, steps_of(2), [1.5]), "milestones an integer >= 0, got 1.5"),
        ("SequentialLR", (optimizer, steps_of(2), [1], -2), "last_epoch an integer >= -1, got -2"),
        ("StepLR", (optimizer, 1, -0.5), r"gamma in \[0, inf\), got -0.5"),
        ("StepLR", (optimizer, 1, 0.5, "a"), "last_epoch an integer >= -1, got 'a'"),
        ("MultiStepLR", (optimizer, [1.5]), "milestones an integer >= 0, got 1.5"),
        ("MultiStepLR", (optimizer, [-1]), "milestones an integer >= 0, got -1"),
        ("MultiStepLR", (optimizer, [1], math.nan), r"gamma in \[0, inf\), got nan"),
        ("ExponentialLR", (optimizer, "a"), r"gamma in \[0, inf\), got 'a'"),
        ("ConstantLR", (optimizer, 0.5, -3), "total_iters a positive integer, got -3"),
        ("ConstantLR", (optimizer, "a"), r"factor in \(0, 1\], got 'a'"),
        ("LambdaLR", (optimizer, 0.5), "lr_lambda a function of the number of steps, got 0.5"),
        ("CosineAnnealingLR", (optimizer, 5, -1), r"eta_min in \[0, inf\), got -1"),
        ("CosineAnnealingWarmRestarts", (optimizer, 5, 1, math.inf), r"eta_min in \[0, inf\), got inf"),
        ("OneCycleLR", (optimizer, -1.0, 5), r"max_lr in \[0, inf\), got -1.0"),
        ("ReduceLROnPlateau", (optimizer, "min", 0.1, "a"), "patience an integer >= 0, got 'a'"),
        ("ReduceLROnPlateau", (optimizer, "min", 0.1, 1, -1.0), r"threshold in \[0, inf\)"),
        ("ReduceLROnPlateau", (optimizer, "min", 0.1, 1, 0.1, "rel", -1), "cooldown an integer >= 0"),
        ("ReduceLROnPlateau", (optimizer, "min", 0.1, 1, 0.1, "rel", 0, -1), r"min_lr in \[0, inf\)"),
    ],
)
def test_options_out_of_range_are_refused(name, arguments, match):
    with pytest.raises(OptionError, match=f"{name}: .*{match}"):
        getattr(lr_scheduler, name)(*arguments)


@pytest.mark.parametrize("name", ["div_factor", "final_div_factor", "base_momentum", "max_momentum"])
def test_a_cycle_out_of_range_is_refused_before_the_groups_change(name):
    optimizer = sgd()
    before = dict(optimizer.param_groups[0])
    for value in (-1.0, 0.0, math.nan) if "div" in name else (-0.5, 1.0):
        with pytest.raises(OptionError, match=f"OneCycleLR: expected {name} in"):
            lr_scheduler.OneCycleLR(optimizer, 1.0, 5, **{name: value})
    assert optimizer.param_groups[0] == before


@pytest.mark.parametrize("epoch", [-1, math.inf])
def test_an_impossible_epoch_is_refused(epoch):
    with pytest.raises(OptionError, match=f"epoch at least 0, got {epoch}"):
        lr_scheduler.CosineAnnealingWarmRestarts(sgd(), T_0=2, T_mult=2).step(epoch)


def one_cycle(optimizer):
    return lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=2)


def in_a_sequence(optimizer):
    parts = [lr_scheduler.ExponentialLR(optimizer, 0.5), one_cycle(optimizer)]
    return lr_scheduler.SequentialLR(optimizer, parts, [1])


def by_a_function(optimizer):
    return lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (3 - epoch))


@pytest.mark.parametrize("make", [one_cycle, in_a_sequence, by_a_function])
def test_a_step_that_is_refused_changes_nothing(make):
    optimizer = optim.SGD(parameters(), lr=1.0, momentum=0.9)
    schedule = make(optimizer)
    rates(optimizer, schedule, 3 if make is in_a_sequence else 2)
    optimizer.step()
    before = copy.deepcopy([schedule.state_dict(), optimizer.state_dict()["param_groups"]])
    with pytest.raises((OptionError, ZeroDivisionError)):
        schedule.step()
    assert [schedule.state_dict(), optimizer.state_dict()["param_groups"]] == before


def test_a_group_that_came_later_is_refused_before_a_rate_changes():
    """A schedule has rates for the groups that it was made with."""
    optimizer = sgd()
    schedule = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    optimizer.add_param_group({"params": [Tensor(np.zeros(1), requires_grad=True)]})
    optimizer.step()
    with pytest.raises(ValueError, match="argument"):
        schedule.step(2)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 1.0] and schedule.last_epoch == 0


def test_the_base_class_has_no_formula():
    with pytest.raises(NotImplementedError, match="LRScheduler has no formula"):
        lr_scheduler.LRScheduler(sgd())


def test_a_foreign_state_changes_nothing():
    optimizer = sgd()
    parts = [lr_scheduler.StepLR(optimizer, 1), lr_scheduler.ExponentialLR(optimizer, 0.5)]
    schedule = lr_scheduler.SequentialLR(optimizer, parts, [2])
    before = schedule.state_dict()
    exponential = lr_scheduler.ExponentialLR(sgd(), 0.5).state_dict()
    for foreign in (
        exponential,
        {**before, "last_epoch": 9, "_schedulers": before["_schedulers"][:1]},
        {**before, "last_epoch": 9, "_schedulers": [exponential, exponential]},
    ):
        with pytest.raises(CheckpointError):
            schedule.load_state_dict(foreign)
        assert schedule.state_dict() == before
