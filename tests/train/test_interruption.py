"""Signals at awkward moments: in the middle of validation, at the last update, before a second training."""

import os
import signal

import numpy as np
import pytest

import minicnn
from minicnn import nn, optim
from minicnn.data import DataLoader, TensorDataset
from minicnn.errors import OptionError
from minicnn.train import Interrupted, Trainer


class Interrupting:
    """Validation batches, with a signal to this process before the second."""

    def __init__(self, loader, armed):
        self.loader = loader
        self.armed = armed

    def __iter__(self):
        for number, batch in enumerate(self.loader):
            if number == 1 and self.armed:
                self.armed = False
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch


def pairs():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 4)).astype(np.float32)
    return TensorDataset(minicnn.from_numpy(x), minicnn.from_numpy((x[:, 0] > 0).astype(np.int64)))


def trainer(run_dir):
    minicnn.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    return Trainer(model, optim.SGD(model.parameters(), lr=0.1), classes=2, run_dir=run_dir)


def fit(made, armed=False, **options):
    train = DataLoader(pairs(), batch_size=8, shuffle=True, seed=1)
    validation = Interrupting(DataLoader(pairs(), batch_size=8), armed)  # it draws a seed of its own
    return made.fit(train, validation, epochs=3, **options)


@pytest.mark.parametrize("options", [{}, {"max_steps": 4}])
def test_a_stop_during_validation_changes_nothing(tmp_path, options):
    whole = trainer(tmp_path / "whole")
    fit(whole, **options)
    stopped = trainer(tmp_path / "stopped")
    with pytest.raises(Interrupted, match="SIGTERM"):
        fit(stopped, armed=True, **options)
    resumed = trainer(tmp_path / "stopped")
    assert resumed.resume()
    fit(resumed, **options)
    assert (resumed.step, resumed.epoch) == (whole.step, whole.epoch)
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(resumed.model.state_dict()[name].numpy(), value.numpy())
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "stopped")]
    assert logs[0] == logs[1]


def test_a_trainer_goes_on_after_an_interruption(tmp_path):
    made = trainer(tmp_path)
    with pytest.raises(Interrupted):
        fit(made, armed=True)
    assert made.evaluate(DataLoader(pairs(), batch_size=8)).count == 32
    fit(made)
    assert made.epoch == 3


def test_an_order_that_cannot_be_made_again_is_refused(tmp_path):
    made = trainer(tmp_path / "run")
    with pytest.raises(OptionError, match="seed"):
        made.fit(DataLoader(pairs(), batch_size=8, shuffle=True), epochs=1)
    assert not (tmp_path / "run").exists()
