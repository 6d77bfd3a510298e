"""Averages, best weights, early stopping, accumulation, mixing; all stopped and resumed to the bit."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

import minicnn
from minicnn import nn, optim, transforms
from minicnn.core import random
from minicnn.core.tensor import Tensor
from minicnn.data import DataLoader, TensorDataset
from minicnn.errors import CheckpointError, OptionError
from minicnn.io import checkpoint, load
from minicnn.nn import functional as F
from minicnn.train import Interrupted, Trainer
from minicnn.train.averaging import MovingAverage
from minicnn.train.callbacks import Callback
from minicnn.train.choices import SCHEDULES, class_weights, mixing
from minicnn.train.losses import mae, training_loss
from minicnn.train.stopping import BestModel, EarlyStopping


def pairs(count=48, seed=0):
    images = np.random.default_rng(seed).standard_normal((count, 1, 4, 4)).astype(np.float32)
    return TensorDataset(images, (images.mean(axis=(1, 2, 3)) > 0).astype(np.int64))


def loader(batch=8, **options):
    return DataLoader(pairs(), batch_size=batch, shuffle=True, seed=1, **options)


def validation():
    """Always in the same order, so that its sums round alike."""
    return DataLoader(pairs(), batch_size=8, seed=1)


def trainer(run_dir=None, norm=True, lr=0.1, **options):
    minicnn.manual_seed(3)
    layers = [nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(8, 2))
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return Trainer(model, optimizer, classes=2, run_dir=run_dir, **options)


def weights(model):
    return {name: tensor.array.copy() for name, tensor in model.state_dict().items()}


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step(self, trainer, record, images):
        if record["step"] == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


# -- the moving average ------------------------------------------------------------------------


def test_the_moving_average_is_its_formula():
    average = MovingAverage(0.9)
    seen = []

    class Follow(Callback):
        def on_step(self, trainer, record, images):
            seen.append(weights(trainer.model))

    running = trainer(callbacks=[average, Follow()])
    running.fit(loader(), epochs=2)
    expected = {}
    for t, values in enumerate(seen):
        d = min(0.9, (1 + t) / (10 + t))
        for name, w in values.items():
            floating = w.dtype.kind == "f" and name in expected
            expected[name] = d * expected[name] + (1 - d) * w.astype(np.float64) if floating else w
    with average.in_force(running.model):
        for name, value in weights(running.model).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6)
    assert all((weights(running.model)[n] == v).all() for n, v in seen[-1].items())


def test_it_is_in_force_where_the_trainer_measures():
    average = MovingAverage(0.99)
    running = trainer(callbacks=[average])
    running.fit(loader(), epochs=3)
    measured = running.evaluate(validation())
    plain = trainer()
    average.put_into(running.model)
    plain.model.load_state_dict(running.model.state_dict())
    assert measured.loss == plain.evaluate(validation()).loss


def test_its_state_is_tensors_that_a_checkpoint_keeps(tmp_path):
    average = MovingAverage(0.9)
    trainer(callbacks=[average]).fit(loader(), epochs=1)
    state = average.state_dict()
    assert all(isinstance(value, minicnn.Tensor) for value in state["averages"].values())
    minicnn.save(state, tmp_path / "state")
    other = MovingAverage(0.9)
    other.load_state_dict(minicnn.load(tmp_path / "state"))
    assert checkpoint.digest(other.state_dict()) == checkpoint.digest(state)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(OptionError, match=r"a decay in \[0, 1\)"):
        MovingAverage(decay)


# -- stopping, and the best weights ------------------------------------------------------------


def test_it_ends_when_nothing_gets_better():
    watch = EarlyStopping(patience=3, monitor="val_loss")
    running = trainer(lr=0.0, callbacks=[watch])
    history = running.fit(loader(), validation(), epochs=50)
    assert len(history) in range(4, 50)  # running statistics of batch norm still change
    assert watch.waited == 3


@pytest.mark.parametrize(
    "monitor, values, last",
    [
        ("val_loss", [3, 2, 2.5, 2.4, 1], 3),
        ("val_loss", [3, float("nan"), float("nan"), 1], 2),
        ("val_loss", [float("nan"), 3, 2.5, 2.6, 2.7], 4),
        ("val_accuracy", [0.1, 0.2, 0.2, 0.2], 3),
        ("val_accuracy", [0.1, 0.2, 0.15, 0.3, 0.1, 0.1], 5),
    ],
)
def test_patience(monitor, values, last):
    watch = EarlyStopping(patience=2, monitor=monitor)
    over = [watch.is_over({monitor: value}) for value in values]
    assert over.index(True) == last


def test_less_than_min_delta_does_not_count():
    watch = EarlyStopping(patience=1, min_delta=0.1)
    assert [watch.is_over({"val_loss": v}) for v in (1.0, 0.85, 0.8)] == [False, False, True]


def test_what_cannot_be_watched_is_refused():
    with pytest.raises(OptionError, match="expected a measure out of val_loss"):
        BestModel("val_los")
    with pytest.raises(OptionError, match="patience >= 1"):
        EarlyStopping(0)
    with pytest.raises(OptionError, match="val_loss is watched, and there is no validation"):
        trainer(callbacks=[EarlyStopping(2)]).fit(loader(), epochs=1)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("averaged", [False, True])
def test_the_best_weights_are_those_that_measured_best(tmp_path, on_disk, averaged):
    best = BestModel("val_loss")
    kept = [MovingAverage(0.5)] if averaged else []
    running = trainer(tmp_path if on_disk else None, lr=0.8, callbacks=[*kept, best])
    history = running.fit(loader(), validation(), epochs=12)
    losses = [record["val_loss"] for record in history]
    assert best.epoch == int(np.argmin(losses)) < 11  # or this test shows nothing
    assert best.restore(running)
    plain = trainer()
    plain.model.load_state_dict(running.model.state_dict())
    assert plain.evaluate(validation()).loss == losses[best.epoch]
    assert (tmp_path / "best.safetensors").exists() == on_disk
    if on_disk:
        assert load(tmp_path / "best.safetensors").keys() == running.model.state_dict().keys()


# -- accumulation and mixing -------------------------------------------------------------------


@pytest.mark.parametrize("batches", [2, 3, 6])
def test_several_small_batches_make_the_update_of_a_large_one(batches):
    """48 images: batches of 8 put together, against batches of so many times 8."""
    small = trainer(norm=False, accumulate=batches)
    history = small.fit(loader(8), epochs=2)
    large = trainer(norm=False)
    expected = large.fit(loader(8 * batches), epochs=2)
    assert small.step == large.step == 2 * 6 // batches
    for name, value in weights(large.model).items():
        np.testing.assert_allclose(weights(small.model)[name], value, rtol=2e-5, atol=1e-6)
    assert history[-1]["train_loss"] == pytest.approx(expected[-1]["train_loss"], rel=1e-5)


def test_the_last_update_of_an_epoch_takes_what_is_left():
    running = trainer(norm=False, accumulate=4)
    running.fit(loader(8), epochs=1)
    assert (running.step, running.epoch) == (2, 1)


def test_mixing_is_a_function_of_seed_epoch_and_batch():
    def draws(seed):
        drawn = []

        def mix(images, labels):
            drawn.append(random.generator().random())
            return transforms.MixUp(alpha=1.0, num_classes=2)(images, labels)

        running = trainer(mix=mix, seed=seed)
        minicnn.manual_seed(len(seen))  # of no account
        running.fit(loader(), epochs=2)
        seen.append(weights(running.model))
        return drawn

    seen = []
    first, again, other = draws(5), draws(5), draws(6)
    assert first == again
    assert len({*first, *other}) == 2 * 12  # another for each batch of each epoch of each seed
    for name, value in seen[0].items():
        np.testing.assert_array_equal(value, seen[1][name])
    assert any((seen[0][name] != value).any() for name, value in seen[2].items())


def test_mixed_images_have_no_training_accuracy():
    history = trainer(mix=mixing("mixup", 0.0, 2)).fit(loader(), validation(), epochs=1)
    assert history[0].keys() == {"epoch", "step", "train_loss", "val_loss", "val_accuracy"}
    watched = trainer(mix=mixing("mixup", 0.0, 2), callbacks=[BestModel("train_accuracy")])
    with pytest.raises(OptionError, match="train_accuracy is watched, and mixed images have none"):
        watched.fit(loader(), epochs=1)


@pytest.mark.parametrize(
    "name, kind, alpha", [("mixup", transforms.MixUp, 0.2), ("cutmix", transforms.CutMix, 1.0)]
)
def test_names_of_mixes(name, kind, alpha):
    usual, asked = mixing(name, 0.0, 3), mixing(name, 0.6, 3)
    assert (type(usual), usual.alpha, usual.num_classes) == (kind, alpha, 3)
    assert (type(asked), asked.alpha) == (kind, 0.6)
    assert mixing("none", 0.0, 3) is None


def test_of_both_mixes_each_batch_gets_one_or_the_other():
    mix, kinds = mixing("both", 0.0, 3), []
    pixels = Tensor(np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1) + np.zeros((6, 1, 8, 8), np.float32))
    for seed in range(40):
        with random.use_generator(random.new_generator(seed)):
            images, probabilities = mix(pixels, Tensor(np.arange(6) % 3))
        np.testing.assert_allclose(probabilities.numpy().sum(axis=1), 1, rtol=1e-6)
        kinds.append((images.numpy() == np.rint(images.numpy())).all())  # CutMix takes pixels as they are
    assert 10 < sum(kinds) < 30


# -- all of it, stopped and taken up -------------------------------------------------------------


def everything(run_dir, *more):
    kept = [MovingAverage(0.9), BestModel("val_loss"), EarlyStopping(4)]
    options = {"accumulate": 2, "mix": mixing("both", 0.0, 2), "validation_loss": F.cross_entropy}
    return trainer(run_dir, lr=0.3, checkpoint_every=1, callbacks=[*kept, *more], **options), kept


@pytest.mark.parametrize("step", [1, 4, 6, 14])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stopped_training_goes_on_to_the_bit(tmp_path, step, workers):
    whole, kept = everything(tmp_path / "whole")
    whole.fit(loader(), validation(), epochs=8)
    cut, _ = everything(tmp_path / "cut", StopAt(step))
    with pytest.raises(Interrupted):
        cut.fit(loader(), validation(), epochs=8)
    again, resumed = everything(tmp_path / "cut")
    assert again.resume()
    again.fit(loader(num_workers=workers), validation(), epochs=8)
    assert checkpoint.digest(again.state()) == checkpoint.digest(whole.state())
    for one, other in zip(kept, resumed, strict=True):
        mine, theirs = (dict(checkpoint.leaves(c.state_dict())) for c in (one, other))
        assert [name for name in mine if not np.array_equal(mine[name], theirs[name])] == []
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut")]
    assert logs[0] == logs[1]
    best = [load(tmp_path / name / "best.safetensors") for name in ("whole", "cut")]
    assert all((best[0][name].numpy() == best[1][name].numpy()).all() for name in best[0])


def test_what_was_ended_early_stays_ended(tmp_path):
    def run():
        return trainer(tmp_path, lr=0.0, callbacks=[EarlyStopping(2)])

    first = run()
    first.fit(loader(), validation(), epochs=50)
    again = run()
    assert again.resume()
    assert again.fit(loader(), validation(), epochs=50) == []
    assert again.epoch == first.epoch < 50


def test_patience_goes_on_where_it_was(tmp_path):
    """Nothing gets better: four epochs of six updates, whenever it is stopped between."""

    def run(*more):
        return trainer(tmp_path, norm=False, lr=0.0, callbacks=[EarlyStopping(3), *more])

    with pytest.raises(Interrupted):
        run(StopAt(15)).fit(loader(), validation(), epochs=50)
    again = run()
    assert again.resume() and (again.epoch, again.callbacks[0].waited) == (2, 1)
    again.fit(loader(), validation(), epochs=50)
    assert again.epoch == 4


def test_so_many_checkpoints_are_kept(tmp_path):
    running = trainer(tmp_path, checkpoint_every=1, keep=4)
    running.fit(loader(), epochs=2)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == [f"step-{n:08d}.safetensors" for n in (9, 10, 11, 12)]
    with pytest.raises(OptionError, match="keep >= 2"):
        trainer(tmp_path, keep=1)


# -- uneven classes, smoothing -------------------------------------------------------------------


def test_class_weights_are_scikit_learns():
    labels = np.random.default_rng(0).choice(5, 300, p=[0.5, 0.3, 0.1, 0.06, 0.04])
    expected = compute_class_weight("balanced", classes=np.arange(5), y=labels)
    np.testing.assert_allclose(class_weights(labels, 5), expected, rtol=1e-12)
    assert class_weights([0, 0], 3).tolist() == [1 / 3, 0, 0]


def test_the_loss_by_name_smooths_and_weights():
    scores, labels = Tensor(np.random.default_rng(0).normal(size=(6, 3))), Tensor(np.arange(6) % 3)
    weights = Tensor(np.array([1.0, 2.0, 0.5]))
    made = training_loss("cross_entropy", label_smoothing=0.2, weights=weights)(scores, labels)
    assert made.item() == F.cross_entropy(scores, labels, weight=weights, label_smoothing=0.2).item()
    assert training_loss("mae") is mae
    with pytest.raises(OptionError, match="expected cross_entropy for label smoothing"):
        training_loss("mae", label_smoothing=0.1)
    one_hot = F.one_hot(labels, 3).to(scores.dtype)
    assert mae(scores, one_hot).item() == mae(scores, labels).item()


@pytest.mark.parametrize("together", [2, 3])
def test_a_last_batch_that_is_smaller_counts_by_its_images(together):
    """The gradient is that of all images at once, however they are cut into batches."""
    data = pairs(count=20)

    def trained(batch, accumulate):
        one = trainer(norm=False, accumulate=accumulate)
        history = one.fit(DataLoader(data, batch_size=batch, seed=0), epochs=2)
        return weights(one.model), [record["train_loss"] for record in history]

    ours, losses = trained(8 if together == 3 else 12, together)
    theirs, expected = trained(20, 1)
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-5, atol=1e-6)
    assert losses == pytest.approx(expected, rel=1e-5)


def test_two_callbacks_of_one_name_are_refused():
    with pytest.raises(OptionError, match="different names.*early_stopping, early_stopping"):
        trainer(callbacks=[EarlyStopping(2, "val_loss"), EarlyStopping(2, "val_accuracy")])


def test_the_best_weights_come_back_without_another_training(tmp_path):
    watch = BestModel()
    trainer(tmp_path, callbacks=[watch]).fit(loader(), validation(), epochs=2)
    again = BestModel()
    resumed = trainer(tmp_path, callbacks=[again])
    resumed.resume()
    assert again.restore(resumed)
    for name, value in load(tmp_path / "best.safetensors").items():
        np.testing.assert_array_equal(weights(resumed.model)[name], value.array)


def test_best_weights_that_were_in_memory_are_told_to_be_gone():
    first = trainer(callbacks=[BestModel()])
    first.fit(loader(), validation(), epochs=1)
    other, watch = trainer(callbacks=[BestModel()]), None
    other.load_state(first.state())
    (watch,) = other.callbacks
    with pytest.raises(CheckpointError, match="in memory alone"):
        watch.restore(other)


@pytest.mark.filterwarnings("ignore:OneCycleLR.step")
@pytest.mark.parametrize("momentum, bounds", [(0.0, (0.0, 0.0)), (0.9, (0.85, 0.95)), (0.2, (0.0, 0.4))])
def test_one_cycle_moves_the_momentum_that_was_asked_for(momentum, bounds):
    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1, momentum=momentum)
    schedule = SCHEDULES["onecycle"](optimizer, 0.1, 20)
    seen = [optimizer.param_groups[0]["momentum"]]
    for _ in range(19):
        schedule.step()
        seen.append(optimizer.param_groups[0]["momentum"])
    assert (min(seen), max(seen)) == pytest.approx(bounds)
