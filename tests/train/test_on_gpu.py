"""A training on a GPU, with all that its checkpoints keep."""

import numpy as np
import pytest

import minicnn
from minicnn import nn, optim
from minicnn.data import DataLoader, TensorDataset
from minicnn.io import checkpoint
from minicnn.train import MovingAverage, Trainer


@pytest.mark.gpu
@pytest.mark.skipif(not minicnn.cuda.is_available(), reason="no CUDA device")
def test_averaged_weights_go_on_from_a_checkpoint(tmp_path):
    images = np.random.default_rng(0).standard_normal((32, 4)).astype(np.float32)
    pairs = TensorDataset(images, (images[:, 0] > 0).astype(np.int64))

    def run(folder, epochs, resume=False):
        minicnn.manual_seed(0)
        model, average = nn.Linear(4, 2).to("cuda"), MovingAverage(0.9)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        made = Trainer(model, optimizer, classes=2, run_dir=folder, device="cuda", callbacks=[average])
        assert made.resume() == resume
        made.fit(DataLoader(pairs, batch_size=8, shuffle=True, seed=0), epochs=epochs)
        return checkpoint.digest(average.state_dict())

    whole = run(tmp_path / "whole", 3)
    run(tmp_path / "cut", 1)
    assert run(tmp_path / "cut", 3, resume=True) == whole
