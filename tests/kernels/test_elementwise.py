"""Arithmetic of two arrays, or of one and a number: NumPy's bits at every tail, for any number of threads."""

import numpy as np
import pytest

import minicnn
from minicnn import backends
from minicnn.core.dispatch import Declined, kernels
from minicnn.core.tape import add_gradients

OPS = {"add": np.add, "sub": np.subtract, "mul": np.multiply}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-38, 3e38, -1.5]
LENGTHS = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 4096, 4097, 16384, 16385, 70001]


@pytest.mark.parametrize("name", OPS)
def test_numpys_bits_at_every_length(name, native, level, rng, guarded):
    kernel = getattr(native, name)
    for n in LENGTHS:
        x, y = rng.standard_normal((2, n)).astype(np.float32)
        z = guarded(lambda z: kernel(x, y, z), (n,))  # noqa: B023
        with np.errstate(all="ignore"):
            assert z.tobytes() == OPS[name](x, y).tobytes()
        assert kernel(x, y).tobytes() == z.tobytes()


@pytest.mark.parametrize("name", OPS)
def test_special_numbers(name, native, level):
    x, y = (np.ascontiguousarray(a.ravel(), np.float32) for a in np.meshgrid(SPECIAL, SPECIAL))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(getattr(native, name)(x, y), OPS[name](x, y))


@pytest.mark.parametrize("name", OPS)
def test_any_number_of_threads_gives_the_same_bits(name, native, level, rng, steady):
    x, y = rng.standard_normal((2, 3, 50021)).astype(np.float32)
    steady(lambda: [getattr(native, name)(x, y), getattr(native, name)(x, y, x.copy())])


@pytest.mark.parametrize("number", [*SPECIAL, 0.1, 3, -(2**24)], ids=str)
@pytest.mark.parametrize("name", OPS)
def test_numbers_give_numpys_bits(name, number, native, level, rng):
    kernel, right = getattr(native, name), OPS[name]
    for x in (rng.standard_normal(70001).astype(np.float32)[:n] for n in LENGTHS):
        x[: len(SPECIAL)] = SPECIAL[: len(x)]
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(kernel(x, number), right(x, number))
            np.testing.assert_array_equal(kernel(number, x), right(number, x))
            zeros = right(x, number) == 0
            signs = [np.signbit(f(x, number)[zeros]) for f in (kernel, right)]
        np.testing.assert_array_equal(*signs)


def test_numbers_are_served_in_strict_mode(native):
    x = minicnn.tensor([[1.0, -2.0, 0.0]], requires_grad=True)
    with backends.use_strict():
        y = 4.0 - (((3 * x) * 0.5 + 1.0) + 2 - 0.25 - 1)
        z = 3 * x * 0.5
        z.backward(minicnn.tensor([[1.0, 2.0, 4.0]]))
    assert y.tolist() == [[0.75, 5.25, 2.25]]
    assert x.grad.tolist() == [[1.5, 3.0, 6.0]]


def test_what_it_does_not_take_is_declined(native, rng):
    x = rng.standard_normal((4, 6)).astype(np.float32)
    others = [x[:1], x.astype(np.float64), x[:, ::2], x.T, np.float32(1), np.ma.array(x), x.byteswap()]
    others[-1] = others[-1].view(x.dtype.newbyteorder())
    others += [2**24 + 1, 1e300, True]
    for name in OPS:
        for other in others:
            assert getattr(native, name)(x, other) is None
            assert getattr(native, name)(other, x) is None
            assert isinstance(kernels[name].overlays["native"](np, x, other), Declined)
    frozen = x.copy()
    frozen.flags.writeable = False
    shifted = np.zeros(30, np.float32)
    assert native.add(x, x, frozen) is None
    assert native.add(x, x, x.astype(np.float64)) is None
    assert native.add(shifted[:24], shifted[:24], shifted[6:]) is None  # would read what it has written


def test_gradients_add_up_in_place_and_anew(native, rng):
    one, other = rng.standard_normal((2, 7, 9)).astype(np.float32)
    expected = one + other
    with backends.use_strict():
        assert (add_gradients(one, other) == expected).all()
        assert add_gradients(one, other, out=one) is one
    assert (one == expected).all()
    assert add_gradients(one.astype(np.float64), other).dtype == np.float64


def test_a_tensor_used_twice_and_a_grad_that_is_there_already(native, rng):
    x = minicnn.tensor(rng.integers(-4, 5, (3, 40)).astype(np.float32), requires_grad=True)
    before = kernels["add_gradients"].served.get("native")
    before = before.kernel if before else 0
    for _ in range(2):
        (x * x + x).backward(minicnn.ones(3, 40))
    assert (x.grad.array == 2 * (2 * x.array + 1)).all()
    assert kernels["add_gradients"].served["native"].kernel == before + 5  # 2 each time, and into .grad
