"""Arithmetic, comparison and choice: dtypes, special values, conventions at kinks, broadcasting at large."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import minicnn
from minicnn import Tensor, tensor
from minicnn.errors import DTypeError, ShapeError

INF, NAN = float("inf"), float("nan")


def gradients(function, *numbers, dtype=np.float32):
    """The result's numbers, and the gradient of its sum by each operand."""
    leaves = [tensor(n, dtype=dtype, requires_grad=True) for n in numbers]
    y = function(*leaves)
    y.sum().backward()
    return y.tolist(), *(leaf.grad.tolist() for leaf in leaves)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (np.float32, np.int64, np.float32),
        (np.int64, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float16, np.float32, np.float32),
        (np.uint8, np.int64, np.int64),
        (np.bool_, np.float16, np.float16),
        (np.bool_, np.int32, np.int32),
    ],
)
@pytest.mark.parametrize("function", [minicnn.add, minicnn.mul, minicnn.maximum])
def test_mixed_dtypes_meet_as_in_pytorch(function, left, right, expected):
    assert function(tensor([1], dtype=left), tensor([1], dtype=right)).dtype == expected


@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [
        (np.float32, 2, np.float32),
        (np.float32, np.float64(0.5), np.float32),
        (np.float16, 2.5, np.float16),
        (np.int64, 2, np.int64),
        (np.int64, 2.5, np.float32),
        (np.uint8, 3, np.uint8),
        (np.bool_, 3, np.int64),
        (np.bool_, 0.5, np.float32),
    ],
)
def test_a_number_adapts_to_the_tensor(dtype, number, expected):
    x = tensor([1], dtype=dtype)
    assert (x * number).dtype == (x.to("meta") * number).dtype == expected
    assert (number * x).dtype == expected


def test_integers_are_divided_as_float32():
    y = tensor([1, 2]) / tensor([2, 2])
    assert (y.dtype, y.tolist()) == (np.float32, [0.5, 1.0])


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sin", "cos"])
def test_functions_of_integers_are_float32(name):
    assert getattr(minicnn, name)(tensor([1, 2])).dtype == np.float32


def test_a_gradient_has_the_dtype_of_its_operand():
    x = tensor([1.0], requires_grad=True)
    w = tensor([2.0], dtype=np.float64, requires_grad=True)
    h, seen = x * 2, []
    h.register_hook(lambda g: seen.append(g.dtype))
    y = h * w + x
    y.backward()
    assert seen == [np.float32]
    assert (y.dtype, x.grad.dtype, w.grad.dtype) == (np.float64, np.float32, np.float64)
    assert (x.grad.item(), w.grad.item()) == (5.0, 2.0)


def test_what_is_no_number_is_refused():
    with pytest.raises(DTypeError, match=r"add: expected tensors, arrays or numbers, got list"):
        tensor([1.0]) + [1.0]
    with pytest.raises(DTypeError, match="add"):
        tensor([1.0]) + None


def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(ShapeError, match=r"^mul: .* got \(2, 3\) and \(2,\)$"):
        minicnn.ones(2, 3) * minicnn.ones(2)


# -- conventions -----------------------------------------------------------------------------


def test_kinks():
    assert gradients(abs, [-2.0, 0.0, 3.0]) == ([2.0, 0.0, 3.0], [-1.0, 0.0, 1.0])
    assert gradients(lambda x: x.clamp(-1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0])[1] == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert gradients(minicnn.maximum, [1.0, 2.0], [1.0, 1.0])[1:] == ([0.5, 1.0], [0.5, 0.0])
    assert gradients(minicnn.minimum, [1.0, 2.0], [1.0, 1.0])[1:] == ([0.5, 0.0], [0.5, 1.0])


def test_division_with_remainder_is_pythons():
    x, y = [-7, 7, -7, 7, 6, 0], [3, 3, -3, -3, 3, 5]
    for values, dtype in ((x, minicnn.int64), ([float(v) for v in x], minicnn.float32)):
        a, b = tensor(values), tensor(y)
        assert (a % b).tolist() == [v % w for v, w in zip(x, y, strict=True)]
        assert (a // b).tolist() == [v // w for v, w in zip(x, y, strict=True)]
        assert ((a // b) * b + a % b).tolist() == values
        assert (a % b).dtype == (a // b).dtype == dtype
    assert (7 % tensor([4])).tolist() == [3] and (7 // tensor([4])).tolist() == [1]
    z = tensor([5.5, -5.5])
    z %= 2
    assert z.tolist() == [1.5, 0.5]
    z //= 1
    assert z.tolist() == [1.0, 0.0]
    assert gradients(lambda x, y: x % y, [7.5, -7.5], [2.0, 2.0])[1:] == ([1.0, 1.0], [-3.0, 4.0])
    with pytest.raises(DTypeError, match="remainder.*numbers, got bool"):
        tensor([True]) % tensor([True])


def test_powers_at_zero_raise_no_warning():
    assert gradients(lambda x: x**2, [0.0, 3.0])[1] == [0.0, 6.0]
    assert gradients(lambda x: x**1, [0.0])[1] == [1.0]
    assert gradients(lambda x: x**0, [0.0]) == ([1.0], [0.0])
    assert gradients(lambda x: x**0.5, [0.0, 4.0])[1] == [INF, 0.25]
    assert gradients(lambda x: -(x**0.5), [0.0])[1] == [-INF]


def test_exponents_have_gradients_where_they_are_defined():
    y, gx, ge = gradients(lambda x, e: x**e, [0.0, 0.0, 1.0, 2.0], [0.0, 2.0, 5.0, 3.0])
    assert y == [1.0, 0.0, 1.0, 8.0]
    assert gx == [0.0, 0.0, 5.0, 12.0]
    assert ge == pytest.approx([0.0, 0.0, 0.0, 8 * np.log(2)])
    assert np.isnan(gradients(lambda x, e: x**e, [-2.0], [3.0])[2][0])


@pytest.mark.filterwarnings("ignore:divide by zero encountered in log")
def test_slopes_are_infinite_at_zero_but_only_for_a_gradient():
    assert gradients(minicnn.sqrt, [0.0, 4.0])[1] == [INF, 0.25]
    assert gradients(lambda x: minicnn.sqrt(x) * 0, [0.0, 4.0])[1] == [0.0, 0.0]
    assert gradients(minicnn.log, [0.0, 4.0])[1] == [INF, 0.25]


def test_nan_is_passed_on():
    x, nan = tensor([1.0, NAN]), tensor([NAN, 1.0])
    for function in (minicnn.maximum, minicnn.minimum, minicnn.add):
        assert np.isnan(function(x, nan).numpy()).all()
    assert np.isnan(x.clamp(0, 2).numpy()).tolist() == [False, True]
    assert (nan == nan).tolist() == [False, True]
    assert (nan != nan).tolist() == [True, False]


def test_where_ignores_what_it_does_not_choose():
    bad = [NAN, 2.0]
    y, gx, gy = gradients(lambda x, z: minicnn.where(tensor([False, True]), x * NAN, z), [1.0, 1.0], bad)
    assert gy == [1.0, 0.0]
    leaf = tensor([1.0, 1.0], requires_grad=True)
    minicnn.where(tensor([False, True]), leaf, 0.0).backward(tensor([NAN, 3.0]))
    assert leaf.grad.tolist() == [0.0, 3.0]
    leaf = tensor([0.0, 4.0], requires_grad=True)
    minicnn.where(leaf > 0, minicnn.sqrt(leaf), 0.0).sum().backward()
    assert leaf.grad.tolist() == [0.0, 0.25]


@pytest.mark.parametrize(
    ("x", "y", "dtype"), [(1.0, 0, np.float32), (1, 0, np.int64), (True, False, np.bool_)]
)
def test_where_of_two_numbers(x, y, dtype):
    z = minicnn.where(tensor([True, False]), x, y)
    assert (z.dtype, z.tolist()) == (dtype, [x, y])


def test_integers_have_no_negative_powers():
    with pytest.raises(DTypeError, match=r"pow: .*negative powers; use \.float\(\)"):
        tensor([2]) ** tensor([-1])
    assert (tensor([2]) ** 3).tolist() == [8]
    assert (tensor([4]) ** 0.5).dtype == np.float32


def test_clamp_needs_a_bound_and_takes_tensors():
    with pytest.raises(ValueError, match="clamp: expected min or max"):
        tensor([1.0]).clamp()
    assert tensor([1.0, 5.0]).clamp(max=tensor([2.0, 3.0])).tolist() == [1.0, 3.0]
    assert tensor([1, 5]).clamp(max=2.5).dtype == np.float32


@pytest.mark.parametrize("kind", [tensor, np.asarray])
def test_clamp_takes_arrays_on_either_side(kind, rng):
    x, low, high = (rng.standard_normal(shape) for shape in ((2, 3), (3,), (2, 1)))
    for limits in ((low, high), (None, high), (low, None), (low, 0.5)):
        bounds = [kind(bound) if isinstance(bound, np.ndarray) else bound for bound in limits]
        assert tensor(x).clamp(*bounds).tolist() == np.clip(x, *limits).tolist()
    assert tensor([1.0, 2.0]).clamp(max=np.array([0.0, 9.0], np.float32)).tolist() == [0.0, 2.0]


def test_outside_the_bounds_of_clamp_the_bound_has_the_gradient():
    x = [-2.0, -1.0, 0.0, 1.0, 2.0, 0.0]
    y, *found = gradients(minicnn.clamp, x, [-1.0] * 5 + [3.0], [1.0] * 6)
    assert y == [-1.0, -1.0, 0.0, 1.0, 1.0, 1.0]
    assert found == [[0.0, 1.0, 1.0, 1.0, 0.0, 0.0], [1.0] + [0.0] * 5, [0.0] * 4 + [1.0, 1.0]]


def test_add_and_sub_take_a_factor():
    assert minicnn.add(tensor([1.0]), 2, alpha=3).item() == 7.0
    assert tensor([1.0]).sub(tensor([2.0]), alpha=0.5).item() == 0.0


# -- broadcasting at large -------------------------------------------------------------------


@given(
    mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3),
    st.lists(st.sampled_from([1, 2, -1]), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_broadcast_gradients_sum_over_copies(shapes, steps):
    rng = np.random.default_rng(0)
    arrays = []
    for shape in shapes.input_shapes:
        base = rng.standard_normal(tuple(2 * n for n in shape))
        view = base[(..., *(slice(None, None, s) for s in steps[: len(shape)]))]
        arrays.append(view[(..., *(slice(n) for n in shape))])
    x, y = (minicnn.from_numpy(array).requires_grad_() for array in arrays)
    gy = rng.standard_normal(shapes.result_shape)
    z = x * y
    z.backward(gy)
    assert z.shape == shapes.result_shape
    for leaf, other in ((x, arrays[1]), (y, arrays[0])):
        expected = np.zeros(leaf.shape)
        full = np.broadcast_to(gy * other, shapes.result_shape)
        for place in np.ndindex(*shapes.result_shape):
            own = place[len(place) - leaf.ndim :]
            expected[tuple(0 if n == 1 else i for i, n in zip(own, leaf.shape, strict=True))] += full[place]
        np.testing.assert_allclose(leaf.grad.numpy(), expected, rtol=1e-12, atol=1e-12)
        assert leaf.grad.array.flags.c_contiguous


def test_power_0_passes_no_gradient_not_even_nan():
    x = Tensor(np.array([2.0, 3.0]), requires_grad=True)
    (x**0).backward(np.array([np.nan, np.inf]))
    assert x.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("zero", [0, 0.0, tensor(0.0), tensor([0.0, 0.0, 0.0])], ids=repr)
def test_a_power_of_0_has_no_slope_anywhere(zero):
    x = tensor([np.nan, np.inf, 0.0], requires_grad=True)
    (x**zero).backward(tensor([1.0, 1.0, np.inf]))
    assert x.grad.tolist() == [0.0, 0.0, 0.0]
