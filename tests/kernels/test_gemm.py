"""Dense products: exact on integers for all sizes, layouts and CPU levels, whatever the number of threads."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minicnn
import minicnn.nn.functional as F
from minicnn import backends
from minicnn.core.dispatch import kernels
from minicnn.testing.tolerance import float32_bound

native = pytest.importorskip("minicnn._native", reason="the extension was not built")

# Around the sizes of panels (12, 8, 6, 4) and vectors (16, 8, 4) of all levels.
SIZES = [*range(10), 11, 12, 13, 15, 16, 17, 20, 24, 25, 31, 32, 33, 40, 49, 65]
DEPTHS = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33]
# m, n, k: each path with its tails, and beyond what is packed at once.
SHAPES = [
    (1, 70, 40),
    (70, 1, 40),
    (3, 133, 50),
    (4, 9, 100),
    (30, 21, 130),
    (40, 50, 60),
    (128, 256, 784),
    (300, 70, 530),
    (400, 1100, 720),
    (2200, 20, 10),
    (10, 2100, 10),
]


@pytest.fixture(params=["avx512", "avx2", "baseline"], autouse=True)
def level(request):
    if request.param not in native.levels():
        pytest.skip(f"this machine has no {request.param}")
    before = native.level(), native.threads()
    native.set_level(request.param)
    yield request.param
    native.set_level(before[0])
    native.set_threads(before[1])


def integers(rng, shape):
    """Numbers whose products and sums are exact in float32."""
    return rng.integers(-8, 9, shape).astype(np.float32)


def fenced(numbers):
    """A copy between NaN: what reads beyond it shows in the result, what writes beyond it in the fence."""
    around = np.full(numbers.size + 64, np.nan, np.float32)
    inner = around[32 : 32 + numbers.size].reshape(numbers.shape)
    inner[...] = numbers
    return inner, around


def product(a, b, bias=None, **options):
    c, around = fenced(np.zeros((*a.shape[:-1], b.shape[-1]), np.float32))
    native.gemm(c, a, b, bias, **options)
    assert np.isnan(around[:32]).all() and np.isnan(around[32 + c.size :]).all()
    return c


def exact(a, b):
    return a.astype(np.float64) @ b.astype(np.float64)


@pytest.mark.parametrize("transposed", [(False, False), (False, True), (True, False), (True, True)])
def test_all_small_sizes_are_exact(rng, transposed):
    most = integers(rng, (max(SIZES), max(DEPTHS))), integers(rng, (max(DEPTHS), max(SIZES)))
    wrong = []
    for m, n, k in itertools.product(SIZES, SIZES, DEPTHS):
        a, b = most[0][:m, :k], most[1][:k, :n]
        left, right = (
            fenced(x.T)[0].T if turned else fenced(x)[0] for x, turned in zip((a, b), transposed, strict=True)
        )
        if not np.array_equal(product(left, right), exact(a, b)):
            wrong.append((m, n, k))
    assert wrong == []


LAYOUTS = {
    "rows": lambda x: x.copy(),
    "columns": lambda x: x.T.copy().T,
    "every second": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "one row": lambda x: np.broadcast_to(x[:1], x.shape),
    "one column": lambda x: np.broadcast_to(x[:, :1], x.shape),
}


@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
def test_any_layout_is_exact(rng, left, right):
    for m, n, k in [(1, 33, 70), (33, 1, 20), (3, 70, 20), (7, 40, 37), (40, 50, 60), (300, 40, 20)]:
        a, b = LAYOUTS[left](integers(rng, (m, k))), LAYOUTS[right](integers(rng, (k, n)))
        np.testing.assert_array_equal(product(a, b), exact(a, b))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bias_relu_and_addition(rng, shape):
    m, n, k = shape
    a, b, before = integers(rng, (m, k)), integers(rng, (k, n)), integers(rng, (m, n))
    sums = exact(a, b)
    for of_rows, with_relu, add in itertools.product([False, True], repeat=3):
        for bias in (None, integers(rng, m if of_rows else n)):
            c = before.copy()
            native.gemm(c, a, b, bias, bias_of_rows=of_rows, with_relu=with_relu, add=add)
            expected = sums + (before if add else 0)
            if bias is not None:
                expected = expected + (bias[:, None] if of_rows else bias)
            np.testing.assert_array_equal(c, np.maximum(expected, 0) if with_relu else expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_threads_change_no_bit_and_no_digit_is_lost(rng, shape, transposed):
    m, n, k = shape
    a = rng.standard_normal((m, k)).astype(np.float32)
    b = rng.standard_normal((n, k) if transposed else (k, n)).astype(np.float32)
    b = b.T if transposed else b
    native.set_threads(1)
    first = product(a, b)
    bound = float32_bound(k) * exact(np.abs(a), np.abs(b))
    assert (np.abs(first - exact(a, b)) <= bound).all()
    for threads in (1, 2, 3, 4, 8):
        native.set_threads(threads)
        assert product(a, b).tobytes() == first.tobytes(), threads


def test_without_depth_there_is_the_bias():
    a, b, bias = np.ones((20, 0), np.float32), np.ones((0, 40), np.float32), np.arange(40, dtype=np.float32)
    assert not product(a, b).any()
    np.testing.assert_array_equal(product(a, b, bias), np.broadcast_to(bias, (20, 40)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_is_not_finite_stays_in_its_row_and_column(rng, shape):
    m, n, k = shape
    a, b = integers(rng, (m, k)), integers(rng, (k, n))
    a[m - 1, k - 1] = np.nan
    b[0, n - 1] = np.inf
    c = product(a, b, with_relu=True)
    assert np.isnan(c[m - 1]).all()
    with np.errstate(invalid="ignore"):
        last = np.maximum(a[:-1, :1] * np.float32(np.inf), 0)
    np.testing.assert_array_equal(c[: m - 1, n - 1 :], last)
    np.testing.assert_array_equal(c[: m - 1, : n - 1], np.maximum(exact(a[:-1], b[:, :-1]), 0))


def test_batches(rng):
    for batch, m, n, k in [(0, 3, 4, 5), (7, 3, 4, 5), (3, 100, 90, 80), (5, 1, 20, 30)]:
        a, b = integers(rng, (batch, m, k)), integers(rng, (batch, k, n))
        np.testing.assert_array_equal(product(a, b), exact(a, b))
        np.testing.assert_array_equal(product(a, b[:, ::-1, ::-1]), exact(a, b[:, ::-1, ::-1]))
        c = np.empty((batch, m, n), np.float32)
        native.gemm(c, a, np.ones((k, n), np.float32))
        np.testing.assert_array_equal(c, np.broadcast_to(a.sum(2, keepdims=True), c.shape))


def test_column_sums_keep_their_digits(rng):
    for rows, columns in itertools.product([0, 1, 3, 128], SIZES):
        x = rng.standard_normal((rows, columns)).astype(np.float32)
        y, around = fenced(np.zeros(columns, np.float32))
        native.column_sums(y, fenced(x)[0])
        np.testing.assert_array_equal(y, x.sum(0, dtype=np.float64).astype(np.float32))
        assert np.isnan(around).sum() == 64
    y = np.empty(3, np.float32)
    native.column_sums(y, np.full((10**6, 3), 0.1, np.float32))
    np.testing.assert_allclose(y, 1e6 * float(np.float32(0.1)), rtol=1e-7)


def test_what_does_not_fit_is_refused():
    a, b, c = (np.ones(shape, np.float32) for shape in ((2, 3), (3, 4), (2, 4)))
    for arguments in [
        (c, b, a),
        (c[:1], a, b),
        (c, a.astype(float), b),
        (c[:, ::2], a, b[:, ::2]),
        (c, a, b, a[0]),
    ]:
        with pytest.raises(ValueError, match="expected|needs"):
            native.gemm(*arguments)


# -- the operations ---------------------------------------------------------------------------------


@pytest.fixture
def strictly_native():
    with backends.use_backend("native"), backends.use_strict():
        yield


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((5,), (5,)),
        ((5,), (5, 4)),
        ((3, 5), (5,)),
        ((2, 3, 5), (5,)),
        ((5,), (2, 5, 4)),
        ((2, 3, 5), (5, 4)),
        ((3, 5), (2, 5, 4)),
        ((4, 1, 3, 5), (2, 5, 4)),
        ((0, 3, 5), (5, 4)),
        ((2, 0, 5), (2, 5, 4)),
        ((2, 3, 0), (2, 0, 4)),
    ],
)
def test_matmul_is_the_references(rng, strictly_native, x, y):
    a, b = integers(rng, x), integers(rng, y)
    forward, backward = kernels["matmul"], kernels["matmul.backward"]
    z, saved = forward(a, b)
    assert saved[0] is a and saved[1] is b
    np.testing.assert_array_equal(z, a @ b)
    gy = integers(rng, np.shape(z))
    for needs in [(True, True), (True, False), (False, True)]:
        found = backward(gy, saved, needs)
        for ours, reference in zip(found, backward.reference(np, gy, saved, needs), strict=True):
            assert (ours is None) == (reference is None)
            if ours is not None:
                np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize("leading", [(), (1,), (7,), (2, 5), (0,), (128,)], ids=str)
@pytest.mark.parametrize("with_bias", [False, True])
def test_linear_needs_no_reference(rng, strictly_native, leading, with_bias):
    shapes = [(*leading, 40), (30, 40), (30,)][: 2 + with_bias]
    operands = [minicnn.tensor(integers(rng, shape), requires_grad=True) for shape in shapes]
    y = F.linear(*operands)
    x, w = (tensor.array for tensor in operands[:2])
    np.testing.assert_array_equal(y.array, x @ w.T + (operands[2].array if with_bias else 0))
    gy = integers(rng, y.shape)
    y.backward(gy)
    rows = gy.reshape(int(np.prod(leading)), 30)
    np.testing.assert_array_equal(operands[0].grad.array, gy @ w)
    np.testing.assert_array_equal(operands[1].grad.array, rows.T @ x.reshape(-1, 40) if rows.size else 0 * w)
    if with_bias:
        np.testing.assert_array_equal(operands[2].grad.array, rows.sum(0))


# -- memory -----------------------------------------------------------------------------------------

GUARDED = """
import ctypes, itertools, mmap, sys
import numpy as np
from minicnn import _native

def at_the_end(shape):
    '''Ones at the end of a page; the next page must not be touched.'''
    bytes_, page = 4 * int(np.prod(shape)), mmap.PAGESIZE
    whole = -(-bytes_ // page) * page
    memory = mmap.mmap(-1, whole + page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(address + whole), page, 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    numbers = np.frombuffer(memory, np.float32, bytes_ // 4, whole - bytes_).reshape(shape)
    numbers[...] = 1
    return numbers

_native.set_level(sys.argv[1])
sizes = [1, 2, 3, 5, 8, 13, 17, 31, 40]
for k in (1, 5, 17, 40):
    left, right = [[(at_the_end((n, k)), at_the_end((k, n))) for n in sizes] for _ in range(2)]
    for (a, a_turned), (b_turned, b) in itertools.product(left, right):  # general strides too
        for x, y in itertools.product((a, a[:, ::-1], a_turned.T), (b, b_turned.T, b_turned[:, ::-1].T)):
            z = at_the_end((len(x), y.shape[1]))
            _native.gemm(z, x, y)
            assert (z == k).all(), (x.shape, y.shape)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="guards pages by Linux's mprotect")
def test_nothing_beyond_an_operand_is_read(level, tmp_path):
    package = Path(minicnn.__file__).parents[1]  # this one, and no other that is installed or being built
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, level],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(package)},
    )
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-500:]}"
