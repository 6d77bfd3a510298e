"""What `freeze` promises: refusals in words, the same results whatever is small, and no effects elsewhere."""

import copy
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minicnn
from minicnn import backends, nn
from minicnn.core import dispatch
from minicnn.core.op import ops
from minicnn.core.tensor import watching
from minicnn.errors import BackendError, OptionError, ShapeError
from minicnn.nn import functional as F


def random(rng, *shape):
    return minicnn.tensor(rng.standard_normal(shape).astype(np.float32))


class Call(nn.Module):
    """A function as a model."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


CONSTANTS = {
    "0-d": lambda: minicnn.tensor(2.0),
    "(1,)": lambda: minicnn.tensor([2.0]),
    "(C, 1, 1)": lambda: minicnn.linspace(1, 2, 3).view(3, 1, 1),
}
ARITHMETIC = {
    "x + c": lambda x, c: x + c,
    "c + x": lambda x, c: c + x,
    "x - c": lambda x, c: x - c,
    "c - x": lambda x, c: c - x,
    "x * c": lambda x, c: x * c,
    "c * x": lambda x, c: c * x,
    "x / c": lambda x, c: x / c,
    "c / x": lambda x, c: c / x,
}


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_with_constants_of_every_shape(name, constant, rng):
    c, x = CONSTANTS[constant](), random(rng, 4, 3, 5, 2)
    frozen = minicnn.freeze(Call(lambda x: ARITHMETIC[name](x, c)), x)
    assert frozen.reason == ("a division by a result" if name == "c / x" else None)
    np.testing.assert_allclose(frozen(x).numpy(), ARITHMETIC[name](x, c).numpy(), rtol=3e-7)


NO_IMAGES = {
    "mean": lambda x: x.mean(),
    "max": lambda x: x.max(),
    "sum": lambda x: x.sum(),
    "no images": lambda x: x[:0],
    "one image": lambda x: x.relu()[0],
    "no pixels": lambda x: x.relu()[:, :0],
    "a shape of all images": lambda x: x.reshape(2, -1).relu().reshape(-1),
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_no_result_for_each_image_is_refused_in_words(name, rng):
    frozen = minicnn.freeze(Call(NO_IMAGES[name]), random(rng, 2, 3, 4, 4))
    assert "not one for each image" in frozen.reason


def test_a_model_that_cannot_be_copied(rng):
    model = nn.Linear(3, 2)
    model.lock = threading.Lock()
    with pytest.raises(OptionError, match="a model that can be copied"):
        minicnn.freeze(model, random(rng, 1, 3))
    with pytest.raises(OptionError, match="a tensor of images"):
        minicnn.freeze(nn.Linear(3, 2), minicnn.zeros(1, 3, device="meta"))


def test_a_backend_that_fails_is_a_reason(monkeypatch, rng):
    def lower(plan, counts):
        raise ValueError("an instruction leaves its buffers")

    monkeypatch.setattr(dispatch.active(), "lower", lower)
    assert "leaves its buffers" in minicnn.freeze(nn.Linear(3, 2), random(rng, 1, 3)).reason


@pytest.mark.parametrize("name", ["mean", "sum"])
@pytest.mark.parametrize("dim", [(-1,), (2, 1), (1, 1), (3,)])
def test_dimensions_of_operations_are_in_normal_form(name, dim):
    """Those of functions and methods are any; negative ones reached the instructions."""
    with pytest.raises(ShapeError, match="sorted dimensions from 0 to 2"):
        ops[name].output_shape(minicnn.zeros(2, 3, 4), dim=dim)


@pytest.mark.parametrize(
    "function", [lambda x: ops["mean"](x, dim=(-1,)), lambda x: ops["concatenate"](x, x, dim=-1)]
)
def test_negative_dimensions_do_not_reach_the_instructions(function, rng):
    assert "it cannot become a program" in minicnn.freeze(Call(function), random(rng, 2, 3, 4)).reason


class Slow(nn.Module):
    """Its forward waits until it may go on."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.layer = seconds, nn.Linear(4, 4)

    def forward(self, x):
        time.sleep(self.seconds)
        return self.layer(x)


def test_freezing_does_not_turn_strict_mode_off_elsewhere(rng):
    x = random(rng, 1, 4)
    threads = [threading.Thread(target=minicnn.freeze, args=(Slow(s), x)) for s in (0.01, 0.02)]
    backends.set_strict(True)
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            with pytest.raises(BackendError):
                x.sin()
        with pytest.raises(BackendError):
            x.sin()
    finally:
        backends.set_strict(False)


def test_a_strict_block_is_one_of_its_thread(rng):
    raised = []

    def other():
        try:
            random(rng, 2).sin()
        except BackendError as error:
            raised.append(error)

    with backends.use_strict():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with backends.use_strict(False):
            random(rng, 2).sin()
        with pytest.raises(BackendError):
            random(rng, 2).sin()
    assert not raised


def test_strict_mode_refuses_calls_of_what_was_refused_before(rng):
    x = random(rng, 3, 4)
    frozen = minicnn.freeze(Call(lambda x: x**2), x)
    with backends.use_strict(), pytest.raises(BackendError, match="no instruction for pow"):
        frozen(x)
    assert frozen(x).shape == (3, 4)


MANY = {
    "another branch": lambda x: F.relu(x) if len(x) <= 8 else F.relu(x + x),
    "the first images only": lambda x: x.relu()[:8],
    "a small result among large ones": lambda x: minicnn.cat(
        [1e6 * x, x.sigmoid() * (1 if len(x) < 9 else 1.01)], 1
    ),
}


@pytest.mark.parametrize("name", MANY)
def test_many_images_are_compared(name, rng):
    frozen = minicnn.freeze(Call(MANY[name]), random(rng, 2, 4))
    assert "with other images the program gave other results" in frozen.reason
    x = random(rng, 20, 4)
    assert np.array_equal(frozen(x).numpy(), MANY[name](x).numpy())


class Counting(nn.Module):
    """Has a state of its own, which moves slowly."""

    def __init__(self):
        super().__init__()
        self.register_buffer("n", minicnn.zeros(1))

    def forward(self, x):
        self.n = self.n + 1e-6
        return x * (1 + self.n)


class CountingInPlace(nn.Module):
    """In the memory of a constant."""

    def __init__(self):
        super().__init__()
        self.register_buffer("n", minicnn.zeros(1))

    def forward(self, x):
        self.n.add_(1)
        return x * self.n


@pytest.mark.parametrize(
    "model", [Call(lambda x: x + minicnn.randn(1, 4) * 1e-4), Counting(), CountingInPlace()]
)
def test_what_changes_from_call_to_call_is_found(model, rng):
    assert "from call to call" in minicnn.freeze(model, random(rng, 2, 4)).reason


def sign(x):
    return 1.0 if float(np.asarray(x.array).mean()) > 0 else -1.0


READING = {
    "hidden behind large results": lambda x, s: minicnn.cat([1e6 * x, x.sigmoid() * s(x)], 1),
    "a constant array": lambda x, s: x + minicnn.tensor([1e-9 * s(x)]),
    "a branch": lambda x, s: F.relu(x) if s(x) > 0 else x.sigmoid(),
    "an attribute": lambda x, s: F.leaky_relu(x, 0.1 + 1e-6 * s(x)),
    "of a result": lambda x, s: x + s(F.relu(x).detach()),
    "of what waits": lambda x, s: x + s(F.linear(x, minicnn.ones(4, 4))),
}


@pytest.mark.parametrize("name", READING)
def test_numbers_that_python_takes_from_arrays_are_found(name):
    x = minicnn.ones(2, 4)
    assert "looks at their numbers" in minicnn.freeze(Call(lambda x: READING[name](x, sign)), x).reason
    assert "array" not in vars(minicnn.Tensor)  # it is a plain attribute again


def in_a_thread(x):
    """Where no trace sees it."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(sign, x).result()


@pytest.mark.parametrize("name", [name for name in READING if name != "of a result"])
def test_numbers_that_are_taken_unseen_are_found_with_other_images(name):
    x = minicnn.ones(2, 4)
    assert "with other images" in minicnn.freeze(Call(lambda x: READING[name](x, in_a_thread)), x).reason


@pytest.mark.parametrize("look", [np.from_dlpack, repr, np.asarray, lambda x: x.mean() > 0.5 and 1])
def test_looks_at_numbers_are_found(look):
    def forward(x):
        look(x)
        return F.relu(x)

    assert "looks at their numbers" in minicnn.freeze(Call(forward), minicnn.ones(2, 4)).reason


def test_constants_may_be_looked_at(rng):
    layer = nn.Linear(4, 4)
    frozen = minicnn.freeze(Call(lambda x: x * float(layer.weight.array.mean())), random(rng, 2, 4))
    assert frozen.reason is None


def test_looks_in_other_threads_are_none_of_a_trace(rng):
    """Observers were in one list: one that was removed made another thread skip the next."""
    x, stop = random(rng, 2, 4), threading.Event()

    def look():
        while not stop.is_set():
            x.sum().item()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        reasons = {minicnn.freeze(Call(lambda x: F.relu(x) + x.mean().item()), x).reason for _ in range(20)}
        assert all("looks at their numbers" in reason for reason in reasons)
        assert minicnn.freeze(nn.Linear(4, 2), x).reason is None
    finally:
        stop.set()
        thread.join()
    assert watching.get() == ()


def test_a_copy_is_the_same_program(rng):
    x = random(rng, 3, 16, 12, 12)
    with minicnn.core.precision.use_conv_precision("highest"):
        frozen = minicnn.freeze(nn.Conv2d(16, 16, 3, padding=1), x)
    assert "direct" in frozen.instructions[0]
    copies = copy.copy(frozen), copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))
    for same in copies:
        assert same.instructions == frozen.instructions
        assert np.array_equal(same(x).numpy(), frozen(x).numpy())


def test_hooks_that_were_removed_are_none(rng):
    model = nn.Sequential(nn.Linear(4, 2))
    handle = model[0].register_forward_hook(lambda *_: None)
    assert "hooks" in minicnn.freeze(model, random(rng, 1, 4)).reason
    handle.remove()
    assert minicnn.freeze(model, random(rng, 1, 4)).reason is None


def test_each_frozen_model_has_its_row_in_the_report(rng):
    x = random(rng, 2, 4)
    first = minicnn.freeze(nn.Sequential(nn.Linear(4, 2)), x)
    second = minicnn.freeze(nn.Sequential(nn.Softmax(0)), x)
    assert first.name != second.name
    assert all(frozen.name.startswith("frozen Sequential") for frozen in (first, second))
    backends.reset_report()
    first(x), second(x)
    report = backends.report()
    assert (report[first.name]["native"]["kernel"], report[second.name]["native"]["reference"]) == (1, 1)


@pytest.mark.parametrize(
    ("reason", "model", "shape"),
    [
        ("a horizontal stride of 100", nn.MaxPool2d(3, 100), (1, 2, 110, 310)),
        (None, nn.MaxPool2d(3, 100), (1, 2, 310, 10)),
    ],
)
def test_max_pooling_has_the_limits_of_its_kernel(reason, model, shape, rng):
    frozen = minicnn.freeze(model, random(rng, *shape))
    assert frozen.reason is None if reason is None else reason in frozen.reason


def test_the_largest_images_of_adaptive_max_pooling():
    from minicnn.backends.native.pooling import adaptive_max_pool2d_limit

    assert adaptive_max_pool2d_limit((1, 1, 2**15, 2**16 - 1)) is None
    assert "31 bits" in adaptive_max_pool2d_limit((1, 1, 2**15, 2**16))
