"""The comparison of kernels finds planted wrong kernels, and lets right ones pass."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from minicnn.core import dispatch, random
from minicnn.core.dispatch import Backend, Declined
from minicnn.testing import op_registry
from minicnn.testing.guard import available
from minicnn.testing.overlays import check_kernel, reached, trials_of
from minicnn.testing.special import VALUES, operands_of, places

ROWS = op_registry()


@pytest.fixture
def plant(monkeypatch):
    """Lay a function over a kernel, on a backend of its own; gives the report of its comparison."""
    monkeypatch.setitem(dispatch._registry, "planted", Backend("planted", np, np.ndarray))

    def compare(name, function, row=None):
        monkeypatch.setitem(dispatch.kernels[name].overlays, "planted", function)
        return check_kernel(name, "planted", [ROWS[row or name.partition(".")[0]]])

    return compare


def only_float32(function):
    """A kernel that declines other dtypes, as compiled ones do."""

    def kernel(xp, *operands, **attrs):
        dtype = next(x.dtype for x in operands if hasattr(x, "dtype"))
        return function(xp, *operands, **attrs) if dtype == np.float32 else Declined(f"dtype {dtype}")

    return kernel


def reference(name):
    return dispatch.kernels[name].reference


@pytest.mark.parametrize(
    "name", ["relu", "relu.backward", "conv2d", "conv2d.backward", "softmax", "batch_norm"]
)
def test_the_reference_passes_as_a_kernel(plant, name):
    report = plant(name, only_float32(reference(name)))
    assert report, str(report)
    assert report.served and report.reasons == {"dtype float64"}


def test_another_order_of_additions_passes(plant):
    def backwards(xp, x, w, b=None):
        y = np.zeros((*x.shape[:-1], len(w)), np.float32)
        for k in reversed(range(x.shape[-1])):
            y += x[..., k, None] * w[:, k]
        return (y if b is None else y + b), (x, w)

    report = plant("linear", only_float32(backwards))
    assert report, str(report)


def without_tail(xp, x):
    y = np.zeros(x.shape, x.dtype)
    full = x.size // 8 * 8
    y.reshape(-1)[:full] = np.maximum(x, 0).reshape(-1)[:full]
    return y, (y,)


def in_memory_order(xp, x):
    y = np.maximum(x.ravel(order="K"), 0).reshape(x.shape)
    return y, (y,)


def loses_nan(xp, x):
    y = np.fmax(x, 0)
    return y, (y,)


def overwrites(xp, x):
    if x.flags.writeable:
        np.maximum(x, 0, out=x)
    return np.maximum(x, 0), (np.maximum(x, 0),)


def saves_nothing(xp, x):
    y = np.maximum(x, 0)
    return y, (np.zeros_like(y),)


def saves_another_type(xp, x):
    y = np.maximum(x, 0)
    return y, (y.astype(np.float64),)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (without_tail, "integers: result 0"),
        (in_memory_order, "fortran"),
        (overwrites, "an operand was changed"),
        (saves_nothing, "gradient of operand 0"),
        (saves_another_type, "it gives and saves"),
        (lambda xp, x: Declined("never"), "no row makes a call that it serves"),
        (lambda xp, x: Declined(""), "without a reason"),
        (lambda xp, x: (np.maximum(x, 0) * np.float32(1 + 1e-6), (np.maximum(x, 0),)), "result 0"),
    ],
)
def test_a_wrong_relu_is_found(plant, wrong, message):
    assert message in str(plant("relu", wrong))


def test_a_wrong_backward_is_found_alone(plant):
    report = plant("relu.backward", lambda xp, gy, saved, needs: (gy * (saved[0] >= 0),))
    assert "integers: gradient of operand 0" in str(report)


def test_a_lost_term_of_a_convolution_is_found(plant):
    def forgetful(xp, x, w, b=None, **attrs):
        w = w.copy()
        w[-1, -1, -1, -1] = 0
        y, (_, *rest) = reference("conv2d")(xp, x, w, b, **attrs)
        return y, (x, *rest)

    assert "integers: result 0" in str(plant("conv2d", forgetful))


def test_a_product_in_half_precision_is_found(plant):
    def coarse(xp, x, y):
        return reference("matmul")(xp, x.astype(np.float16).astype(x.dtype), y)

    assert "result 0" in str(plant("matmul", coarse))


def test_a_softmax_that_overflows_is_found(plant):
    def naive(xp, x, *, dim):
        y = np.exp(x) / np.exp(x).sum(dim, keepdims=True)
        return y, (y,)

    texts = plant("softmax", naive).failures
    assert any("operands up to" in text for text in texts)
    assert all("operands up to" in text or "the largest number" in text or "+inf" in text for text in texts)


def test_a_variance_that_cancels_is_found(plant):
    def one_pass(xp, x, *, dim, correction=1, keepdim=False):
        _, (_, m) = reference("var")(xp, x, dim=dim, correction=correction, keepdim=keepdim)
        n = x.size / max(m.size, 1)
        y = ((x * x).mean(dim, keepdims=keepdim) - x.mean(dim, keepdims=keepdim) ** 2) * n / (n - correction)
        return np.asarray(y, x.dtype), (x, m)

    assert not plant("var", only_float32(one_pass))


def test_rows_tell_which_kernels_they_reach(plant, monkeypatch):
    samples = ROWS["relu6"].samples(random.new_generator(0))
    assert reached(ROWS["relu6"], "planted", samples) == {"hardtanh", "hardtanh.backward"}


def test_the_backend_is_as_before(plant):
    plant("relu", without_tail)
    assert dispatch.kernels["relu"].overlays["planted"] is without_tail


OVER_THE_END = """
import ctypes, sys
import numpy as np
from minicnn.core import dispatch
from minicnn.core.dispatch import Backend
from minicnn.testing import op_registry
from minicnn.testing.overlays import check_kernel

dispatch.register_backend(Backend("planted", np, np.ndarray))
case = op_registry()["relu"]

def careless(xp, x):
    y = np.empty(x.shape, x.dtype)
    y[...] = np.maximum(x, 0)
    touched = {"reads": x, "writes": y}[sys.argv[1]]
    if touched.size and touched.flags.c_contiguous:
        memory = (ctypes.c_char * (touched.nbytes + 1)).from_address(touched.ctypes.data)
        memory[touched.nbytes] = memory[touched.nbytes]
    return y, (y,)

dispatch.kernels["relu"].overlays["planted"] = careless
print("starts", flush=True)
check_kernel("relu", "planted", [case])
print("ends", flush=True)
"""


@pytest.mark.skipif(not available(), reason="guard pages are for Linux")
@pytest.mark.parametrize("what", ["reads", "writes"])
def test_a_kernel_that_goes_over_the_end_dies(what):
    done = subprocess.run(
        [sys.executable, "-c", OVER_THE_END, what],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stdout.split()) == (-signal.SIGSEGV, ["starts"])


# -- special values ------------------------------------------------------------------------------


def abs_backward_by_comparison(xp, gy, saved, needs):
    (x,) = saved
    return (xp.where(x < 0, -gy, gy),)  # at 0 and NaN the gradient passes


def relu_backward_of_nan(xp, gy, saved, needs):
    (y,) = saved
    return (xp.where(y <= 0, 0, gy),)  # at NaN it passes


def relu_backward_by_product(xp, gy, saved, needs):
    return (gy * (saved[0] > 0),)  # 0 times infinity is NaN


def flushes(xp, x):
    y = np.maximum(x, 0)
    y = np.where(y < np.finfo(np.float32).tiny, y * 0, y)
    return y, (y,)


def relu_of_ordinary_numbers(xp, x):
    odd = ~np.isfinite(x) | (x == 0) & np.signbit(x) | (abs(x) > 1e30) | (x != 0) & (abs(x) < 1e-35)
    return Declined("special") if odd.any() else reference("relu")(xp, x)


def relu_to_negative_zero(xp, x):
    y = np.maximum(x, 0)
    y = np.where(y == 0, np.float32(-0.0), y)
    return y, (y,)


def overflows_to(wrong):
    """A product whose overflow is not the infinity of the right sign."""

    def mul(xp, x, y):
        product, saved = reference("mul")(xp, x, y)
        overflown = np.isinf(product) & np.isfinite(x) & np.isfinite(y)
        return np.where(overflown, wrong(product), product), saved

    return mul


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("relu", relu_of_ordinary_numbers, "NaN in operand 0 at (): declined, though the call is served"),
        ("relu", relu_to_negative_zero, "np.float32(-0.0), the reference gives np.float32(0.0)"),
        ("mul", overflows_to(np.negative), "the largest number in operand 0"),
        ("mul", overflows_to(lambda y: y * np.float32(np.nan)), "the largest number in operand 1"),
        ("abs.backward", abs_backward_by_comparison, "NaN in operand 0"),
        ("relu", loses_nan, "NaN in operand 0"),
        ("relu.backward", relu_backward_of_nan, "NaN in operand 0"),
        ("relu.backward", relu_backward_by_product, "inf in the gradient of result 0"),
        ("relu", flushes, "a subnormal number in operand 0"),
    ],
)
def test_a_kernel_that_is_wrong_on_special_values_only_is_found(plant, name, wrong, message):
    assert message in str(plant(name, only_float32(wrong)))


def test_a_max_pooling_backward_that_loses_nan_is_found(plant):
    """The winners of windows with a NaN are taken to be what would win without it."""

    def forward(xp, x, **attrs):
        y, _ = reference("max_pool2d")(xp, x, **attrs)
        _, saved = reference("max_pool2d")(xp, np.where(np.isnan(x), -np.inf, x), **attrs)
        return y, saved

    report = plant("max_pool2d", only_float32(forward))
    assert report.failures and all("NaN in operand 0" in text for text in report.failures)


def test_zeros_that_stand_for_no_pixel_may_be_left_out_but_nothing_else(plant):
    def padded_again(xp, gy, saved, needs, **attrs):
        """NaN of a kernel reaches the whole image, and with ``too_far`` the other images, too."""
        gx, *others = reference("conv2d.backward")(xp, gy, saved, needs, **attrs)
        if needs[0]:
            axes = (0, 1, 2, 3) if too_far else (2, 3)
            gx = np.where(np.isnan(gx).any(axes, keepdims=True), np.float32(np.nan), gx)
        return (gx, *others)

    too_far = False
    texts = plant("conv2d.backward", only_float32(padded_again)).failures
    assert texts and not any("NaN in operand 1" in text for text in texts)  # it is found in gradients only
    too_far = True
    texts = plant("conv2d.backward", only_float32(padded_again)).failures
    assert any("NaN in operand 1" in text for text in texts)


@pytest.mark.parametrize("row", ["batch_norm_inference", "binary_cross_entropy_with_logits", "instance_norm"])
def test_each_special_value_is_tried_in_each_operand(row):
    trials, _ = trials_of(ROWS[row], "cpu", 0)
    for served in (trials, trials[-1:]):
        tried = {(place.operand, place.name) for _, place in places(served)}
        operands = {operand for trial in served for operand in operands_of(trial)}
        assert tried == {(operand, name) for operand in operands for name in VALUES}


def test_an_operand_that_is_never_served_is_told_of(plant):
    def without_bias(xp, x, w, b=None):
        return Declined("a bias") if b is not None else reference("linear")(xp, x, w)

    (text,) = plant("linear", only_float32(without_bias)).failures
    tried = "NaN in operand 2, +inf in operand 2, -inf in operand 2, -0 in operand 2"
    assert f"linear: no call that it serves was made with {tried}" in text


def test_only_weights_that_would_spread_nan_may_be_declined(plant):
    def convolution(xp, x, w, b=None, **attrs):
        finite = all(np.isfinite(a).all() for a in ((w,) if weights_only else (x, w)))
        return reference("conv2d")(xp, x, w, b, **attrs) if finite else Declined("not finite")

    weights_only = True
    assert plant("conv2d", only_float32(convolution))
    weights_only = False
    texts = plant("conv2d", only_float32(convolution)).failures
    assert texts and all("in operand 0" in text and "declined" in text for text in texts)
