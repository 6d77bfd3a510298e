"""Steps of optimisers: the references' numbers, in one call for all parameters, whatever the threads."""

import math

import numpy as np
import pytest

from minicnn import backends, optim
from minicnn.core.dispatch import kernels
from minicnn.core.tensor import Tensor

native = pytest.importorskip("minicnn._native", reason="the extension was not built")

# Around vectors (16, 8, 4) and chunks (8192) of the kernel.
LENGTHS = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 8191, 8192, 8193, 0, 20000, 1]
SGD = [
    {},
    {"l2": 0.1},
    {"maximize": True},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3, "l2": 0.1, "maximize": True},
    {"momentum": 0.9, "nesterov": True, "l2": 0.1},
]
ADAM = [
    {},
    {"l2": 0.1, "maximize": True},
    {"weight_decay": 0.1},
    {"beta1": 0.0, "beta2": 0.5, "eps": 1e-3, "steps": 1},
    {"steps": 999_999},
]
ROWS = [("sgd_update", row) for row in SGD] + [("adam_update", row) for row in ADAM]


@pytest.fixture(params=["avx512", "avx2", "baseline"], autouse=True)
def level(request):
    if request.param not in native.levels():
        pytest.skip(f"this machine has no {request.param}")
    before = native.level(), native.threads()
    native.set_level(request.param)
    with backends.use_backend("native"), backends.use_strict():
        yield request.param
    native.set_level(before[0])
    native.set_threads(before[1])


def arrays_of(name, options, rng, lengths):
    """The lists of arrays that a kernel changes or reads, each array between NaN."""
    states = {"sgd_update": 1 if "momentum" in options else 0, "adam_update": 2}[name]
    lists = []
    for i in range(2 + states):
        buffers = [np.full(length + 32, np.nan, np.float32) for length in lengths]
        for buffer in buffers:
            numbers = rng.standard_normal(buffer.size - 32)
            buffer[16:-16] = numbers**2 if i == 3 else numbers  # v is a mean of squares
        lists.append([buffer[16:-16] for buffer in buffers])
    return lists


def attributes_of(name, options, count):
    if name == "sgd_update":
        options = {"lr": 0.1, "momentum": 0.0, "l2": 0.0, "nesterov": False, "maximize": False} | options
        # at a parameter's first step the gradient enters whole
        damped = [options.get("dampening", 0.0) if i % 2 else 0.0 for i in range(count)]
        return options | {"dampening": damped}
    options = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "l2": 0.0, "weight_decay": 0.0} | options
    return options | {"steps": [options.get("steps", 3) + i % 2 for i in range(count)], "maximize": False}


def step(name, options, lists, reference=False):
    kernel = kernels[name]
    operands = [*lists, *[None] * ((3 if name == "sgd_update" else 5) - len(lists))]
    attributes = attributes_of(name, options, len(lists[0]))
    if reference:
        kernel.reference(np, *operands, **attributes)
    else:
        kernel(*operands, **attributes)


def copies(lists):
    return [[array.copy() for array in arrays] for arrays in lists]


def flat(lists):
    return np.concatenate([array for arrays in lists for array in arrays])


@pytest.mark.parametrize(("name", "options"), ROWS, ids=str)
def test_a_step_is_the_references(rng, name, options):
    lists = arrays_of(name, options, rng, LENGTHS)
    before, expected = copies(lists), copies(lists)
    exact = [[array.astype(np.float64) for array in arrays] for arrays in lists]
    step(name, options, lists)
    step(name, options, expected, reference=True)
    step(name, options, exact, reference=True)
    ulp = np.spacing(np.maximum(np.abs(flat(before)), np.abs(flat(expected))))
    # Where terms cancel, both lose digits; the kernel no more than the reference.
    assert np.mean(np.abs(flat(lists) - flat(expected)) <= 2 * ulp) > 0.98
    for ours, theirs, true in zip(lists, expected, exact, strict=True):
        lost, lost_there = (np.abs(flat([kind]) - flat([true])) for kind in (ours, theirs))
        largest = np.float32(np.abs(flat([true])).max())
        assert lost.max() <= 2 * np.spacing(largest) and lost.mean() <= 1.1 * lost_there.mean()
    np.testing.assert_array_equal(flat(lists[1:2]), flat(before[1:2]))
    for array in (array for arrays in lists for array in arrays):
        assert np.isnan(array.base[:16]).all() and np.isnan(array.base[-16:]).all()


@pytest.mark.parametrize(("name", "options"), ROWS, ids=str)
def test_threads_and_company_change_no_bit(rng, name, options):
    lists = arrays_of(name, options, rng, LENGTHS)
    start, once = copies(lists), copies(lists)
    native.set_threads(1)
    step(name, options, once)
    for threads in (1, 2, 3, 4, 8):
        native.set_threads(threads)
        again = copies(start)
        step(name, options, again)
        assert flat(again).tobytes() == flat(once).tobytes(), threads
    for i in range(0, len(LENGTHS), 2):  # the even ones: the first factors of a list
        alone = [[arrays[i].copy()] for arrays in start]
        step(name, options, alone)
        assert flat(alone).tobytes() == flat([[arrays[i]] for arrays in once]).tobytes(), LENGTHS[i]


def test_without_l2_infinite_parameters_stay_so():
    p = np.array([np.inf, -np.inf, 1.0], np.float32)
    step("sgd_update", {}, [[p], [np.ones(3, np.float32)]])
    assert p.tolist()[:2] == [math.inf, -math.inf]


@pytest.mark.parametrize(("name", "options"), ROWS, ids=str)
def test_special_values_become_what_the_reference_makes_of_them(rng, name, options):
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 2.0**-130, np.finfo(np.float32).max], np.float32)
    for position in range(len(arrays_of(name, options, rng, [1]))):
        lists = arrays_of(name, options, rng, [37])
        lists[position][0][[0, 7, 15, 16, 30, 36]] = special
        expected = copies(lists)
        with np.errstate(all="ignore"):
            step(name, options, lists)
            step(name, options, expected, reference=True)
        np.testing.assert_allclose(flat(lists), flat(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("change", ["float64", "every second", "read-only"])
def test_what_does_not_fit_is_declined_before_anything_moves(rng, position, change):
    lists = arrays_of("adam_update", {}, rng, [4, 5, 6])
    if change == "read-only" and position != 1:
        lists[position][2].flags.writeable = False
    elif change == "float64":
        lists[position][2] = lists[position][2].astype(np.float64)
    elif change == "every second":
        lists[position][2] = np.repeat(lists[position][2], 2)[::2]
    else:
        pytest.skip("a gradient is only read")
    before = copies(lists)
    with pytest.raises(backends.BackendError, match="not of float32 in one run"):
        step("adam_update", {}, lists)
    np.testing.assert_array_equal(flat(lists), flat(before))


def test_amsgrad_is_declined():
    one = [np.ones(2, np.float32)]
    with pytest.raises(backends.BackendError, match="AMSGrad"):
        kernels["adam_update"](one, one, one, one, one, **attributes_of("adam_update", {}, 1))


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_an_optimiser_makes_one_call_for_a_group(name):
    parameters = [Tensor(np.ones((i, 3), np.float32), requires_grad=True) for i in range(65)]
    groups = [{"params": parameters[:60]}, {"params": parameters[60:], "lr": 0.5}]
    optimizer = getattr(optim, name)(groups, lr=0.1)
    for parameter in parameters:
        parameter.grad = Tensor(parameter.array * 0.5)
    kernel = "sgd_update" if name == "SGD" else "adam_update"
    before = backends.report().get(kernel, {}).get("native", {"kernel": 0})["kernel"]
    optimizer.step()
    assert backends.report()[kernel]["native"]["kernel"] == before + 2
    moved = {float(p.array[0, 0]) for p in parameters[1:60]}, {float(p.array[0, 0]) for p in parameters[60:]}
    assert [len(values) for values in moved] == [1, 1] and max(moved[1]) < min(moved[0]) < 1


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_parameters_of_one_group_may_have_made_different_numbers_of_steps(name):
    def train():
        options = {"momentum": 0.9, "dampening": 0.5} if name == "SGD" else {}
        a, b = (Tensor(np.ones(5, np.float32), requires_grad=True) for _ in range(2))
        optimizer = getattr(optim, name)([a, b], lr=0.1, **options)
        for i in range(4):
            a.grad = Tensor(a.array)  # the very same memory
            b.grad = Tensor(np.cos(b.array)) if i > 1 else None
            optimizer.step()
        return np.stack([a.array, b.array])

    with backends.use_backend("numpy"):
        expected = train()
    np.testing.assert_allclose(train(), expected, rtol=1e-6)
