"""Sequential, ModuleList, ModuleDict, ParameterList."""

from collections import OrderedDict

import pytest

import minicnn
from minicnn import nn
from minicnn.errors import OptionError


def test_sequential_feeds_one_to_the_next():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    x = minicnn.ones(4, 2)
    assert (model(x).array == model[2](model[1](model[0](x))).array).all()
    assert nn.Sequential()(x) is x


def test_sequential_is_a_list():
    a, b, c = nn.Linear(2, 2), nn.ReLU(), nn.Tanh()
    model = nn.Sequential(a, b)
    assert model.append(c) is model
    assert len(model) == 3
    assert list(model) == [a, b, c]
    assert model[-1] is c
    tail = model[1:]
    assert isinstance(tail, nn.Sequential)
    assert list(tail) == [b, c]
    assert [name for name, _ in tail.named_children()] == ["1", "2"]
    model[1] = nn.Sigmoid()
    assert isinstance(model[1], nn.Sigmoid)
    model.insert(0, b)
    assert list(model)[:2] == [b, a]
    del model[0]
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]
    assert model[0] is a
    assert model.extend([b])[3] is b
    with pytest.raises(IndexError):
        model[4]


def test_sequential_of_named_modules():
    model = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), act=nn.ReLU()))
    assert list(model.state_dict()) == ["first.weight", "first.bias"]
    assert model.act is model[1]
    assert model(minicnn.ones(1, 2)).shape == (1, 3)


def test_sequential_refuses_what_is_no_module():
    with pytest.raises(TypeError, match="'0' must be a Module or None, not builtin"):
        nn.Sequential(abs)


def test_module_list():
    layers = nn.ModuleList([nn.Linear(2, 2)])
    assert layers.append(nn.ReLU()) is layers
    assert layers.extend([nn.Tanh()]) is layers
    layers.insert(1, nn.Sigmoid())
    assert [type(layer).__name__ for layer in layers] == ["Linear", "Sigmoid", "ReLU", "Tanh"]
    assert list(layers.state_dict()) == ["0.weight", "0.bias"]
    assert isinstance(layers[1:], nn.ModuleList)
    assert len(layers[1:]) == 3
    del layers[1:3]
    assert [name for name, _ in layers.named_children()] == ["0", "1"]
    assert repr(nn.ModuleList()) == "ModuleList()"
    with pytest.raises(NotImplementedError):
        layers(1)


def test_module_dict():
    heads = nn.ModuleDict({"a": nn.Linear(2, 2)})
    heads["b"] = nn.ReLU()
    heads.update([("c", nn.Tanh())])
    assert list(heads) == heads.keys() == ["a", "b", "c"]
    assert len(heads) == 3
    assert "b" in heads
    assert "z" not in heads
    assert isinstance(heads.pop("b"), nn.ReLU)
    assert [type(value).__name__ for value in heads.values()] == ["Linear", "Tanh"]
    heads["a"] = nn.Sigmoid()
    assert heads.items()[0][1] is heads["a"]
    assert list(heads.state_dict()) == []
    with pytest.raises(KeyError):
        heads["z"]
    with pytest.raises(OptionError, match="a new name"):
        heads["keys"] = nn.ReLU()


def test_parameter_list():
    values = nn.ParameterList([minicnn.ones(2), nn.Parameter([3.0])])
    values.append(minicnn.zeros(1))
    assert [name for name, _ in values.named_parameters()] == ["0", "1", "2"]
    assert all(isinstance(value, nn.Parameter) for value in values)
    assert values[0].requires_grad
    assert len(values[1:]) == 2
    assert values[1:][0] is values[1]
    assert "(0): Parameter containing" in repr(values)
