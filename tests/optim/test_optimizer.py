"""What the base class promises for every optimiser: groups, checks, steps, and saving."""

from __future__ import annotations

import copy
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn import optim
from minicnn.core.device import MetaArray
from minicnn.core.tape import is_grad_enabled, no_grad
from minicnn.core.tensor import Tensor
from minicnn.errors import CheckpointError, DTypeError, OptionError, ShapeError

EVERY = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"]
# Options under which every kind of state exists.
BUSY = {
    "SGD": {"momentum": 0.9},
    "Adam": {"amsgrad": True},
    "AdamW": {"amsgrad": True},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adagrad": {"initial_accumulator_value": 0.1},
}


def parameter(values, dtype=np.float64) -> Tensor:
    return Tensor(np.array(values, dtype=dtype), requires_grad=True)


def set_gradient(tensor: Tensor, gradient) -> None:
    tensor.grad = Tensor(np.array(gradient, dtype=tensor.dtype))


# -- groups ----------------------------------------------------------------------------------


def test_groups_have_their_own_options():
    a, b = parameter([1.0]), parameter([1.0])
    optimizer = optim.SGD([{"params": a}, {"params": [b], "lr": 0.5}], lr=0.1)
    for tensor in (a, b):
        set_gradient(tensor, [1.0])
    optimizer.step()
    assert a.tolist() == [0.9] and b.tolist() == [0.5]
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert a.tolist() == [0.9] and b.tolist() == [0.0]


def test_add_param_group_takes_the_defaults():
    a, b = parameter([1.0]), parameter([1.0])
    optimizer = optim.Adam(iter([a]), lr=0.25)
    optimizer.add_param_group({"params": [b], "betas": [0.5, 0.5]})
    assert optimizer.param_groups[1] == {**optimizer.defaults, "params": [b], "betas": (0.5, 0.5)}


def test_options_become_plain_numbers():
    optimizer = optim.SGD([parameter([1.0])], lr=np.float32(0.5), momentum=Tensor(0.25), weight_decay=1)
    group = optimizer.param_groups[0]
    assert [type(group[name]) for name in ("lr", "momentum", "weight_decay")] == [float] * 3
    assert json.loads(json.dumps(optimizer.state_dict()))["param_groups"][0]["lr"] == 0.5


def test_repr_shows_the_options():
    text = repr(optim.SGD([parameter([1.0])], lr=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0.0\n") and "    lr: 0.5\n" in text


leaf = parameter([1.0])


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ([], "expected at least one parameter, got an empty list"),
        (leaf, "write \\[tensor\\]"),
        ([leaf, leaf], "each parameter once"),
        ([{"params": [leaf]}, {"params": [leaf]}], "each parameter once"),
        ([{"params": {leaf}}], "use a list"),
        ([{"lr": 0.1}], "the key 'params'"),
        ([np.ones(2)], "expected tensors to optimise, got ndarray"),
        ([{"params": [leaf], "lr": -1.0}], "lr in \\[0, inf\\), got -1.0"),
    ],
)
def test_parameters_are_checked(params, match):
    with pytest.raises(OptionError, match=match):
        optim.SGD(params, lr=0.1)


def test_only_leaves_can_be_optimised():
    result = parameter([1.0])
    result.node = SimpleNamespace(op=SimpleNamespace(name="mul"))
    with pytest.raises(OptionError, match="expected leaf tensors to optimise, got the result of mul"):
        optim.SGD([result], lr=0.1)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("value", [-1e-3, math.nan, math.inf, "0.1", None, [0.1, 0.2]])
@pytest.mark.parametrize("option", ["lr", "weight_decay", "l1", "l2"])
def test_numbers_out_of_range_are_refused(name, option, value):
    with pytest.raises(OptionError, match=f"{name}: expected {option} in \\[0, inf\\), got"):
        getattr(optim, name)([leaf], **{option: value})


@pytest.mark.parametrize("name", EVERY)
def test_implementation_choices_of_pytorch_are_refused_clearly(name):
    for option in {"SGD": ["fused"], "RMSprop": ["capturable"]}.get(name, ["fused", "foreach"]):
        with pytest.raises(OptionError, match=f"expected {option} to be None or False, got True"):
            getattr(optim, name)([leaf], **{option: True})
        getattr(optim, name)([leaf], **{option: None})
    with pytest.raises(OptionError, match="maximize to be True or False"):
        getattr(optim, name)([leaf], maximize="yes")


# -- steps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_update_happens_in_place_and_counts_as_a_change(name):
    tensor = parameter(np.ones((4, 3))[:, ::2])
    tensor.array = np.ones((4, 6))[:, ::2]  # not contiguous
    memory, version = tensor.array, tensor._version
    optimizer = getattr(optim, name)([tensor], lr=0.1, **BUSY[name])
    set_gradient(tensor, np.full((4, 3), 2.0))
    gradient = tensor.grad.array.copy()
    optimizer.step()
    assert tensor.array is memory and tensor._version == version + 1
    assert (memory < 1).all() and (memory == memory[0, 0]).all()
    np.testing.assert_array_equal(tensor.grad.array, gradient)


@pytest.mark.parametrize("name", EVERY)
def test_zero_dimensional_and_empty_parameters(name):
    scalar, empty = parameter(1.0), parameter(np.zeros((0, 3)))
    optimizer = getattr(optim, name)([scalar, empty], lr=0.1, l1=0.01, **BUSY[name])
    set_gradient(scalar, 1.0)
    set_gradient(empty, np.zeros((0, 3)))
    optimizer.step()
    assert scalar.item() < 1 and empty.shape == (0, 3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
def test_a_learning_rate_that_went_bad_is_refused_before_anything_moves(value):
    a, b = parameter([1.0]), parameter([1.0])
    optimizer = optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.1, momentum=0.9)
    for tensor in (a, b):
        set_gradient(tensor, [1.0])
    optimizer.param_groups[1]["lr"] = value
    with pytest.raises(OptionError, match="SGD: expected lr in"):
        optimizer.step()
    assert a.tolist() == b.tolist() == [1.0] and not optimizer.state and not optimizer.steps


@pytest.mark.parametrize(
    ("gradient", "error"),
    [(np.ones((2, 1)), ShapeError), (np.ones(2, np.float32), DTypeError)],
)
def test_a_gradient_that_does_not_fit_moves_nothing(gradient, error):
    a, b = parameter([1.0]), parameter([1.0, 2.0])
    optimizer = optim.Adam([a, b], lr=0.1)
    set_gradient(a, [1.0])
    set_gradient(b, [0.0, 0.0])
    b.grad.data = Tensor(gradient)
    with pytest.raises(error, match="Adam: expected a gradient of"):
        optimizer.step()
    assert a.tolist() == [1.0] and not optimizer.state


def test_a_read_only_parameter_is_refused_before_anything_moves():
    a, b = parameter([1.0]), parameter([1.0])
    b.array.flags.writeable = False
    optimizer = optim.SGD([a, b], lr=0.1)
    for tensor in (a, b):
        set_gradient(tensor, [1.0])
    with pytest.raises(OptionError, match="writeable memory"):
        optimizer.step()
    assert a.tolist() == [1.0]


def test_a_gradient_on_another_device_is_refused():
    a = parameter([1.0])
    set_gradient(a, [1.0])
    optimizer = optim.SGD([a], lr=0.1)
    a.grad.data = Tensor.wrap(MetaArray((1,), np.float64))
    with pytest.raises(OptionError, match="expected a gradient on cpu, got meta"):
        optimizer.step()


def test_parameters_without_gradient_are_left_out():
    a, b = parameter([1.0]), parameter([1.0])
    optimizer = optim.Adam([a, b], lr=0.1, weight_decay=0.1)
    set_gradient(a, [1.0])
    optimizer.step()
    assert a.item() < 1 and b.tolist() == [1.0] and list(optimizer.state) == [a] and not b._version


def test_closure_runs_with_gradients_on_and_its_loss_comes_back():
    a = parameter([1.0])
    optimizer = optim.SGD([a], lr=0.5)

    def closure():
        assert is_grad_enabled()
        set_gradient(a, [1.0])
        return 7.0

    with no_grad():
        assert optimizer.step(closure) == 7.0
    assert a.tolist() == [0.5]


def test_zero_grad_forgets_or_zeroes():
    a, b = parameter([1.0]), parameter([1.0])
    optimizer = optim.SGD([a, b], lr=0.5)
    set_gradient(a, [1.0])
    gradient = a.grad
    optimizer.zero_grad(set_to_none=False)
    assert a.grad is gradient and gradient.tolist() == [0.0] and b.grad is None
    optimizer.zero_grad()
    assert a.grad is None


def test_a_rule_of_ones_own():
    class SignDescent(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def update(self, array, gradient, state, options):
            array -= options["lr"] * np.sign(gradient)

    a = parameter([1.0, 1.0])
    set_gradient(a, [5.0, -0.1])
    SignDescent([a], lr=0.25).step()
    assert a.tolist() == [0.75, 1.25]
    with pytest.raises(NotImplementedError, match="Optimizer has no update rule"):
        optim.Optimizer([a], {"lr": 0.1}).step()


# -- state -----------------------------------------------------------------------------------


def run(optimizer, tensors, steps):
    for t in steps:
        for i, tensor in enumerate(tensors):
            set_gradient(tensor, np.sin(np.arange(tensor.array.size) * (i + 1) + t).reshape(tensor.shape))
        optimizer.step()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EVERY)
def test_training_goes_on_bitwise_after_a_round_trip(name, dtype):
    def fresh(values):
        tensors = [parameter(v, dtype) for v in values]
        groups = [{"params": tensors[:2]}, {"params": tensors[2:], "lr": 0.03}]
        return getattr(optim, name)(groups, lr=0.1, l1=0.01, l2=0.1, **BUSY[name]), tensors

    optimizer, tensors = fresh([[1.0, 2.0], [[3.0]], [4.0]])
    run(optimizer, tensors, range(3))
    optimizer.param_groups[0]["lr"] = 0.07
    saved = copy.deepcopy(optimizer.state_dict())
    groups = json.loads(json.dumps(saved["param_groups"]))
    state = {
        str(i): {k: v.numpy() if isinstance(v, Tensor) else v for k, v in entry.items()}
        for i, entry in saved["state"].items()
    }
    restored, again = fresh([t.array for t in tensors])
    restored.load_state_dict({"state": state, "param_groups": groups})
    for o, t in ((optimizer, tensors), (restored, again)):
        run(o, t, range(3, 6))
    for ours, theirs in zip(tensors, again, strict=True):
        np.testing.assert_array_equal(ours.array, theirs.array)


def test_state_dict_has_the_form_of_pytorch():
    tensors = [parameter([1.0]), parameter([2.0, 3.0]), parameter([0.0])]
    groups = [{"params": tensors[:1]}, {"params": tensors[1:]}]
    optimizer = optim.Adam(groups, lr=0.1)
    for tensor in tensors[:2]:
        set_gradient(tensor, np.ones(tensor.shape))
    optimizer.step()
    saved = optimizer.state_dict()
    assert [group["params"] for group in saved["param_groups"]] == [[0], [1, 2]]
    assert saved["param_groups"][0]["betas"] == (0.9, 0.999)
    assert {i: list(entry) for i, entry in saved["state"].items()} == {
        0: ["step", "exp_avg", "exp_avg_sq"],
        1: ["step", "exp_avg", "exp_avg_sq"],
    }
    assert optim.SGD([leaf], lr=0.1).state_dict()["state"] == {}


def test_a_loaded_state_is_an_own_copy():
    a, b = parameter([1.0]), parameter([1.0])
    first, second = optim.SGD([a], lr=0.1, momentum=0.9), optim.SGD([b], lr=0.1, momentum=0.9)
    run(first, [a], range(1))
    second.load_state_dict(first.state_dict())
    before = first.state[a]["momentum_buffer"].tolist()
    run(second, [b], range(1, 3))
    assert first.state[a]["momentum_buffer"].tolist() == before


def test_a_state_of_pytorch_loads():
    """Tensors for ``step``, options that minicnn has not, none of those that only minicnn has."""
    a = parameter([1.0, 2.0])
    optimizer = optim.Adam([a], lr=0.1, l1=0.25)
    entry = {"step": Tensor(np.float32(3.0)), "exp_avg": np.ones(2), "exp_avg_sq": np.ones(2)}
    options = {"lr": 0.5, "betas": (0.8, 0.9), "eps": 1e-8, "weight_decay": 0, "fused": None}
    optimizer.load_state_dict({"state": {0: entry}, "param_groups": [{**options, "params": [0]}]})
    assert optimizer.state[a]["step"] == 3 and type(optimizer.state[a]["step"]) is int
    assert optimizer.param_groups[0]["lr"] == 0.5 and optimizer.param_groups[0]["l1"] == 0.25


def broken(saved, **change):
    saved = copy.deepcopy(saved)
    for key, value in change.items():
        if key == "state":
            saved["state"] = value
        elif value is None:
            del saved["param_groups"][0][key]
        else:
            saved["param_groups"][0][key] = value
    return saved


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"params": [0, 1]}, CheckpointError, r"groups of \[1\] parameters, got \[2\]"),
        ({"state": {0: {"momentum_buffer": np.ones(3)}}}, CheckpointError, r"of shape \(2,\), got \(3,\)"),
        ({"state": {5: {}}}, CheckpointError, "state of 1 parameters, got number 5"),
        ({"dampening": None}, CheckpointError, "expected the option dampening"),
        ({"lr": math.nan}, OptionError, "expected lr in"),
    ],
)
def test_a_foreign_state_changes_nothing(change, error, match):
    a = parameter([1.0, 2.0])
    optimizer = optim.SGD([a], lr=0.1, momentum=0.9)
    run(optimizer, [a], range(2))
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(error, match=match):
        optimizer.load_state_dict(broken(before, **change))
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    ours, theirs = (d["state"][0]["momentum_buffer"].tolist() for d in (after, before))
    assert ours == theirs
