"""Module: registration, traversal, modes, moving, text, and names in errors."""

import copy

import pytest

import minicnn
from minicnn import nn
from minicnn.core.device import MetaArray
from minicnn.errors import MiniCNNError, OptionError, ShapeError
from minicnn.nn import functional as F


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.scale = nn.Parameter([2.0])
        self.register_buffer("count", minicnn.tensor(0.0))
        self.register_buffer("scratch", minicnn.tensor([1.0]), persistent=False)

    def forward(self, x):
        return self.fc(x) * self.scale


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@pytest.fixture
def net():
    minicnn.manual_seed(0)
    return Net()


def test_names_follow_the_order_of_assignment(net):
    assert [name for name, _ in net.named_parameters()] == [
        "blocks.0.scale",
        "blocks.0.fc.weight",
        "blocks.0.fc.bias",
        "blocks.1.scale",
        "blocks.1.fc.weight",
        "blocks.1.fc.bias",
        "head.weight",
        "head.bias",
    ]
    assert [name for name, _ in net.named_buffers()] == [
        "blocks.0.count",
        "blocks.0.scratch",
        "blocks.1.count",
        "blocks.1.scratch",
    ]
    assert [name for name, _ in net.named_children()] == ["blocks", "head"]
    assert [name for name, _ in net.named_modules()] == [
        "",
        "blocks",
        "blocks.0",
        "blocks.0.fc",
        "blocks.1",
        "blocks.1.fc",
        "head",
    ]


def test_prefix_and_recurse(net):
    block = net.blocks[0]
    assert [name for name, _ in block.named_parameters("a", recurse=False)] == ["a.scale"]
    assert [name for name, _ in block.named_buffers("a", recurse=False)] == ["a.count", "a.scratch"]
    assert [name for name, _ in block.named_modules(prefix="a")] == ["a", "a.fc"]
    assert len(list(block.parameters())) == 3
    assert len(list(block.buffers())) == 2
    assert list(block.children()) == [block.fc]


def test_shared_modules_and_parameters_come_once_but_are_saved_under_each_name():
    model = nn.Module()
    model.a = nn.Linear(2, 2)
    model.b = model.a
    model.weight = model.a.weight
    assert [name for name, _ in model.named_parameters()] == ["weight", "a.bias"]
    assert [name for name, _ in model.named_children()] == ["a"]
    assert [name for name, _ in model.named_modules(remove_duplicate=False)] == ["", "a", "b"]
    assert len(list(model.named_parameters(remove_duplicate=False))) == 5
    assert sorted(model.state_dict()) == ["a.bias", "a.weight", "b.bias", "b.weight", "weight"]


def test_get_submodule(net):
    assert net.get_submodule("blocks.1.fc") is net.blocks[1].fc
    assert net.get_submodule("") is net
    with pytest.raises(AttributeError, match="no module 'blocks.7'"):
        net.get_submodule("blocks.7")


# -- attributes ------------------------------------------------------------------------------


class Forgetful(nn.Module):
    def __init__(self):
        self.fc = nn.Linear(2, 2)


def test_assigning_before_init_is_refused():
    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\) before assigning 'fc'"):
        Forgetful()


def test_an_attribute_keeps_its_kind(net):
    with pytest.raises(TypeError, match="'weight' can only become a Parameter or None"):
        net.head.weight = minicnn.zeros(2, 3)
    with pytest.raises(TypeError, match="'count' can only become a Tensor or None"):
        net.blocks[0].count = 1.0
    net.blocks[0].count = minicnn.tensor(5.0)
    assert net.state_dict()["blocks.0.count"].item() == 5.0
    net.head.bias = None
    assert "head.bias" not in net.state_dict()
    net.head.bias = nn.Parameter([0.0, 0.0])
    assert "head.bias" in net.state_dict()
    net.blocks[0].count = nn.Parameter([1.0])
    assert "blocks.0.count" in dict(net.named_parameters())
    assert "blocks.0.count" not in dict(net.named_buffers())


def test_delattr_forgets(net):
    del net.blocks[0].count
    del net.head
    assert "blocks.0.count" not in net.state_dict()
    assert "head.weight" not in net.state_dict()
    assert not hasattr(net, "head")


@pytest.mark.parametrize("name", ["", "a.b", "forward", "scale"])
def test_bad_names_are_refused(name):
    block = Block()
    with pytest.raises(OptionError, match="a new name without a dot"):
        block.add_module(name, nn.ReLU())
    if name != "scale":
        with pytest.raises(OptionError, match="a new name without a dot"):
            block.register_buffer(name, minicnn.zeros(1))
        with pytest.raises(OptionError, match="a new name without a dot"):
            block.register_parameter(name, nn.Parameter([0.0]))


def test_values_of_the_wrong_kind_are_refused():
    module = nn.Module()
    with pytest.raises(TypeError, match="'p' must be a Parameter or None, not Tensor"):
        module.register_parameter("p", minicnn.zeros(1))
    with pytest.raises(TypeError, match="'b' must be a Tensor or None, not list"):
        module.register_buffer("b", [0.0])
    with pytest.raises(TypeError, match="'m' must be a Module or None, not function"):
        module.add_module("m", F.relu)
    assert module.state_dict() == {}


def test_none_keeps_a_place():
    module = nn.Module()
    module.register_parameter("p", None)
    module.register_buffer("b", None)
    module.register_module("m", None)
    assert (module.p, module.b, module.m) == (None, None, None)
    assert module.state_dict() == {}
    module.b = minicnn.zeros(1)
    module.register_parameter("p", nn.Parameter([1.0]))
    assert list(module.state_dict()) == ["p", "b"]


def test_deepcopy_is_independent(net):
    twin = copy.deepcopy(net)
    twin.head.weight.data.fill_(0.0)
    assert net.head.weight.abs().sum().item() > 0
    assert twin.head.weight.requires_grad
    assert isinstance(twin.head.weight, nn.Parameter)


# -- modes and moving ------------------------------------------------------------------------


def test_train_and_eval_reach_every_module(net):
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())
    with pytest.raises(OptionError, match="a bool"):
        net.train("yes")


def test_apply_goes_from_the_leaves_up(net):
    seen = []
    assert net.apply(seen.append) is net
    assert seen[-1] is net
    assert set(seen) == set(net.modules())
    assert seen.index(net.blocks[0].fc) < seen.index(net.blocks[0])


def test_requires_grad_freezes(net):
    net.requires_grad_(False)
    assert not net(minicnn.ones(1, 3)).requires_grad
    assert net.requires_grad_().head.weight.requires_grad


def test_zero_grad(net):
    net(minicnn.ones(1, 3)).sum().backward()
    buffer = net.head.bias.grad.array
    net.zero_grad(set_to_none=False)
    assert net.head.bias.grad.array is buffer
    assert not buffer.any()
    net.zero_grad()
    assert net.head.bias.grad is None


def test_to_converts_floating_point_only():
    norm = nn.BatchNorm1d(2)
    weight = norm.weight
    norm(minicnn.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert norm.to(minicnn.float64) is norm
    assert norm.weight is weight
    assert {str(t.dtype) for t in norm.state_dict().values()} == {"float64", "int64"}
    assert str(weight.grad.dtype) == "float64"
    assert str(norm.half().running_mean.dtype) == "float16"
    assert str(norm.float().running_mean.dtype) == "float32"
    assert str(norm.double().running_mean.dtype) == "float64"
    assert str(norm.to(minicnn.zeros(1)).weight.dtype) == "float32"
    assert str(norm.to("cpu", minicnn.float64).weight.dtype) == "float64"
    with pytest.raises(OptionError, match="a floating point dtype"):
        norm.to(minicnn.int64)
    assert str(norm.cpu().weight.dtype) == "float64"


def test_to_meta_and_an_unavailable_device():
    layer = nn.Linear(2, 2).to("meta")
    assert isinstance(layer.weight.array, MetaArray)
    with pytest.raises(MiniCNNError):
        layer.to("cpu")
    assert isinstance(layer.bias.array, MetaArray)
    with pytest.raises(OptionError):
        nn.Linear(2, 2).to("tpu")


# -- text and errors -------------------------------------------------------------------------


def test_repr_is_pytorchs(net):
    assert repr(net) == (
        "Net(\n"
        "  (blocks): ModuleList(\n"
        "    (0-1): 2 x Block(\n"
        "      (fc): Linear(in_features=3, out_features=3, bias=True)\n"
        "    )\n"
        "  )\n"
        "  (head): Linear(in_features=3, out_features=2, bias=True)\n"
        ")"
    )
    assert repr(nn.Parameter([1.0])) == "Parameter containing:\ntensor([1.], requires_grad=True)"


def test_extra_repr_stands_before_the_children():
    class Named(nn.Sequential):
        def extra_repr(self):
            return "a=1"

    assert repr(Named(nn.ReLU())) == "Named(\n  a=1\n  (0): ReLU()\n)"


def test_an_error_names_the_layer():
    model = nn.Module()
    model.features = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Conv2d(3, 4, 3)))
    model.forward = lambda x: model.features(x)
    with pytest.raises(ShapeError) as caught:
        model(minicnn.zeros(1, 2, 8, 8))
    assert caught.value.layer == "features.1.0: Conv2d"
    assert str(caught.value).startswith("features.1.0: Conv2d: conv2d: expected ")
    assert len(str(caught.value)) <= 400


def test_an_error_names_a_layer_inside_a_list(net):
    net.blocks[1].fc = nn.Linear(4, 3)
    with pytest.raises(ShapeError, match=r"^blocks.1.fc: Linear: linear: "):
        net(minicnn.zeros(1, 3))


def test_an_error_outside_a_model_names_the_class():
    with pytest.raises(ShapeError, match=r"^Linear: linear: "):
        nn.Linear(2, 2)(minicnn.zeros(1, 3))


def test_an_error_in_an_unregistered_layer():
    hidden = [nn.Linear(2, 2)]
    model = nn.Module()
    model.forward = lambda x: hidden[0](x)
    with pytest.raises(ShapeError, match=r"^\(Linear\): Linear: linear: "):
        model(minicnn.zeros(1, 3))


def test_forward_is_needed():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)
