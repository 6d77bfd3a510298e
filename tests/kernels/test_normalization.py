"""The kernels of normalizations: every tail on every CPU level, digits, threads."""

import itertools

import numpy as np
import pytest

from minicnn.ops.activation import relu
from minicnn.ops.fused import batch_norm_add, batch_norm_add_relu, batch_norm_relu
from minicnn.ops.normalization import batch_norm, batch_norm_inference, group_norm, layer_norm
from minicnn.testing.tolerance import compare, float32_bound

NEEDS = list(itertools.product((False, True), repeat=3))


def magnitude(array):
    """The largest absolute value."""
    return np.abs(array).max(initial=0.0)


def run(op, operands, gy, needs, attrs, kernels="native"):
    """Result, mean, variance, and the gradients that are needed."""
    forward, backward = (
        kernel.overlays["native"] if kernels == "native" else kernel.reference
        for kernel in (op.forward_kernel, op.backward_kernel)
    )
    y, saved = forward(np, *operands, **attrs)
    return [y, saved[1], saved[2], *backward(np, gy, saved, needs, **attrs)]


def compared(op, x, w, b, rng, *statistics, needs=(True, True, True), **attrs):
    """The kernels' results, after a comparison with the reference in double precision."""
    attrs = op.defaults | attrs
    operands = [x, *statistics, w, b]
    gy = rng.standard_normal(x.shape, dtype=np.float32)
    if statistics:
        needs = (needs[0], False, False, *needs[1:])
    found = run(op, operands, gy, needs, attrs)
    wide = [None if operand is None else operand.astype(np.float64) for operand in operands]
    expected = run(op, wide, gy.astype(np.float64), needs, attrs, "reference")
    single = run(op, operands, gy, needs, attrs, "reference")
    for name, a, e, s in zip(
        ["y", "mean", "var", "gx", *"mvwb"[-len(needs) + 1 :]], found, expected, single, strict=True
    ):
        assert (a is None) == (e is None), name
        if a is not None:
            own_error = np.abs(s - e).max(initial=0.0)  # what cancels inside costs the reference as much
            bound = float32_bound(x.size + 1) * magnitude(e) + 2 * own_error
            if (
                name == "gx" and not e.any()
            ):  # of one number it is 0, as the difference of two that are rounded
                bound += 2.0**-22 * magnitude(gy) * (1 if w is None else magnitude(w)) / attrs["eps"] ** 0.5
            assert compare(a, e, bound) is None, (name, op.name, x.shape, attrs)
            assert a.dtype == np.float32
    return found


def numbers(rng, *shape):
    return 1 + 2 * rng.standard_normal(shape, dtype=np.float32)


def parameters(rng, count):
    return rng.uniform(0.5, 2.0, count).astype(np.float32), numbers(rng, count)


@pytest.mark.parametrize(
    "length", [*range(1, 40), 47, 48, 49, 63, 64, 65, 100, 255, 256, 257, 300, 4095, 4100, 9000]
)
def test_batch_norm_of_any_length_of_run(length, level, rng):
    for samples, channels in ((2, 3), (3, 1), (5, 18)) if length < 1000 else ((2, 2),):
        w, b = parameters(rng, channels)
        x = numbers(rng, samples, channels, length)
        compared(batch_norm, x, w, b, rng)
        mean, var = numbers(rng, channels), rng.uniform(0.5, 2.0, channels).astype(np.float32)
        compared(batch_norm_inference, x, w, b, rng, mean, var)


@pytest.mark.parametrize(
    "shape", [(300, 3), (129, 300, 1), (70, 260, 5), (150, 5, 33), (3, 150, 7, 7), (130, 130, 36)]
)
def test_batch_norm_of_many_samples_and_channels(shape, level, rng):
    """More than a block of columns, a block of rows, and a piece hold."""
    w, b = parameters(rng, shape[1])
    x = numbers(rng, *shape)
    compared(batch_norm, x, w, b, rng)
    mean, var = numbers(rng, shape[1]), rng.uniform(0.5, 2.0, shape[1]).astype(np.float32)
    compared(batch_norm_inference, x, w, b, rng, mean, var)


def native_pair(op):
    return op.forward_kernel.overlays["native"], op.backward_kernel.overlays["native"]


@pytest.mark.parametrize("length", [1, 7, 31, 32, 33, 50, 64, 255, 256, 300, 4100, 70000])
def test_with_addition_and_relu_it_gives_the_bits_of_its_parts(length, level, steady, rng):
    x, z, gy = (numbers(rng, 3 if length < 5000 else 2, 5, length) for _ in range(3))
    parameters_of_x = parameters(rng, 5)
    attrs = {"eps": 1e-5}
    (norm, norm_backward), (rectify, rectify_backward) = native_pair(batch_norm), native_pair(relu)
    y, saved = norm(np, x, *parameters_of_x, **attrs)
    for op, others, before_relu, with_relu in (
        (batch_norm_relu, (), y, True),
        (batch_norm_add, (z,), y + z, False),
        (batch_norm_add_relu, (z,), y + z, True),
    ):
        forward, backward = native_pair(op)
        expected, g = before_relu, gy
        if with_relu:
            expected, mask = rectify(np, before_relu)
            (g,) = rectify_backward(np, gy, mask, (True,))
        gx, gw, gb = norm_backward(np, g, saved, (True, True, True), **attrs)
        needs = (True, *(True for _ in others), True, True)

        def call(forward=forward, backward=backward, others=others, needs=needs):
            y, saved = forward(np, x, *others, *parameters_of_x, **attrs)
            return [y, *backward(np, gy, saved, needs, **attrs)]

        for a, e in zip(steady(call), [expected, gx, *([g] if others else []), gw, gb], strict=True):
            assert np.array_equal(a, e), op.name


@pytest.mark.parametrize("length", [*range(1, 40), 63, 64, 65, 129, 4095, 4096, 4097, 9000])
def test_layer_norm_of_any_length(length, level, rng):
    for rows in (1, 2, 67) if length < 200 else (3,):
        w, b = parameters(rng, length)
        compared(layer_norm, numbers(rng, rows, length), w, b, rng, normalized_shape=(length,), eps=1e-2)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 5000])
def test_group_norm_of_any_length(length, level, rng):
    for samples, channels, groups in ((3, 6, 1), (2, 6, 3), (9, 5, 5), (1, 34, 2)):
        w, b = parameters(rng, channels)
        x = numbers(rng, samples, channels, length)
        compared(group_norm, x, w, b, rng, num_groups=groups, eps=1e-2)


@pytest.mark.parametrize("needs", NEEDS)
@pytest.mark.parametrize("given", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("length", [5, 50])
def test_only_what_is_given_and_needed(needs, given, length, native, rng):
    w, b = (p if is_given else None for p, is_given in zip(parameters(rng, 6), given, strict=True))
    x = numbers(rng, 4, 6, length)
    compared(batch_norm, x, w, b, rng, needs=needs)
    compared(batch_norm_inference, x, w, b, rng, numbers(rng, 6), np.ones(6, np.float32), needs=needs)
    compared(group_norm, x, w, b, rng, needs=needs, num_groups=3)
    compared(layer_norm, numbers(rng, 7, 2, 3), *(p if p is None else p.reshape(2, 3) for p in (w, b)), rng,
             needs=needs, normalized_shape=(2, 3))  # fmt: skip


def moments(op, x, **attrs):
    channels = x.shape[1]
    given = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    y, (_, mean, var, _) = op.forward_kernel.overlays["native"](np, x, *given, **(op.defaults | attrs))
    return y, mean, var


@pytest.mark.parametrize("shape", [(400, 3), (400, 3, 7), (40, 3, 100), (3, 2, 70000), (1, 2, 100)])
def test_variance_keeps_its_digits_far_from_zero(shape, level, rng):
    for centre in (1e4, -3e6):
        spread = max(1.0, abs(centre) * 1e-4)
        x = (centre + spread * rng.standard_normal(shape)).astype(np.float32)
        axes = (0, *range(2, x.ndim))
        _, mean, var = moments(batch_norm, x)
        assert np.allclose(mean, x.mean(axes, dtype=np.float64), rtol=1e-7, atol=0)
        assert np.allclose(var, x.astype(np.float64).var(axes), rtol=1e-5, atol=0)
        _, mean, var = moments(group_norm, x, num_groups=shape[1])
        expected = x.astype(np.float64).reshape(*shape[:2], -1)
        assert np.allclose(mean, expected.mean(2), rtol=1e-7, atol=0)
        assert np.allclose(var, expected.var(2), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("shape", [(1000, 2), (300, 2, 5), (300, 2, 50), (30, 2, 600), (2, 2, 20000)])
@pytest.mark.parametrize("first", ["number", "block"])
def test_variance_keeps_its_digits_behind_outliers(shape, first, level, rng):
    """The shift is taken from what comes first: that must not be trusted too far."""
    x = rng.standard_normal(shape).astype(np.float32)
    x[0] = 1e5 if first == "block" else x[0]
    x.reshape(shape[0], shape[1], -1)[0, :, 0] = 1e5
    _, mean, var = moments(batch_norm, x)
    axes = (0, *range(2, x.ndim))
    assert np.allclose(mean, x.mean(axes, dtype=np.float64), rtol=1e-6, atol=0)
    assert np.allclose(var, x.astype(np.float64).var(axes), rtol=2e-5, atol=0)


def test_a_constant_channel_is_exactly_the_bias(level):
    for shape in ((3, 2), (5, 3, 4), (4, 2, 100), (2, 2, 10000)):
        for value in (0.1, 1e4, -123.456):
            y, mean, var = moments(batch_norm, np.full(shape, value, np.float32))
            assert (y == 0).all() and (mean == np.float32(value)).all() and (var < 1e-12 * value**2).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(20, 3), (20, 3, 5), (20, 3, 50), (3, 3, 9000)])
def test_what_is_not_finite_stays_in_its_channel(bad, shape, level, rng):
    for at in (0, -1):
        x = numbers(rng, *shape)
        x.reshape(shape[0], 3, -1)[at, 1, at] = bad
        w = b = None
        with np.errstate(invalid="ignore"):
            found = run(batch_norm, [x, w, b], np.ones_like(x), (True, False, False), {"eps": 1e-5})
            expected = run(
                batch_norm, [x, w, b], np.ones_like(x), (True, False, False), {"eps": 1e-5}, "reference"
            )
        for a, e in zip(found[:4], expected[:4], strict=True):
            assert (np.isnan(a) == np.isnan(e)).all()
            assert (np.isinf(a) == np.isinf(e)).all()


@pytest.mark.parametrize("shape", [(20, 3), (20, 3, 5), (20, 3, 50), (3, 3, 9000)])
def test_an_overflow_of_the_variance_gives_zeros(shape, level, rng):
    """Sums of such numbers overflow too, where they are not taken in double precision."""
    x = (3e38 * rng.uniform(0.5, 1.0, shape)).astype(np.float32)
    for op, attrs in ((batch_norm, {}), (group_norm, {"num_groups": 1})):
        y, mean, var = moments(op, x, **attrs)
        assert (y == 0).all() and np.isfinite(mean).all() and np.isinf(var).all()


def test_no_samples_and_empty_runs(level, rng):
    w, b = parameters(rng, 3)
    for shape in ((0, 3), (0, 3, 40), (2, 3, 0)):
        x = np.empty(shape, np.float32)
        for op, attrs in ((batch_norm, {}), (group_norm, {"num_groups": 3})):
            run_both = [
                run(op, [x, w, b], x, (True, True, True), op.defaults | attrs, k)
                for k in ("native", "reference")
            ]
            for a, e in zip(*run_both, strict=True):
                assert a.shape == e.shape and (a == e).all()


@pytest.mark.parametrize(
    ("op", "shape", "attrs"),
    [
        (batch_norm, (9, 300), {}),
        (batch_norm, (200, 40, 5), {}),
        (batch_norm, (150, 140, 36), {}),
        (batch_norm, (3, 5, 40000), {}),
        (layer_norm, (500, 77), {"normalized_shape": (77,)}),
        (group_norm, (70, 12, 49), {"num_groups": 4}),
        (group_norm, (70, 12), {"num_groups": 4}),
    ],
)
def test_any_number_of_threads_gives_the_same_bits(op, shape, attrs, level, native, rng):
    x, gy = numbers(rng, *shape), numbers(rng, *shape)
    w, b = parameters(rng, shape[1])
    attrs = op.defaults | attrs
    results = []
    for threads in (1, 1, 2, 3, 4, 8, 8):
        native.set_threads(threads)
        results.append([a.tobytes() for a in run(op, [x, w, b], gy, (True, True, True), attrs)])
        if op is batch_norm:
            found = run(
                batch_norm_inference, [x, w, abs(b), w, b], gy, (True, False, False, True, True), attrs
            )
            results[-1] += [a.tobytes() for a in found if a is not None]
    assert all(found == results[0] for found in results[1:])
