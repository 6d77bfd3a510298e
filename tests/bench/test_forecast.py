"""The expected time of layers: the stated formula, and what it must not depend on."""

import pytest

import minicnn
from minicnn import models, nn
from minicnn.bench import forecast as module
from minicnn.bench.forecast import Forecast
from minicnn.errors import BackendError
from minicnn.nn.summary import summarize

native = pytest.mark.skipif(minicnn.backends.active().name != "native", reason="no native kernels")


@pytest.fixture
def machine(monkeypatch):
    """A forecast for a machine of round numbers, whose calls cost nothing."""
    monkeypatch.setattr(module, "levels", lambda level: {"L1": 1e9, "L2": 1e9, "L3": 1e9, "memory": 1e9})
    monkeypatch.setattr(module, "_CALL", module._Passes(0, 0, 0))

    def make(training):
        made = Forecast(training)
        made.peak = 1e9
        return made

    return make


def seconds(forecast, layer, *shape):
    return summarize(layer, shape, seconds_of=forecast.seconds).seconds


@native
@pytest.mark.parametrize("training", [False, True])
def test_products_take_their_multiplications(machine, training):
    work = 2 * 8 * 32 * 48 / 1e9
    product = module._COMPUTING["product"]
    expected = work / product.forward + (
        work / product.weights if training else 0
    )  # no gradient of the images
    assert seconds(machine(training), nn.Linear(48, 32, bias=False), 8, 48) == pytest.approx(expected)
    # Ten results take as long as sixteen.
    ratio = seconds(machine(training), nn.Linear(48, 10), 8, 48) / seconds(
        machine(training), nn.Linear(48, 16), 8, 48
    )
    assert ratio == pytest.approx(1)


@native
def test_an_inner_layer_needs_a_gradient_more(machine):
    two = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    first, second = summarize(two, (4, 16), seconds_of=machine(True).seconds)
    product, work = module._COMPUTING["product"], 2 * 4 * 16 * 16 / 1e9
    assert second.seconds - first.seconds == pytest.approx(work / product.data)


@native
def test_the_rest_takes_its_bytes(machine):
    size = 4 * 2 * 3 * 8 * 8
    relu = module._OTHERS
    assert seconds(machine(False), nn.ReLU(), 2, 3, 8, 8) == pytest.approx(2 * size / 1e9 / relu.forward)


@native
def test_winograds_algorithm_is_told_from_direct_ones(machine):
    fast = seconds(machine(False), nn.Conv2d(64, 64, 3, padding=1, bias=False), 8, 64, 8, 8)
    slow = seconds(machine(False), nn.Conv2d(64, 64, 3, padding=2, dilation=2, bias=False), 8, 64, 8, 8)
    assert slow > 2 * fast


@native
@pytest.mark.parametrize("name", models.names())
def test_every_layer_that_computes_has_a_time(name):
    rows = summarize(models.build(name), (4, *models.default_shape(name)), seconds_of=Forecast().seconds)
    assert all(row.seconds > 0 for row in rows if row.activation_bytes)
    assert rows.seconds == pytest.approx(sum(row.seconds for row in rows))


def test_other_kernels_have_no_forecast():
    with minicnn.use_backend("numpy"), pytest.raises(BackendError, match="not of numpy"):
        Forecast()
