"""What a training refuses before its first update, and that looking on changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import nn, optim
from minicnn.core.random import generator
from minicnn.data import BatchSampler, DataLoader, RandomSampler, TensorDataset, WeightedRandomSampler
from minicnn.errors import LabelError, OptionError
from minicnn.io import checkpoint
from minicnn.train import Trainer
from minicnn.train.log import read

BATCHES = 4
lr_scheduler = optim.lr_scheduler


def pairs() -> TensorDataset:
    images = np.random.default_rng(0).standard_normal((32, 2)).astype(np.float32)
    return TensorDataset(images, (images[:, 0] > 0).astype(np.int64))


def trainer(run_dir=None, schedule=None, *, model=None, **options) -> Trainer:
    minicnn.manual_seed(0)
    model = model or nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.2), nn.Linear(4, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = schedule and schedule(optimizer)
    return Trainer(model, optimizer, run_dir=run_dir, scheduler=scheduler, **{"classes": 2} | options)


def loader(**options) -> DataLoader:
    return DataLoader(pairs(), **{"batch_size": 8, "seed": 0} | options)


def own() -> minicnn.Generator:
    return minicnn.Generator().manual_seed(1)


# -- loaders ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": WeightedRandomSampler(np.ones(32), 32, generator=own())},
        {"sampler": RandomSampler(range(32), generator=own())},
        {
            "batch_size": 1,
            "batch_sampler": BatchSampler(RandomSampler(range(32), generator=own()), 8, False),
        },
    ],
)
def test_a_sampler_with_its_own_generator_cannot_be_resumed(tmp_path, options):
    for fit in (
        lambda t: t.fit(loader(**options), epochs=1),
        lambda t: t.fit(loader(), loader(**options), epochs=1),
    ):
        mine = trainer(tmp_path / "r")
        with pytest.raises(OptionError, match="generator of a loader or sampler; leave generator= out"):
            fit(mine)
        assert mine.step == 0 and not (tmp_path / "r").exists()
    assert len(trainer().fit(loader(**options), loader(**options), epochs=1)) == 1


def test_a_sampler_that_draws_from_the_loader_is_resumed_bit_for_bit(tmp_path):
    def drawn():
        return loader(sampler=WeightedRandomSampler(np.arange(1, 33), 32))

    whole = trainer(tmp_path / "a")
    whole.fit(drawn(), epochs=3)
    trainer(tmp_path / "b").fit(drawn(), epochs=3, max_steps=6)
    second = trainer(tmp_path / "b")
    assert second.resume()
    second.fit(drawn(), epochs=3)
    assert checkpoint.digest(second.state()) == checkpoint.digest(whole.state())


def test_a_random_validation_is_resumed_bit_for_bit(tmp_path):
    class Noisy(TensorDataset):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return image + float(generator().normal()), label

    def noisy():
        return DataLoader(Noisy(*pairs().tensors), batch_size=8, seed=5)

    trainer(tmp_path / "a").fit(loader(), noisy(), epochs=3)
    trainer(tmp_path / "b").fit(loader(), noisy(), epochs=3, max_steps=6)
    second = trainer(tmp_path / "b")
    assert second.resume()
    second.fit(loader(), noisy(), epochs=3)
    records = read(tmp_path / "a" / "metrics.jsonl")
    assert len({record["val_loss"] for record in records if "val_loss" in record}) == 3
    assert read(tmp_path / "b" / "metrics.jsonl") == records


# -- labels and schedules --------------------------------------------------------------------


def test_labels_that_are_no_classes_are_refused_before_the_update():
    mine = trainer(classes=1)
    before = checkpoint.digest(mine.model.state_dict())
    with pytest.raises(LabelError):
        mine.fit(loader(), epochs=1)
    assert checkpoint.digest(mine.model.state_dict()) == before
    assert mine.step == mine.optimizer.steps == mine.metrics.count == 0


def test_a_schedule_that_ends_too_early_is_refused_before_the_first_update():
    mine = trainer(schedule=lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=6))
    before = checkpoint.digest(mine.state())
    with pytest.raises(OptionError, match="OneCycleLR: expected at most 6 updates.*got 8 to do"):
        mine.fit(loader(), epochs=2)
    assert mine.step == mine.optimizer.steps == 0 and checkpoint.digest(mine.state()) == before
    mine.fit(loader(), epochs=2, max_steps=5)
    with pytest.raises(OptionError, match="expected at most 1 updates.*got 3 to do"):
        mine.fit(loader(), epochs=2)
    mine.fit(loader(), epochs=2, max_steps=6)
    assert mine.step == mine.optimizer.steps == mine.scheduler.last_epoch == 6


def plateau(optimizer) -> lr_scheduler.ReduceLROnPlateau:
    return lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.9)


def test_a_plateau_is_watched_after_each_validation_and_resumed(tmp_path):
    whole = trainer(tmp_path / "a", plateau)
    history = whole.fit(loader(), loader(), epochs=3)
    by_hand = plateau(optim.SGD([nn.Parameter(minicnn.zeros(1))], lr=0.1))
    for record in history:
        by_hand.step(record["val_loss"])
    assert whole.optimizer.param_groups[0]["lr"] == by_hand.get_last_lr()[0] < 0.1
    trainer(tmp_path / "b", plateau).fit(loader(), loader(), epochs=3, max_steps=6)
    second = trainer(tmp_path / "b", plateau)
    assert second.resume()
    second.fit(loader(), loader(), epochs=3)
    assert second.scheduler.state_dict() == whole.scheduler.state_dict()
    assert checkpoint.digest(second.state()) == checkpoint.digest(whole.state())


def test_a_plateau_needs_a_validation_whose_loss_shall_fall():
    for mode, validation in (("min", None), ("max", loader())):
        mine = trainer(schedule=lambda o, mode=mode: lr_scheduler.ReduceLROnPlateau(o, mode))
        with pytest.raises(
            OptionError, match="ReduceLROnPlateau is stepped with the loss of each validation"
        ):
            mine.fit(loader(), validation, epochs=1)
        assert mine.step == 0


# -- looking on ------------------------------------------------------------------------------


def test_evaluation_leaves_each_module_in_its_mode():
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model[1].eval()  # frozen
    trainer(model=model).evaluate(loader())
    assert [module.training for module in model.modules()] == [True, True, False, True]
