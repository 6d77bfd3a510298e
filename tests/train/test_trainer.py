"""The Trainer: the numbers of a hand-written loop, stopped anywhere and taken up again bit for bit."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

import minicnn
from minicnn import nn, optim
from minicnn.data import DataLoader, TensorDataset
from minicnn.errors import NonFiniteError, OptionError
from minicnn.io import checkpoint
from minicnn.nn import functional as F
from minicnn.train import Interrupted, Trainer
from minicnn.train.callbacks import Callback
from minicnn.train.log import read

BATCHES = 4


def pairs(seed: int = 0, count: int = 30) -> TensorDataset:
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((count, 1, 6, 6)).astype(np.float32)
    return TensorDataset(images, (images.mean(axis=(1, 2, 3)) > 0).astype(np.int64))


class Net(nn.Module):
    """All that has a state: batch normalization, dropout, momentum, a schedule."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.3)
        self.dense = nn.Linear(12, 2)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.dense(self.drop(x.flatten(1)))


def trainer(run_dir=None, *, steps: int = 12, **options) -> Trainer:
    minicnn.manual_seed(7)
    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=0.05, weight_decay=0.01, l1=0.001)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=steps)
    return Trainer(model, optimizer, classes=["low", "high"], scheduler=schedule, run_dir=run_dir, **options)


def loader(**options) -> DataLoader:
    return DataLoader(pairs(), batch_size=8, shuffle=True, seed=3, **options)


class StopAt(Callback):
    """Sends this process a signal after an update."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        self.step = step
        self.number = number

    def on_step(self, trainer, record, images):
        if record["step"] == self.step:
            os.kill(os.getpid(), self.number)


def test_compiled_it_gives_the_same_numbers():
    """In evaluation mode to rounding: there, normalizations become part of the weights."""
    if minicnn.backends.unavailable("native"):
        pytest.skip(minicnn.backends.unavailable("native"))
    runs = []
    with minicnn.use_backend("native"):
        for compiled in (False, True):
            before = fused_calls()
            mine = trainer(compile=compiled)
            history = mine.fit(loader(), DataLoader(pairs(1), batch_size=8), epochs=3)
            assert (fused_calls() > before) == compiled
            runs.append((history, checkpoint.digest(mine.state())))
    (plain, plain_digest), (compiled, compiled_digest) = runs
    assert plain_digest == compiled_digest
    for a, b in zip(plain, compiled, strict=True):
        assert a["train_loss"] == b["train_loss"] and a["val_accuracy"] == b["val_accuracy"]
        assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-5)


def fused_calls():
    return minicnn.backends.report().get("batch_norm_relu", {}).get("native", {}).get("kernel", 0)


def test_it_gives_the_numbers_of_a_hand_written_loop():
    mine = trainer()
    history = mine.fit(loader(), epochs=3)

    minicnn.manual_seed(7)
    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=0.05, weight_decay=0.01, l1=0.001)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=12)
    batches = loader()
    losses = []
    for _ in range(3):
        total = 0.0
        for x, y in batches:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(y)
        losses.append(total / 30)
    assert [record["train_loss"] for record in history] == losses
    assert checkpoint.digest(mine.model.state_dict()) == checkpoint.digest(model.state_dict())


def test_validation_is_measured_and_changes_nothing():
    plain, watched = trainer(), trainer()
    plain.fit(loader(), epochs=2)
    minicnn.manual_seed(7)
    watched = trainer()
    history = watched.fit(loader(), DataLoader(pairs(1), batch_size=7), epochs=2)
    assert checkpoint.digest(plain.state()) == checkpoint.digest(watched.state())
    assert watched.model.training
    model = watched.model.eval()
    with minicnn.no_grad():
        scores = model(pairs(1).tensors[0])
        labels = pairs(1).tensors[1]
    assert history[-1]["val_accuracy"] == float((scores.numpy().argmax(1) == labels.numpy()).mean())
    assert history[-1]["val_loss"] == pytest.approx(F.cross_entropy(scores, labels).item(), rel=1e-6)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Digest and log of a whole run of three epochs."""
    run_dir = tmp_path_factory.mktemp("whole")
    whole = trainer(run_dir, checkpoint_every=1)
    whole.fit(loader(), DataLoader(pairs(1), batch_size=7), epochs=3)
    return checkpoint.digest(whole.state()), (run_dir / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("step", range(1, 12))
def test_stopped_after_any_step_it_goes_on_bit_for_bit(tmp_path, uninterrupted, step):
    validation = DataLoader(pairs(1), batch_size=7)
    first = trainer(tmp_path, callbacks=[StopAt(step)])
    with pytest.raises(Interrupted) as stopped:
        first.fit(loader(), validation, epochs=3)
    assert stopped.value.exit_code == 143
    assert f"step-{step:08d}" in str(stopped.value)

    minicnn.manual_seed(99)  # nothing may depend on what the new process happens to have
    second = trainer(tmp_path)
    assert second.resume()
    assert second.step == step
    second.fit(loader(), validation, epochs=3)
    assert checkpoint.digest(second.state()) == uninterrupted[0]
    assert (tmp_path / "metrics.jsonl").read_bytes() == uninterrupted[1]


@pytest.mark.parametrize("every", [1, 3, 100])
def test_what_came_after_the_checkpoint_is_done_again(tmp_path, uninterrupted, every):
    """As after a kill: the log has lines that no checkpoint knows of, the last one cut off."""
    validation = DataLoader(pairs(1), batch_size=7)
    first = trainer(tmp_path, checkpoint_every=every)
    first.fit(loader(), validation, epochs=3, max_steps=6)
    with open(tmp_path / "metrics.jsonl", "ab") as log:
        log.write(b'{"step": 7, "epoch": 1, "loss": 0.5, "lr": 1}\n{"step": 8, "ep')
    second = trainer(tmp_path, checkpoint_every=every)
    assert second.resume()
    second.fit(loader(), validation, epochs=3)
    assert checkpoint.digest(second.state()) == uninterrupted[0]
    assert (tmp_path / "metrics.jsonl").read_bytes() == uninterrupted[1]


def test_workers_change_nothing(uninterrupted):
    mine = trainer()
    mine.fit(loader(num_workers=2), epochs=3)
    assert checkpoint.digest(mine.state()) == uninterrupted[0]


def test_checkpoints_come_every_n_steps_and_at_the_end_of_epochs(tmp_path, monkeypatch):
    saved = []
    save = checkpoint.save
    monkeypatch.setattr(
        checkpoint,
        "save",
        lambda d, state, **k: (saved.append((state["step"], state["epoch"])), save(d, state, **k))[1],
    )
    trainer(tmp_path, checkpoint_every=3).fit(loader(), epochs=2)
    assert saved == [(3, 0), (4, 1), (6, 1), (8, 2)]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_the_log_has_every_update_and_every_epoch(tmp_path):
    history = trainer(tmp_path).fit(loader(), DataLoader(pairs(1), batch_size=7), epochs=2)
    records = read(tmp_path / "metrics.jsonl")
    assert [r["step"] for r in records if "lr" in r] == list(range(1, 9))
    assert [r for r in records if "train_loss" in r] == history


def test_a_run_from_the_start_begins_a_new_log(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("rest of a run that was killed before its first checkpoint\n")
    trainer(tmp_path).fit(loader(), epochs=1)
    assert len(read(tmp_path / "metrics.jsonl")) == BATCHES + 1


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path):
    assert not trainer(tmp_path).resume()
    assert not trainer().resume()


def test_a_damaged_checkpoint_is_passed_over(tmp_path, uninterrupted):
    trainer(tmp_path, checkpoint_every=1).fit(
        loader(), DataLoader(pairs(1), batch_size=7), epochs=3, max_steps=5
    )
    newest = checkpoint.find(tmp_path)
    newest.write_bytes(newest.read_bytes()[:-100])
    again = trainer(tmp_path)
    with pytest.warns(UserWarning, match=r"step-00000005.*; step-00000004\.safetensors is used instead"):
        assert again.resume()
    assert again.step == 4
    again.fit(loader(), DataLoader(pairs(1), batch_size=7), epochs=3)
    assert checkpoint.digest(again.state()) == uninterrupted[0]


def test_a_second_interrupt_stops_at_once(tmp_path):
    class Twice(Callback):
        def on_step(self, trainer, record, images):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path, callbacks=[Twice()]).fit(loader(), epochs=1)


def test_signal_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as stopped:
        trainer(tmp_path, callbacks=[StopAt(2, signal.SIGINT)]).fit(loader(), epochs=1)
    assert stopped.value.exit_code == 130
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_max_steps_stops_within_an_epoch_and_more_may_follow(tmp_path, uninterrupted):
    validation = DataLoader(pairs(1), batch_size=7)
    first = trainer(tmp_path)
    assert len(first.fit(loader(), validation, epochs=3, max_steps=6)) == 1
    assert (first.step, first.epoch, first.position) == (6, 1, 2)
    first.fit(loader(), validation, epochs=3, max_steps=8)
    assert (first.step, first.epoch, first.position) == (8, 2, 0)
    first.fit(loader(), validation, epochs=3)
    assert checkpoint.digest(first.state()) == uninterrupted[0]


def test_clip_norm_limits_the_gradient():
    """Plain SGD with rate 1 moves the parameters by the clipped gradient."""
    minicnn.manual_seed(0)
    model = nn.Linear(2, 2)
    before = np.concatenate([p.numpy().ravel().copy() for p in (model.weight.detach(), model.bias.detach())])
    images = minicnn.tensor([[10.0, -5.0], [-10.0, 5.0]])
    mine = Trainer(model, optim.SGD(model.parameters(), lr=1.0), classes=2, clip_norm=0.5)
    mine.fit(DataLoader(TensorDataset(images, minicnn.tensor([0, 0])), batch_size=2, seed=0), epochs=1)
    after = np.concatenate([p.numpy().ravel() for p in (model.weight.detach(), model.bias.detach())])
    assert np.linalg.norm(after - before) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("options", [{"clip_norm": -1.0}, {"checkpoint_every": -1}])
def test_bad_options_are_refused(options):
    with pytest.raises(OptionError):
        trainer(**options)


# -- numbers that are not finite -------------------------------------------------------------


def broken_trainer(run_dir, prepare) -> Trainer:
    """In the third step, something is done to the parameters before the forward pass."""
    minicnn.manual_seed(7)
    model = Net()
    mine = Trainer(
        model, optim.SGD(model.parameters(), lr=0.1), classes=2, run_dir=run_dir, checkpoint_every=1
    )

    def spoil(module, args):
        if mine.step == 2:
            prepare(module)

    model.register_forward_pre_hook(spoil)
    return mine


def set_nan(model):
    with minicnn.no_grad():
        model.dense.weight.write_(np.full((2, 12), np.nan, np.float32))


def set_huge(model):
    with minicnn.no_grad():
        model.norm.weight.write_(np.full(3, 3e38, np.float32))
        model.norm.bias.write_(np.full(3, 3e38, np.float32))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "prepare, text",
    [
        (
            set_nan,
            r"dense: Linear: linear: the result is not finite in 16 of 16 .*operand w has such numbers",
        ),
        (set_huge, r"norm: BatchNorm2d: batch_norm.*: the result is not finite.*its operands are finite"),
    ],
)
def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_the_layer(tmp_path, prepare, text):
    mine = broken_trainer(tmp_path, prepare)
    with pytest.raises(NonFiniteError, match=text) as caught:
        mine.fit(loader(), epochs=1)
    assert "step 3 was not taken" in str(caught.value)
    _, saved = checkpoint.latest(tmp_path / "checkpoints")
    assert saved["step"] == mine.step == 2
    np.testing.assert_array_equal(
        saved["model"]["conv.weight"].numpy(), mine.model.conv.weight.detach().numpy()
    )


def test_an_infinite_loss_with_finite_gradients_is_noticed():
    minicnn.manual_seed(0)
    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    mine = Trainer(model, optimizer, lambda z, t: F.cross_entropy(z, t) + float("inf"), classes=2)
    with pytest.raises(NonFiniteError, match=r"^add: the result is not finite in 1 of 1 places, first inf;"):
        mine.fit(loader(), epochs=1)


class Root(nn.Module):
    """The square root at 0: a finite result with an infinite slope."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(36, 2)

    def forward(self, x):
        return self.dense(x.flatten(1) * 0.0).sqrt()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_gradient_that_is_not_finite_stops_before_the_update_and_names_the_layer():
    minicnn.manual_seed(0)
    model = Root()
    with minicnn.no_grad():
        model.dense.bias.write_(np.zeros(2, np.float32))
    before = checkpoint.digest(model.state_dict())
    state = minicnn.core.random.get_state()
    mine = Trainer(model, optim.SGD(model.parameters(), lr=0.1), classes=2)
    with pytest.raises(
        NonFiniteError, match=r"Root: sqrt\.backward: the gradient of x is not finite in 16 of 16 places"
    ):
        mine.fit(loader(), epochs=1)
    assert checkpoint.digest(model.state_dict()) == before
    assert minicnn.core.random.get_state() == state


def test_a_state_that_is_not_finite_is_never_saved(tmp_path):
    mine = trainer(tmp_path)
    set_nan(mine.model)
    with pytest.raises(NonFiniteError, match="model.dense.weight has numbers that are not finite"):
        mine.save()
    assert not (tmp_path / "checkpoints").exists()


def test_a_log_line_that_does_not_fit_on_the_disk_is_left_out_as_a_whole(tmp_path):
    import resource

    from minicnn.train.log import Log

    log = Log(tmp_path / "metrics.jsonl")
    log.write({"step": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.sync() + 5, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large.*metrics\.jsonl"):
            log.write({"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    log.write({"step": 3})
    log.close()
    assert read(tmp_path / "metrics.jsonl") == [{"step": 1}, {"step": 3}]


@pytest.mark.parametrize("validation", [True, False])
def test_a_pass_without_images_is_an_error(validation):
    batches = iter(list(DataLoader(pairs(), batch_size=8))) if validation else None
    model = trainer(steps=100)
    with pytest.raises(OptionError, match="to validate on gave no image; an iterator gives them only once"):
        model.fit(loader(), batches if validation else iter(()), epochs=2)
