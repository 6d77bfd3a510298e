"""state_dict and load_state_dict."""

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.errors import CheckpointError


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.scale = nn.Parameter([2.0])
        self.register_buffer("count", minicnn.tensor(0.0))
        self.register_buffer("scratch", minicnn.tensor([1.0]), persistent=False)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(3, 2)


@pytest.fixture
def net():
    minicnn.manual_seed(0)
    return Net()


def test_state_dict_holds_persistent_state_in_order(net):
    state = net.state_dict(prefix="net.")
    assert list(state)[:4] == [
        "net.blocks.0.scale",
        "net.blocks.0.count",
        "net.blocks.0.fc.weight",
        "net.blocks.0.fc.bias",
    ]
    assert not any("scratch" in name for name in state)
    assert not any(tensor.requires_grad for tensor in state.values())
    assert np.shares_memory(state["net.head.weight"].array, net.head.weight.array)
    assert net.state_dict(keep_vars=True)["head.weight"] is net.head.weight
    there = {"x": minicnn.zeros(1)}
    assert net.state_dict(destination=there) is there
    assert "x" in there


def test_load_state_dict_round_trip_is_bitwise(net):
    other = Net()
    result = other.load_state_dict(net.state_dict())
    assert result == ([], [])
    assert result.missing_keys == []
    for name, tensor in net.state_dict().items():
        assert tensor.array.tobytes() == other.state_dict()[name].array.tobytes()
        assert not np.shares_memory(tensor.array, other.state_dict()[name].array)


def test_load_state_dict_takes_arrays_and_converts(net):
    state = {name: np.asarray(tensor.array, dtype=np.float64) for name, tensor in net.state_dict().items()}
    weight = net.head.weight
    net.load_state_dict(state)
    assert net.head.weight is weight
    assert str(weight.dtype) == "float32"


def test_load_state_dict_changes_nothing_unless_all_fits(net):
    before = {name: tensor.array.copy() for name, tensor in net.state_dict().items()}
    state = {name: tensor.array + 1 for name, tensor in net.state_dict().items()}
    state["head.weight"] = np.zeros((3, 2))
    state["head.bias"] = "words"
    state["stranger"] = np.zeros(1)
    del state["blocks.0.scale"]
    with pytest.raises(CheckpointError) as caught:
        net.load_state_dict(state)
    text = str(caught.value)
    for part in (
        "head.weight: expected shape (2, 3), got (3, 2)",
        "head.bias: expected numbers, got str",
        "missing blocks.0.scale",
        "unexpected stranger",
        "Net",
    ):
        assert part in text
    assert all((before[name] == tensor.array).all() for name, tensor in net.state_dict().items())
    with pytest.raises(CheckpointError, match=r"head.weight: expected shape \(2, 3\)"):
        net.load_state_dict(state, strict=False)
    assert all((before[name] == tensor.array).all() for name, tensor in net.state_dict().items())


def test_load_state_dict_not_strict_reports_names(net):
    state = net.state_dict() | {"stranger": minicnn.zeros(1)}
    del state["head.bias"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["head.bias"]
    assert result.unexpected_keys == ["stranger"]


def test_load_state_dict_stays_short_however_much_is_wrong():
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(100)])
    with pytest.raises(CheckpointError, match="and 197 more") as caught:
        model.load_state_dict({f"some.other.layer.{i}": np.zeros(1) for i in range(100)})
    assert len(str(caught.value)) <= 400


def test_load_state_dict_refuses_memory_that_cannot_be_written():
    layer = nn.Linear(1, 1)
    layer.bias.array.setflags(write=False)
    before = layer.weight.item()
    with pytest.raises(CheckpointError, match="bias: the module's tensor cannot be written"):
        layer.load_state_dict({"weight": np.ones((1, 1)), "bias": np.ones(1)})
    assert layer.weight.item() == before


def test_load_state_dict_tells_a_checkpoint_from_weights():
    layer = nn.Linear(2, 2)
    whole = {"model": layer.state_dict(), "optimizer": {}, "step": 3, "epoch": 1}
    with pytest.raises(
        CheckpointError, match=r"a checkpoint: its weights are under 'model'.*model\.safetensors"
    ):
        layer.load_state_dict(whole)
    with pytest.raises(CheckpointError) as caught:
        layer.load_state_dict({"model": 1})
    assert "a checkpoint" not in str(caught.value)
