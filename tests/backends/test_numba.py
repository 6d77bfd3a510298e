"""The numba backend: when it is imported, and how its loops share threads."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from minicnn import backends
from minicnn.core import dispatch, threads
from minicnn.core.dispatch import Declined
from minicnn.errors import BackendError
from minicnn.testing import kernels

MISSING = backends.unavailable("numba")
needs_numba = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def run(code, folder, **environment):
    """What a fresh interpreter prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MINICNN_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_of_minicnn_does_not_import_numba(tmp_path):
    code = "import minicnn, sys; print('numba' in sys.modules, minicnn.backends.active().name)"
    found, name = run(code, tmp_path)
    assert found == "False"
    assert name in ("native", "numpy")


def test_without_numba_it_says_how_to_get_it(monkeypatch):
    from minicnn.backends import numba

    monkeypatch.setitem(sys.modules, "numba", None)
    assert numba.unavailable() == "numba is not installed; pip install minicnn[numba]"
    with pytest.raises(BackendError, match="the numba backend is not available: numba is not installed"):
        numba.create()


TRAIN = """
import hashlib, minicnn, numpy as np
from minicnn import nn, optim
from minicnn.nn import functional as F
minicnn.use_backend("numba")

def digest():
    minicnn.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 10, 3, stride=2), nn.GroupNorm(2, 10), nn.Sigmoid(), nn.AdaptiveAvgPool2d(3),
        nn.Flatten(), nn.Linear(90, 10))
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    x, y = minicnn.randn(9, 3, 17, 15), minicnn.arange(9)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return hashlib.sha256(b"".join(p.array.tobytes() for p in model.parameters())).hexdigest()
"""


@needs_numba
def test_any_number_of_threads_gives_the_same_bits(tmp_path):
    code = f"{TRAIN}\nfor n in (1, 2, 3, 4):\n    minicnn.set_num_threads(n)\n    print(digest())"
    digests = run(code, tmp_path, NUMBA_NUM_THREADS="4")
    assert len(digests) == 4 and len(set(digests)) == 1


THREADS = """
import threading
expected, found = digest(), []
threads = [threading.Thread(target=lambda: found.append(minicnn.nn.functional.relu(x).array.tobytes()))
           for x in [minicnn.ones(64, 64)] for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), len(set(found)))
"""


@needs_numba
def test_python_threads_may_call_kernels_at_once(tmp_path):
    assert run(TRAIN + THREADS, tmp_path) == ["8", "1"]


FORK = """
import os
expected = digest()
child = os.fork()
if child == 0:
    os._exit(0 if digest() == expected else 1)
print(os.waitpid(child, 0)[1], digest() == expected)
"""


@needs_numba
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_kernels_run_in_a_forked_child(tmp_path):
    assert run(TRAIN + FORK, tmp_path) == ["0", "True"]


COUNT = """
import minicnn, numba
minicnn.set_num_threads(2)
minicnn.use_backend("numba")
numbers = []
for n in (None, 1, 3, 99):
    if n: minicnn.set_num_threads(n)
    minicnn.ones(4, 4).relu()
    numbers.append(numba.get_num_threads())
print(*numbers, numba.threading_layer())
"""


@needs_numba
def test_set_num_threads_reaches_numba(tmp_path):
    assert run(COUNT, tmp_path, NUMBA_NUM_THREADS="4") == ["2", "1", "3", "4", "workqueue"]
    assert run(COUNT, tmp_path, NUMBA_NUM_THREADS="4", NUMBA_THREADING_LAYER="omp")[-1] == "omp"


@needs_numba
def test_what_is_declined_has_a_reason():
    backends.load("numba")
    x = np.ones((2, 3), np.float32)
    declined = {
        "relu": ((x.astype(int),), {}, "dtype int64; the kernel is for float32 or float64"),
        "batch_norm": ((x,), {"eps": 1e-5}, "NumPy is faster along the batch"),
        "softmax": ((x,), {"dim": 0}, "NumPy is faster across rows"),
        "gelu": ((x,), {"approximate": "tanh"}, "NumPy is faster"),
    }
    for name, (operands, attrs, reason) in declined.items():
        result = kernels()[name]["numba"](*operands, **attrs)
        assert isinstance(result, Declined) and reason in result.reason, name


@needs_numba
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_reaches_what_the_references_let_it_reach(rng, bad):
    backends.load("numba")
    x, gy = (rng.standard_normal((3, 4)).astype(np.float32) for _ in range(2))
    gy[0] = bad
    images, weights = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 6, 5), (4, 3, 3, 3))
    )
    of_outputs = np.ones((2, 4, 6, 5), np.float32)
    spoilt = [a.copy() for a in (images, weights, of_outputs)]
    for a, place in zip(spoilt, ((1, 1, 2, 0), (0, 0, 0, 0), (0, 1, 0, 4)), strict=True):
        a[place] = bad
    labels, options = np.array([1, -100, 2]), {"reduction": "none", "ignore_index": -100}
    of_losses = np.array([1, bad, bad], np.float32)
    geometry = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    calls = [
        ("relu.backward", (gy, (np.maximum(x, 0),), (True,)), {}),
        ("tanh.backward", (gy, (np.tanh(x),), (True,)), {}),
        ("conv2d.backward", (of_outputs, (spoilt[0], weights), (True, True)), geometry),
        ("conv2d.backward", (of_outputs, (images, spoilt[1]), (False, True)), geometry),
        ("conv2d.backward", (spoilt[2], (images, weights), (True, True)), geometry),
    ]
    for smoothing in (0.0, 0.3, 1.0):
        how = options | {"label_smoothing": smoothing}
        _, saved = dispatch.kernels["cross_entropy"].reference(np, x, labels, **how)
        calls.append(("cross_entropy.backward", (of_losses, saved, (True, False)), how))
    for name, operands, attributes in calls:
        kernel = dispatch.kernels[name]
        with np.errstate(all="ignore"):
            found = kernel.overlays["numba"](np, *operands, **attributes)
            expected = kernel.reference(np, *operands, **attributes)
        for a, b in zip(found, expected, strict=True):
            if b is not None:
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)


@needs_numba
def test_spreading_declines_weights_that_are_not_finite():
    backends.load("numba")
    x, w = np.ones((1, 1, 3, 3), np.float32), np.full((1, 1, 2, 2), np.inf, np.float32)
    geometry = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    backward = dispatch.kernels["conv2d.backward"].overlays["numba"]
    transposed = dispatch.kernels["conv_transpose2d"].overlays["numba"]
    gy = np.ones((1, 1, 2, 2), np.float32)
    for result in (
        backward(np, gy, (x, w), (True, False), **geometry),
        transposed(np, x, w, output_padding=(0, 0), **geometry),
    ):
        assert isinstance(result, Declined) and "not finite" in result.reason


@needs_numba
@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("states", [0, 1, 2, 3])  # of SGD without and with momentum, of Adam, of AMSGrad
def test_updates_of_what_is_not_finite_are_the_references(rng, states, l2):
    backends.load("numba")
    start = [abs(rng.standard_normal((2, 9))) for _ in range(2 + states)]
    for i, array in enumerate(start):
        array[0, i], array[1, i] = np.nan, np.inf
    none = [None] * ((1 if states < 2 else 3) - states)
    common = {"lr": 0.1, "l2": l2, "maximize": False}
    of_sgd = {"momentum": 0.9, "dampening": [0.0, 0.5], "nesterov": False}
    of_adam = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.0, "steps": [1, 2]}
    kernel = dispatch.kernels["sgd_update" if states < 2 else "adam_update"]
    results = []
    for function in (kernel.overlays["numba"], kernel.reference):
        lists = [[row.copy() for row in array] for array in start]
        with np.errstate(all="ignore"):
            assert function(np, *lists, *none, **common, **(of_sgd if states < 2 else of_adam)) is None
        results.append(lists)
    np.testing.assert_allclose(*results, rtol=1e-12)


@needs_numba
def test_updates_decline_before_they_change_anything():
    backends.load("numba")
    params = [np.ones(4), np.ones(8)[::2]]
    how = {"lr": 0.1, "momentum": 0.0, "dampening": [0, 0], "l2": 0, "nesterov": False, "maximize": False}
    result = dispatch.kernels["sgd_update"].overlays["numba"](np, params, [np.ones(4)] * 2, None, **how)
    assert isinstance(result, Declined) and "not in one run" in result.reason
    assert (params[0] == 1).all()


@needs_numba
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(0, 3, 3, 1), (2, 0, 3, 1), (5, 7, 6, 1), (3, 4, 9, 3)], ids=str)
def test_crops_and_warps_are_the_references(rng, shape, dtype):
    backends.load("numba")
    images, fill = rng.integers(0, 256, shape).astype(dtype), np.arange(7, 7 + shape[3]).astype(dtype)
    corners, maps = rng.integers(-5, 6, (shape[0], 2)), rng.integers(-(1 << 17), 1 << 17, (shape[0], 6))
    for name, places, size in (("crop_images", corners, {"size": (5, 4)}), ("warp_images", maps, {})):
        kernel = dispatch.kernels[name]
        found = kernel.overlays["numba"](np, images, places, fill, **size)
        expected = kernel.reference(np, images, places, fill, **size)
        assert found.dtype == dtype and np.array_equal(found, expected)


@needs_numba
def test_a_thread_that_computes_alone_needs_no_other(rng):
    backends.load("numba")
    from minicnn.backends.numba import parallel

    images, corners = rng.integers(0, 256, (3, 4, 5, 1), np.uint8), np.zeros((3, 2), np.int64)
    crop, done = dispatch.kernels["crop_images"], []

    def work():
        threads.compute_alone()
        done.append(crop.overlays["numba"](np, images, corners, np.zeros(1, np.uint8), size=(4, 5)))

    thread = threading.Thread(target=work, daemon=True)
    with parallel._lock:  # as another thread's loop holds it
        thread.start()
        thread.join(120)
    assert len(done) == 1 and np.array_equal(done[0], images)
