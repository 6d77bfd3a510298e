"""Whole training runs against PyTorch: the first 20 losses in float64, from the same weights and batches."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

import minicnn
from minicnn import models, optim
from minicnn.nn import functional as F

HERE = Path(__file__).parent
SETUP = SimpleNamespace(**runpy.run_path(str(HERE / "trajectory_setup.py")))
RECORDED = json.loads((HERE / "trajectories.json").read_text(encoding="utf-8"))


def start(name):
    """The model with the weights of the set-up, in float64."""
    model = models.build(name).double()
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    found = model.load_state_dict(SETUP.weights(shapes), strict=False)
    assert not found.unexpected_keys and not set(found.missing_keys) & set(shapes)
    return model


@pytest.mark.parametrize("optimiser", SETUP.OPTIMISERS)
@pytest.mark.parametrize("name", SETUP.MODELS)
def test_the_first_losses_are_those_of_pytorch(name, optimiser):
    model = start(name)
    kind, options = SETUP.OPTIMISERS[optimiser]
    optimizer = getattr(optim, kind)(model.parameters(), **options)
    losses = []
    for images, labels in SETUP.batches(name):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(minicnn.from_numpy(images)), minicnn.from_numpy(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    expected = RECORDED["losses"][name][optimiser]
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
    assert min(expected[-2:]) < expected[0] / 3


@pytest.mark.parametrize("name", SETUP.MODELS)
def test_a_state_dict_of_pytorch_loads_from_safetensors(name, tmp_path):
    """Names and shapes are those of the same model in PyTorch, with bn1, conv1, ... as there."""
    rng = np.random.default_rng(0)
    shapes = RECORDED["state_dict"][name]
    theirs = {
        key: rng.random(shape, np.float32) if shape else np.array(7, np.int64)  # num_batches_tracked
        for key, shape in shapes.items()
    }
    save_file(theirs, tmp_path / "model.safetensors")
    model = models.build(name)
    model.load_state_dict(minicnn.load(tmp_path / "model.safetensors"))
    ours = model.state_dict()
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        np.testing.assert_array_equal(ours[key].numpy(), value)
