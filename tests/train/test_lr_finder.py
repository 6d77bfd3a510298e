"""The learning-rate finder finds where the loss falls, and leaves no trace."""

import numpy as np
import pytest

import minicnn
from minicnn import nn, optim
from minicnn.core import random
from minicnn.errors import OptionError
from minicnn.train import lr_finder
from minicnn.train.lr_finder import draw_rates, find_rate


def setting(lr=0.5):
    minicnn.manual_seed(0)
    x = minicnn.randn(64, 5)
    labels = (x[:, 0] + x[:, 1] > 0).to(minicnn.int64)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return model, optimizer, [(x[:32], labels[:32]), (x[32:], labels[32:])]


def test_nothing_is_changed():
    model, optimizer, batches = setting()
    model.eval()
    model[0].train()
    before = {name: tensor.array.copy() for name, tensor in model.state_dict().items()}
    state = random.get_state()
    find_rate(model, optimizer, batches, steps=50)
    assert all((tensor.array == before[name]).all() for name, tensor in model.state_dict().items())
    assert random.get_state() == state
    assert [module.training for module in model] == [True, False, False, False, False]
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert not optimizer.state_dict()["state"]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_rates_rise_evenly_in_their_logarithm():
    found = find_rate(*setting(), low=1e-4, high=1e-1, steps=31)
    np.testing.assert_allclose(found.rates, 10.0 ** np.linspace(-4, -1, 31), rtol=1e-12)
    assert len(found.losses) == len(found.smoothed) == 31


def test_it_ends_where_the_loss_diverges_and_suggests_a_rate_before():
    model, optimizer, batches = setting()
    found = find_rate(model, optimizer, batches, low=1e-5, high=1e5, steps=100)
    assert 10 < len(found.rates) < 100
    assert 1e-3 < found.suggestion < found.rates[found.losses.argmin()] * 3
    assert np.isfinite(found.losses).all()


def test_gradients_are_clipped_as_in_training():
    options = {"low": 1e-5, "high": 1e5, "steps": 100}
    free, clipped = (find_rate(*setting(), **options, clip_norm=norm) for norm in (0.0, 1e-3))
    assert clipped.suggestion > 30 * free.suggestion


def test_a_training_at_that_rate_learns():
    model, optimizer, batches = setting()
    rate = find_rate(model, optimizer, batches, steps=100).suggestion
    for _ in range(60):
        for x, labels in batches:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), labels)
            loss.backward()
            optimizer.step()
    assert loss.item() < 0.25


@pytest.mark.parametrize(
    "options, what",
    [
        ({"low": 0.0}, "0 < low < high"),
        ({"low": 1.0, "high": 0.1}, "0 < low < high"),
        ({"steps": 9}, "10 steps or more"),
        ({"low": 1e20, "high": 1e25}, "diverges at once"),
    ],
)
def test_what_is_impossible_is_refused(options, what):
    model, optimizer, batches = setting()
    before = model[0].weight.detach().numpy().copy()
    with pytest.raises(OptionError, match=what):
        find_rate(model, optimizer, batches, **options)
    assert (model[0].weight.detach().numpy() == before).all()
    with pytest.raises(OptionError, match="no learning rate was tried"):
        find_rate(model, optimizer, [])


def test_it_is_drawn():
    pytest.importorskip("matplotlib")
    found = find_rate(*setting(), steps=20)
    (axes,) = draw_rates(found).axes
    assert axes.get_xscale() == "log"
    assert axes.lines[-1].get_xdata()[0] == found.suggestion


def test_a_fall_after_the_loss_was_lost_is_no_learning():
    rates = 10.0 ** np.linspace(-6, 1, 71)
    learns = np.clip(np.log10(rates) + 5, 0, 2) / 2  # from 1e-5 to 1e-3
    lost = 4.0 * ((rates > 1e-2) & (rates < 0.1))
    noise = np.random.default_rng(0).normal(0, 0.02, len(rates))
    losses = 2 - learns + lost - 1.5 * (rates >= 0.1) + noise  # lower at the end than it ever was
    edge, clear = lr_finder._edge(rates, losses, lr_finder._smoothed(losses))
    assert 1e-3 < edge <= 1e-2 and clear


def test_where_the_loss_falls_by_no_more_than_it_varies_that_is_said():
    rates = 10.0 ** np.linspace(-6, 1, 71)
    losses = np.random.default_rng(0).normal(2, 0.3, len(rates)) - 0.2 * (rates > 1e-3)
    assert not lr_finder._edge(rates, losses, lr_finder._smoothed(losses))[1]
    assert find_rate(*setting()).clear
