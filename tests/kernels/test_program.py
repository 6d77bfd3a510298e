"""Programs: a frozen model computes what the model computes, for any number of images and threads."""

import copy

import numpy as np
import pytest

import minicnn
from minicnn import backends, nn
from minicnn.errors import BackendError, DTypeError, OptionError, ShapeError
from minicnn.nn import functional as F

SHAPES = {
    "mlp": (1, 28, 28),
    "lenet5": (1, 28, 28),
    "vgg_small": (3, 32, 32),
    "resnet20": (3, 32, 32),
    "depthwise_small": (3, 32, 32),
}


def images(rng, *shape):
    return minicnn.tensor(rng.standard_normal(shape).astype(np.float32))


def evaluated(model, x):
    model.eval()
    with minicnn.no_grad():
        return model(x).numpy()


def trained_a_little(name, rng):
    """A model whose batch normalization has statistics of its own."""
    minicnn.manual_seed(1)
    model = minicnn.models.build(name)
    model.train()
    model(images(rng, 8, *SHAPES[name]))
    return model


def assert_close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * abs(expected).max())


@pytest.mark.parametrize("name", SHAPES)
def test_a_frozen_model_computes_what_the_model_computes(level, name, rng):
    model = trained_a_little(name, rng)
    frozen = minicnn.freeze(model, images(rng, 1, *SHAPES[name]))
    assert frozen.reason is None
    for n in (1, 2, 5, 33):
        x = images(rng, n, *SHAPES[name])
        assert_close(frozen(x).numpy(), evaluated(model, x))


@pytest.mark.parametrize("name", SHAPES)
def test_results_are_the_same_for_any_number_of_threads(native, level, name, rng):
    model = trained_a_little(name, rng)
    x = images(rng, 37, *SHAPES[name])
    results = []
    for threads in (1, 2, 3, 4, 8, 8):
        native.set_threads(threads)
        results.append(minicnn.freeze(model, x)(x).numpy().tobytes())
    assert all(result == results[0] for result in results)


def test_an_image_has_the_same_result_in_any_batch_of_a_program(rng):
    model = trained_a_little("resnet20", rng)
    x = images(rng, 16, 3, 32, 32)
    frozen = minicnn.freeze(model, x)
    whole = frozen(x).numpy()
    assert np.array_equal(frozen(x[3:14]).numpy(), whole[3:14])  # both by the program for 64


class Layers(nn.Module):
    """Views, padding, residuals, every kind of pooling: all that programs have instructions for."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(4, 8, 5, stride=2, padding=2, groups=2)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.head = nn.Linear(8 * 3 * 2, 7)

    def forward(self, x):
        x = F.relu(self.norm(self.first(x)))
        x = F.relu(self.second(x) + x)
        x = self.depthwise(x) + F.pad(x[:, 2:6, :, :], (0, 0, 0, 0, 1, 3))
        x = F.avg_pool2d(F.max_pool2d(x, 3, 1, padding=1), 2, ceil_mode=True)
        x = F.adaptive_avg_pool2d(x, (3, 2)).permute(0, 2, 3, 1)
        return F.log_softmax(self.head(x.reshape(x.shape[0], -1)), 1)


def test_every_instruction(level, rng):
    model = Layers()
    model.train()
    model(images(rng, 4, 4, 21, 17))
    frozen = minicnn.freeze(model, images(rng, 3, 4, 21, 17))
    assert frozen.reason is None
    for n in (1, 4, 19):
        x = images(rng, n, 4, 21, 17)
        assert_close(frozen(x).numpy(), evaluated(model, x))


def test_a_view_may_come_last(rng):
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Flatten(2))
    x = images(rng, 3, 2, 5, 5)
    frozen = minicnn.freeze(model, x)
    assert frozen.reason is None
    assert_close(frozen(x).numpy(), evaluated(model, x))


def test_later_training_changes_nothing(rng):
    model = nn.Sequential(nn.Linear(3, 2))
    x = images(rng, 2, 3)
    frozen = minicnn.freeze(model, x)
    before = frozen(x).numpy()
    with minicnn.no_grad():
        model[0].weight.zero_()
    assert np.array_equal(frozen(x).numpy(), before)


def test_the_result_is_the_callers_own(rng):
    frozen = minicnn.freeze(nn.Sequential(nn.Linear(3, 2)), images(rng, 1, 3))
    first = frozen(images(rng, 2, 3))
    kept = first.numpy().copy()
    frozen(images(rng, 2, 3))
    assert np.array_equal(first.numpy(), kept)


class Unusual(nn.Module):
    """Computes with arrays: what is written down of it is true for one input only."""

    def forward(self, x):
        row = x.array[0]
        return F.linear(x, minicnn.tensor(np.outer(row, row)))


class InPlace(nn.Module):
    """Changes its input: what is written down does not show that."""

    def forward(self, x):
        x *= 2
        return F.relu(x)


class Counts(nn.Module):
    """Depends on how many images there are."""

    def forward(self, x):
        return F.relu(x) if len(x) <= 2 else F.relu(x + x)


class Fixed(nn.Module):
    """Takes five images only, or two."""

    def forward(self, x):
        if len(x) not in (2, 5):
            raise ValueError("five or two")
        return F.relu(x)


class Branches(nn.Module):
    """Depends on the numbers."""

    def forward(self, x):
        return F.relu(x) if x.mean() > 0 else F.relu(x + x)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (InPlace(), "in place"),
        (Counts(), "other results"),
        (Branches(), "looks at their numbers"),
        (Fixed(), "does not take 65 images: five or two"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_a_plan_does_not_show_is_found(model, reason, rng):
    x = images(rng, 5, 4) - 1
    frozen = minicnn.freeze(model, x)
    assert reason in frozen.reason
    assert np.array_equal(frozen(minicnn.tensor(x.numpy().copy())).numpy(), evaluated(model, x))


def test_hooks_are_called(rng):
    model, seen = nn.Sequential(nn.Linear(4, 2)), []
    model[0].register_forward_hook(lambda *_: seen.append(1))
    frozen = minicnn.freeze(model, images(rng, 1, 4))
    assert "hooks" in frozen.reason
    seen.clear()
    frozen(images(rng, 2, 4))
    assert seen == [1]


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint8, np.bool_])
def test_other_numbers_run_as_ever(dtype):
    frozen = minicnn.freeze(nn.Identity(), minicnn.tensor(np.ones((2, 3), dtype)))
    assert "not one for each image" in frozen.reason
    assert frozen(minicnn.tensor(np.ones((4, 3), dtype))).numpy().tolist() == np.ones((4, 3), dtype).tolist()


def test_images_in_any_layout(rng):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    x = images(rng, 2, 6, 6, 3).permute(0, 3, 1, 2)
    frozen = minicnn.freeze(model, x)
    assert frozen.reason is None
    assert_close(frozen(x).numpy(), evaluated(model, x))


def test_what_was_frozen_does_not_follow_later_choices(native, rng):
    x = images(rng, 3, 16, 12, 12)
    frozen = minicnn.freeze(nn.Sequential(nn.Conv2d(16, 16, 3, padding=1)), x)
    before = frozen(x).numpy()
    minicnn.set_conv_precision("highest")
    try:
        assert np.array_equal(frozen(x).numpy(), before)
    finally:
        minicnn.set_conv_precision("high")
    with minicnn.use_backend("numpy"):
        assert np.array_equal(frozen(x).numpy(), before)


def test_a_frozen_model_can_be_copied(rng):
    x = images(rng, 3, 4)
    frozen = minicnn.freeze(nn.Sequential(nn.Linear(4, 2)), x)
    assert np.array_equal(copy.deepcopy(frozen)(x).numpy(), frozen(x).numpy())


class Scaled(nn.Module):
    def forward(self, x):
        return 2 * x


class Powers(nn.Module):
    """Calls what programs have no instruction for."""

    def forward(self, x):
        return x**2


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Powers(), "no instruction for pow"),
        (Unusual(), "looks at their numbers"),
        (nn.Sequential(nn.Softmax(0)), "across images"),
    ],
    ids=["an operation without instruction", "arrays", "a batch that is mixed"],
)
def test_what_is_no_program_runs_as_ever_and_says_why(model, reason, rng):
    x = images(rng, 3, 4)
    frozen = minicnn.freeze(model, x)
    assert reason in frozen.reason
    assert reason in repr(frozen)
    assert np.array_equal(frozen(x).numpy(), evaluated(model, x))
    with minicnn.backends.use_strict(), pytest.raises(BackendError, match=reason) as refused:
        minicnn.freeze(model, x)
    assert str(refused.value).count("MINICNN_STRICT") == 1


def test_calls_are_counted(rng):
    x = images(rng, 2, 4)
    backends.reset_report()
    frozen, slow = minicnn.freeze(Scaled(), x), minicnn.freeze(Powers(), x)
    for _ in range(3):
        frozen(x)
    slow(x)
    counted = backends.report()[frozen.name]["native"]
    assert (counted["kernel"], counted["reference"], counted["reasons"]) == (3, 0, {})
    counted = backends.report()[slow.name]["native"]
    assert (counted["reference"], counted["reasons"]) == (1, {"no instruction for pow": 1})
    backends.reset_report()
    frozen(x)
    assert backends.report()[frozen.name]["native"]["kernel"] == 1


def test_other_backends_have_no_programs(rng):
    with minicnn.use_backend("numpy"):
        frozen = minicnn.freeze(nn.Sequential(nn.Linear(4, 4)), images(rng, 1, 4))
        assert "numpy" in frozen.reason
        assert frozen(images(rng, 2, 4)).shape == (2, 4)


def test_wrong_images_are_refused(rng):
    frozen = minicnn.freeze(nn.Sequential(nn.Linear(4, 2)), images(rng, 1, 4))
    with pytest.raises(ShapeError, match=r"\(N, 4,\)"):
        frozen(images(rng, 2, 5))
    with pytest.raises(DTypeError, match="float32"):
        frozen(minicnn.zeros(2, 4, dtype=np.float64))
    with pytest.raises(OptionError, match="module"):
        minicnn.freeze(lambda x: x, images(rng, 1, 4))
    with pytest.raises(OptionError, match="at least one"):
        minicnn.freeze(nn.Linear(4, 2), minicnn.zeros(0, 4))
    assert frozen(minicnn.zeros(0, 4)).shape == (0, 2)
