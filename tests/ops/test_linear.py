"""Matrix products: ranks as in PyTorch, agreement of formulas, messages."""

import numpy as np
import pytest

import minicnn
import minicnn.nn.functional as F
from minicnn import tensor
from minicnn.errors import DTypeError, LabelError, OptionError, ShapeError
from minicnn.oracles import linear as oracles


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((2, 3), (3, 4)),
        ((3,), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((0, 3), (3, 2)),
    ],
)
def test_matmul_is_numpys(x, y, rng):
    a, b = rng.standard_normal(x), rng.standard_normal(y)
    np.testing.assert_array_equal((tensor(a) @ tensor(b)).numpy(), a @ b)
    assert minicnn.matmul(tensor(a), tensor(b)).shape == (a @ b).shape


def test_a_product_of_arrays_and_tensors_is_a_tensor(rng):
    a = rng.standard_normal((2, 3))
    x = tensor(rng.standard_normal((3, 2)), requires_grad=True)
    (a @ x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.repeat(a.sum(0)[:, None], 2, axis=1))


def test_integers_multiply_exactly():
    assert (tensor([[2**40, 1]]) @ tensor([[1], [1]])).item() == 2**40 + 1


def test_linear_sums_over_leading_dimensions(rng):
    x, w, b = (tensor(rng.standard_normal(s), requires_grad=True) for s in ((2, 5, 3), (4, 3), (4,)))
    gy = rng.standard_normal((2, 5, 4))
    F.linear(x, w, b).backward(gy)
    np.testing.assert_allclose(w.grad.numpy(), np.einsum("abo,abi->oi", gy, x.array))
    np.testing.assert_allclose(b.grad.numpy(), gy.sum((0, 1)))
    np.testing.assert_allclose(x.grad.numpy(), gy @ w.array)


def test_logits_do_not_sum_to_one_but_softmax_does(rng):
    z = F.linear(tensor(rng.standard_normal(6)), tensor(rng.standard_normal((10, 6))), tensor(np.ones(10)))
    assert abs(z.sum().item() - 1) > 0.1
    assert minicnn.softmax(z, 0).sum().item() == pytest.approx(1.0, abs=1e-12)


def test_the_literal_formula_is_the_layer(rng):
    a, w, b = rng.standard_normal(6), rng.standard_normal((10, 6)), rng.standard_normal(10)
    literal = [sum(w[i, j] * a[j] for j in range(6)) + b[i] for i in range(10)]
    np.testing.assert_allclose(F.linear(tensor(a), tensor(w), tensor(b)).numpy(), literal, rtol=1e-12)
    np.testing.assert_allclose(oracles.linear(a, w, b), literal, rtol=0)


def test_frozen_weights_get_no_gradient(rng):
    x = tensor(rng.standard_normal((2, 3)), requires_grad=True)
    w = tensor(rng.standard_normal((4, 3)))
    F.linear(x, w).sum().backward()
    assert w.grad is None and x.grad.shape == (2, 3)


def test_an_empty_batch_gives_zero_gradients():
    w, b = minicnn.ones(4, 3, requires_grad=True), minicnn.ones(4, requires_grad=True)
    y = F.linear(minicnn.zeros(0, 3), w, b)
    y.sum().backward()
    assert y.shape == (0, 4) and not w.grad.numpy().any() and b.grad.tolist() == [0.0] * 4


def test_a_layer_without_outputs_has_gradients():
    x, w = minicnn.ones(2, 3, requires_grad=True), minicnn.zeros(0, 3, requires_grad=True)
    y = F.linear(x, w, minicnn.zeros(0))
    y.sum().backward()
    assert y.shape == (2, 0) and w.grad.shape == (0, 3) and x.grad.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("rows", [(10**5,), (10**3, 10**2)])
def test_the_bias_gradient_of_many_rows_keeps_float32s_digits(rows):
    b = minicnn.zeros(4, requires_grad=True)
    y = F.linear(minicnn.zeros(*rows, 1), minicnn.zeros(4, 1), b)
    y.backward(np.full((*rows, 4), 0.1, np.float32))
    np.testing.assert_allclose(b.grad.numpy(), np.full(4, np.float64(np.float32(0.1)) * 10**5), rtol=5e-7)


@pytest.mark.parametrize("function", [F.conv2d, F.conv_transpose2d])
def test_the_bias_gradient_of_many_images_keeps_float32s_digits(function):
    b = minicnn.zeros(2, requires_grad=True)
    w = minicnn.zeros(*((2, 1) if function is F.conv2d else (1, 2)), 1, 1)
    y = function(minicnn.zeros(10**5, 1, 1, 1), w, b)
    y.backward(np.full(y.shape, 0.1, np.float32))
    np.testing.assert_allclose(b.grad.numpy(), np.full(2, np.float64(np.float32(0.1)) * 10**5), rtol=5e-7)


def test_a_float64_batch_meets_a_float32_layer():
    with pytest.raises(DTypeError, match=r"linear: expected x in the dtype of w, float32, got float64"):
        F.linear(tensor(np.zeros((1, 3))), minicnn.zeros(2, 3))


# -- borders and labels ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "numpys"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
)
@pytest.mark.parametrize("pad", [(1, 2), (0, 1, 2, 0)])
def test_pad_modes(mode, numpys, pad, rng):
    x = rng.standard_normal((2, 3, 4))
    widths = [(0, 0)] * (3 - len(pad) // 2) + [pad[i : i + 2] for i in range(0, len(pad), 2)][::-1]
    np.testing.assert_array_equal(F.pad(tensor(x), pad, mode).numpy(), np.pad(x, widths, mode=numpys))
    report = minicnn.gradcheck(lambda x: F.pad(x, pad, mode), tensor(x))
    assert report.ok


def test_pad_counts_from_the_last_dimension():
    y = F.pad(minicnn.ones(1, 2), (1, 0, 0, 2), value=5)
    assert y.tolist() == [[5.0, 1.0, 1.0], [5.0] * 3, [5.0] * 3]
    assert F.pad(tensor([1, 2, 3]), (-1, 1)).tolist() == [2, 3, 0]


def test_pad_refuses_what_does_not_fit():
    with pytest.raises(OptionError, match="pad: expected mode out of constant, reflect"):
        F.pad(minicnn.zeros(3), (1, 1), "mirror")
    with pytest.raises(ShapeError, match="reflect border from 0 to 2 of 3"):
        F.pad(minicnn.zeros(3), (3, 0), "reflect")
    for pad in ((1,), (1, 1, 1, 1)):
        with pytest.raises(ShapeError, match="pad: expected pairs for at most 1 dimensions"):
            F.pad(minicnn.zeros(3), pad)


def test_one_hot():
    assert F.one_hot(tensor([2, 0]), 4).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert F.one_hot(tensor([[1], [0]])).shape == (2, 1, 2)
    assert F.one_hot(tensor(np.zeros(0, int)), 3).shape == (0, 3)
    for labels, classes, wrong in (([0, 3], 3, "3"), ([-1], 3, "-1")):
        with pytest.raises(LabelError, match=f"one_hot: expected labels from 0 to 2, got {wrong}"):
            F.one_hot(tensor(labels), classes)
    with pytest.raises(DTypeError, match="integer labels"):
        F.one_hot(tensor([1.0]))


def test_normalize(rng):
    x = rng.standard_normal((3, 4))
    np.testing.assert_allclose(F.normalize(tensor(x)).norm(dim=1).numpy(), np.ones(3))
    assert F.normalize(minicnn.zeros(1, 2)).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("mm", (2, 3), (3,)),
        ("mm", (1, 2, 3), (1, 3, 2)),
        ("bmm", (2, 3), (3, 2)),
        ("bmm", (1, 2, 3), (5, 3, 2)),
        ("dot", (2, 3), (3, 2)),
        ("dot", (), ()),
    ],
)
def test_products_with_a_rank_of_their_own_refuse_others(name, x, y):
    for device in ("cpu", "meta"):
        with pytest.raises(ShapeError, match=f"{name}: expected two tensors of"):
            getattr(minicnn.zeros(*x).to(device), name)(minicnn.zeros(*y).to(device))
