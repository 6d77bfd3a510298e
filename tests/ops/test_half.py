"""float16: what is summed or squared on the way stays in range, and comes out as in float32."""

import numpy as np
import pytest

import minicnn
import minicnn.nn.functional as F
from minicnn import tensor

MANY = 70_000


def test_losses_of_many_samples():
    x = minicnn.zeros(MANY, 2, dtype=np.float16).requires_grad_()
    labels = minicnn.zeros(MANY, dtype=np.int64)
    for loss in (F.cross_entropy(x, labels), F.nll_loss(F.log_softmax(x, 1), labels)):
        assert loss.dtype == np.float16 and loss.item() == pytest.approx(np.log(2), rel=1e-3)
    F.cross_entropy(x * 1, labels, label_smoothing=0.5).backward()
    assert x.grad.dtype == np.float16 and x.grad[0].tolist() == pytest.approx([-3.6e-6, 3.6e-6], rel=0.1)


def test_probabilities_of_many_classes():
    x = minicnn.zeros(1, 100_000, dtype=np.float16).requires_grad_()
    y = F.log_softmax(x, 1)
    assert y.dtype == np.float16 and y[0, 0].item() == pytest.approx(-np.log(100_000), rel=1e-3)
    assert F.softmax(x, 1)[0, 0].item() == pytest.approx(1e-5, rel=0.01)
    target = minicnn.full((1, 100_000), 1e-5, dtype=np.float16)
    assert F.cross_entropy(x, target).item() == pytest.approx(11.5, rel=0.01)
    F.softmax(x, 1).backward(minicnn.ones(1, 100_000))
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize(
    "norm",
    [
        lambda x, w: F.layer_norm(x, (4,), w, w),
        lambda x, w: F.batch_norm(x, None, None, w, w, training=True),
        lambda x, w: F.batch_norm(x, tensor([0.0] * 4), tensor([9e4] * 4), w, w),
        lambda x, w: F.group_norm(x, 2, w, w),
        lambda x, w: F.layer_norm(x, (4,)),
    ],
)
def test_normalization_squares_large_numbers(norm):
    numbers = [[300.0, -300.0, 200.0, -100.0], [-300.0, 300.0, 250.0, 7.0]]
    found = {}
    for dtype in (np.float16, np.float32):
        x, w = tensor(numbers, dtype=dtype, requires_grad=True), minicnn.ones(4, dtype=dtype).requires_grad_()
        y = norm(x, w)
        (y * y * tensor([1.0, 2.0, 3.0, 4.0], dtype=dtype)).sum().backward()
        assert y.dtype == x.grad.dtype == dtype and (w.grad is None or w.grad.dtype == dtype)
        found[dtype] = [t.detach().numpy() for t in (y, x.grad, w.grad) if t is not None]
    for half, single in zip(found[np.float16], found[np.float32], strict=True):
        np.testing.assert_allclose(half, single, rtol=5e-3, atol=3e-3)
