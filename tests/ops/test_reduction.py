"""Reductions: PyTorch's ways of naming dimensions, accuracy, empty and special values."""

import math

import numpy as np
import pytest

import minicnn
import minicnn.nn.functional as F
from minicnn import Tensor, tensor
from minicnn.errors import DTypeError, OptionError, ShapeError

NAN = float("nan")


@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "amax", "amin", "norm"])
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 2), [-1, 0]])
@pytest.mark.parametrize("keepdim", [False, True])
def test_dims_are_named_as_in_pytorch(name, dim, keepdim, rng):
    x = rng.standard_normal((2, 3, 4))
    axis = tuple(dim) if isinstance(dim, list) else dim
    reference = {
        "amax": np.max,
        "amin": np.min,
        "norm": lambda x, **options: np.sqrt(np.sum(x * x, **options)),
        "var": lambda x, **options: np.var(x, ddof=1, **options),
        "std": lambda x, **options: np.std(x, ddof=1, **options),
    }.get(name) or getattr(np, name)
    expected = reference(x, axis=axis, keepdims=keepdim)
    np.testing.assert_allclose(
        getattr(tensor(x), name)(dim=dim, keepdim=keepdim).numpy(), expected, rtol=1e-12
    )


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "argmax", "all"])
def test_a_missing_dimension_is_refused_by_name(name):
    with pytest.raises(ShapeError, match=rf"{name}: expected a dimension from -2 to 1, got 2"):
        getattr(minicnn.zeros(2, 3), name)(dim=2)
    if name != "argmax":
        with pytest.raises(ShapeError, match="each dimension once"):
            getattr(minicnn.zeros(2, 3), name)(dim=(0, -2))


@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "amax", "amin", "norm"])
def test_no_dimension_named_means_all(name, rng):
    x = tensor(rng.standard_normal((2, 3)))
    for none in ((), []):
        y = getattr(x, name)(dim=none)
        assert y.shape == () and y.item() == getattr(x, name)().item()


@pytest.mark.parametrize("name", ["all", "any"])
def test_all_and_any_of_no_dimension_are_the_elements_themselves(name):
    y = getattr(tensor([[2.0, 0.0], [0.0, 1.0]]), name)(dim=())
    assert (y.dtype, y.tolist()) == (np.bool_, [[True, False], [False, True]])


@pytest.mark.parametrize("name", ["mean", "var", "std", "norm"])
def test_integers_have_no_mean(name):
    with pytest.raises(DTypeError, match=rf"{name}: .*int64; use \.float\(\)"):
        getattr(tensor([1, 2]), name)()


def test_mean_of_integers_with_a_dtype():
    assert tensor([1, 2]).mean(dtype=np.float32).item() == 1.5


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.bool_])
def test_integers_are_summed_as_int64(dtype):
    total = minicnn.ones(300, dtype=dtype).sum()
    assert (total.dtype, total.item()) == (np.int64, 300)


def test_a_sum_of_many_ones_is_exact_in_float32():
    assert minicnn.ones(1, dtype=np.float32).expand(2**12, 2**13).contiguous().sum().item() == 2**25


LONG = (  # shape, dimensions summed over: all that NumPy alone would add one number after the other
    ((10**5, 3), (0,)),
    ((10**5, 3, 2), (0, 2)),
    ((10**5, 2, 1, 1), (0, 2, 3)),
    ((2, 10**5, 2), (1,)),
)


@pytest.mark.parametrize(("shape", "dim"), LONG)
@pytest.mark.parametrize("name", ["sum", "mean"])
def test_long_sums_over_any_dimensions_keep_float32s_digits(name, shape, dim):
    x = np.full(shape, 0.1, np.float32)
    exact = getattr(x.astype(np.float64), name)(dim)
    np.testing.assert_allclose(getattr(tensor(x), name)(dim).numpy(), exact, rtol=5e-7)


def test_long_sums_of_transposed_and_expanded_numbers_keep_float32s_digits():
    x = np.full((10**5, 3), 0.1, np.float32)
    for view in (tensor(x).T, tensor(x[:1, :1]).expand(3, 10**5), tensor(np.repeat(x, 2, axis=1))[:, ::2].T):
        np.testing.assert_allclose(view.sum(1).numpy(), np.full(3, np.float64(x[0, 0]) * 10**5), rtol=5e-7)


@pytest.mark.parametrize("name", ["var", "std"])
def test_long_variances_keep_float32s_digits(name, rng):
    x = rng.uniform(1, 1.1, (10**5, 2)).astype(np.float32)
    exact = getattr(np, name)(x.astype(np.float64), axis=0, ddof=1)
    np.testing.assert_allclose(getattr(tensor(x), name)(0).numpy(), exact, rtol=2e-6)


def test_long_sums_of_float16_neither_overflow_nor_lose_digits():
    x = minicnn.ones(70_000, 2, dtype=np.float16)
    assert x.mean(0).tolist() == [1.0, 1.0] and x.mean().item() == 1.0
    sign = tensor(np.resize(np.array([1, -1], np.float16), 70_000))
    assert sign.var().item() == sign.std().item() == 1.0
    assert F.mse_loss(x, minicnn.zeros_like(x)).item() == 1.0
    assert minicnn.full((6000, 2), 0.5, dtype=np.float16).sum(0).tolist() == [3000.0, 3000.0]


def test_variance_survives_a_large_mean(rng):
    x = (1e4 + rng.standard_normal((64, 256))).astype(np.float32)
    np.testing.assert_allclose(
        tensor(x).var(dim=1).numpy(), np.var(x.astype(np.float64), axis=1, ddof=1), rtol=1e-3
    )


def test_norm_neither_overflows_nor_underflows():
    assert tensor([3e30, 4e30]).norm().item() == pytest.approx(5e30)
    assert tensor([3e-30, 4e-30]).norm().item() == pytest.approx(5e-30)


def test_gradients_at_zero_norm_and_zero_variance_are_zero():
    for function in (lambda x: x.norm(), lambda x: x.std(), lambda x: x.norm(dim=1).sum()):
        x = minicnn.zeros(2, 3, requires_grad=True)
        function(x).backward()
        assert x.grad.tolist() == [[0.0] * 3] * 2


ORDERS = (0, 0.5, 1, 1.5, 2, "fro", 3, math.inf, -math.inf)


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize(("dim", "keepdim"), [(None, False), (1, False), ((0, -1), True), ((), False)])
def test_norms_are_numpys(p, dim, keepdim, rng):
    x = rng.standard_normal((2, 3))
    rows = x if dim == 1 else x.reshape(1, 6)
    expected = np.linalg.norm(rows, ord=2 if p == "fro" else p, axis=1, keepdims=keepdim)
    y = tensor(x).norm(p, dim, keepdim)
    np.testing.assert_allclose(y.numpy(), expected if dim == 1 else expected.reshape(y.shape), rtol=1e-12)
    assert y.shape == ((1, 1) if keepdim else (2,) if dim == 1 else ())


@pytest.mark.parametrize("p", ORDERS)
def test_the_gradient_of_a_norm_is_finite_at_zeros(p):
    x = tensor([[0.0, 0.0], [3.0, 0.0]], requires_grad=True)
    x.norm(p, dim=1).sum().backward()
    chosen = 0.0 if p in (0, -math.inf) else 1.0
    assert x.grad.tolist() == [[0.0, 0.0], [chosen, 0.0]]


@pytest.mark.parametrize("p", [0.5, 1.0, 1.5, 3.0])
def test_the_gradient_of_a_norm_between_zeros(p):
    x = tensor([0.0, 1.0, -2.0], dtype=np.float64, requires_grad=True)
    y = x.norm(p)
    y.backward()
    expected = np.array([0.0, 1.0, -(2.0 ** (p - 1))]) * y.item() ** (1 - p)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("p", [-1, float("nan"), "nuc"])
def test_norm_refuses_other_orders(p):
    with pytest.raises(OptionError, match="norm: expected p >= 0, inf, -inf or 'fro'"):
        tensor([1.0]).norm(p)


@pytest.mark.parametrize("p", [1, math.inf])
def test_no_order_has_norms_of_integers(p):
    with pytest.raises(DTypeError, match=r"norm: .*int64; use \.float\(\)"):
        tensor([1, 2]).norm(p)


@pytest.mark.parametrize("name", ["mean", "var", "std"])
def test_nothing_to_average_gives_nan_without_a_warning(name):
    y = getattr(minicnn.zeros(0, 2), name)(dim=0)
    assert np.isnan(y.numpy()).tolist() == [True, True]


def test_variance_of_one_number():
    assert math.isnan(tensor([1.0]).var().item())
    assert tensor([1.0]).var(unbiased=False).item() == 0.0
    assert tensor([1.0, 3.0]).var(correction=0).item() == 1.0


def test_sums_of_nothing():
    assert minicnn.zeros(0, 2).sum(0).tolist() == [0.0, 0.0]
    assert minicnn.zeros(0).all().item() is True
    assert minicnn.zeros(0).any().item() is False


# -- extremes --------------------------------------------------------------------------------


def test_max_has_pytorchs_three_forms():
    x = tensor([[1.0, 4.0], [3.0, 2.0]])
    assert x.max().item() == 4.0
    values, indices = x.max(1)
    assert (values.tolist(), indices.tolist(), indices.dtype) == ([4.0, 3.0], [1, 0], np.int64)
    assert minicnn.max(x, x.flip(0)).tolist() == [[3.0, 4.0], [3.0, 4.0]]
    assert minicnn.min(x, dim=0, keepdim=True).values.tolist() == [[1.0, 2.0]]


def test_of_equal_elements_the_first_gets_the_gradient():
    x = tensor([[2.0, 1.0, 2.0], [2.0, 2.0, 0.0]], requires_grad=True)
    x.max(dim=1).values.sum().backward()
    assert x.grad.tolist() == [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    x.grad = None
    x.max().backward()
    assert x.grad.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_row_major_order_also_over_dims_that_are_not_neighbours():
    x = minicnn.zeros(2, 2, 2, requires_grad=True)
    x.amax(dim=(0, 2)).sum().backward()
    assert x.grad.tolist() == [[[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]


def test_nan_wins():
    x = tensor([1.0, NAN, 3.0, NAN], requires_grad=True)
    y = x.max()
    y.backward()
    assert math.isnan(y.item()) and x.argmax().item() == 1 and x.argmin().item() == 1
    assert x.grad.tolist() == [0.0, 1.0, 0.0, 0.0]


def test_there_is_no_largest_of_none():
    with pytest.raises(ShapeError, match="amax: expected at least one element"):
        minicnn.zeros(0).max()
    assert minicnn.zeros(0, 2).amax(dim=1).shape == (0,)
    for name in ("amax", "amin", "argmax", "argmin"):
        with pytest.raises(ShapeError, match=rf"{name}: expected at least one element to choose from"):
            getattr(minicnn.zeros(2, 0).to("meta"), name)(dim=1)


def test_argmax_over_all_counts_in_row_major_order():
    assert tensor([[1, 5], [7, 2]]).argmax().item() == 2
    assert tensor([[True, False]]).argmin(dim=1, keepdim=True).tolist() == [[1]]


def test_sums_of_broadcast_views_do_not_touch_their_source():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = x.expand(3, 2)
    assert not y.array.flags.writeable
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


# -- operands of two kinds: shapes that broadcast, types that differ --------------------------


def test_the_gradient_of_a_broadcast_operand_keeps_float32s_digits():
    x = minicnn.full((10**5, 3), 0.1, dtype=np.float32)
    b = minicnn.zeros(3, requires_grad=True)
    (b * x).sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), np.full(3, np.float64(np.float32(0.1)) * 10**5), rtol=5e-7)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "pow"])
@pytest.mark.parametrize("shape", [(2, 3), (3,)])
def test_float32_meets_float64_and_each_gradient_has_its_operands_type(name, shape, rng):
    x = tensor(rng.uniform(1, 2, (2, 3)).astype(np.float32), requires_grad=True)
    y = tensor(rng.uniform(1, 2, shape), requires_grad=True)
    same = [tensor(operand.detach().numpy().astype(np.float64), requires_grad=True) for operand in (x, y)]
    expected = getattr(minicnn, name)(*same)
    expected.sum().backward()
    operands, types = [x + 0, y + 0], []
    for operand in operands:  # a hook sees what the operation gave, a leaf would convert it
        operand.register_hook(lambda g: types.append(g.dtype))
    z = getattr(minicnn, name)(*operands)
    assert z.dtype == np.float64 and z.tolist() == expected.tolist()
    z.sum().backward()
    assert sorted(types, key=str) == [np.float32, np.float64]
    for operand, other in zip((x, y), same, strict=True):
        np.testing.assert_allclose(operand.grad.numpy(), other.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, 1234.567, 3e-5])
def test_equal_numbers_have_no_spread_and_a_gradient_of_0(value, dtype):
    x = Tensor(np.full(7, value, dtype), requires_grad=True)
    for function in (Tensor.var, Tensor.std):
        x.grad = None
        y = function(x)
        y.backward()
        assert y.item() == 0.0
        assert np.array_equal(x.grad.array, np.zeros(7))
