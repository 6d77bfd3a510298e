"""minicnn.nn against PyTorch's signatures, as recorded in torch_signatures.json."""

import inspect
import json
import pathlib

import pytest

from minicnn import nn

RECORDED = json.loads((pathlib.Path(__file__).parent / "torch_signatures.json").read_text())
SOURCES = {
    "nn": nn,
    "nn.functional": nn.functional,
    "nn.init": nn.init,
    "nn.utils": nn.utils,
    "nn.Module": nn.Module,
}

# Names of minicnn's own that PyTorch does not have.
OWN = {"nn": {"functional", "init", "summarize", "utils"}, "nn.Module": {"name_of_child", "register_module"}}

# PyTorch declares these with *args, or otherwise than they are called.
OTHERWISE = {"nn.Sequential", "nn.Sigmoid", "nn.Tanh", "nn.Module", "nn.Module.to", "nn.Module.state_dict"}
OTHERWISE |= {"nn.Module.forward"}


def public(source):
    namespace = SOURCES[source]
    names = getattr(namespace, "__all__", None) or [n for n in vars(namespace) if not n.startswith("_")]
    return [n for n in names if callable(getattr(namespace, n)) and n not in OWN.get(source, ())]


PUBLIC = [(source, name) for source in SOURCES for name in public(source)]


def our_parameters(function):
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    stars[inspect.Parameter.KEYWORD_ONLY] = "*, "
    rows = []
    for p in inspect.signature(function).parameters.values():
        row = [stars.get(p.kind, "") + p.name]
        if p.default is not p.empty:
            row.append(p.default if isinstance(p.default, (int, float, str, type(None))) else repr(p.default))
        rows.append(row)
    return rows


@pytest.mark.parametrize(("source", "name"), PUBLIC, ids=[f"{s}.{n}" for s, n in PUBLIC])
def test_signature_is_pytorchs(source, name):
    assert name in RECORDED[source], "PyTorch has no such name"
    ours = our_parameters(getattr(SOURCES[source], name))
    theirs = RECORDED[source][name]
    if f"{source}.{name}" not in OTHERWISE:
        positional = [row for row in ours if not row[0].startswith("*, ")]
        assert positional == theirs[: len(positional)]
        assert all(row in theirs for row in ours if row not in positional)


def test_functional_has_what_the_layers_need():
    names = ["linear", "conv2d", "max_pool2d", "batch_norm", "relu", "dropout", "cross_entropy", "pad"]
    assert all(callable(getattr(nn.functional, name)) for name in names)
