"""The convolution kernels: every geometry, every level, exactly where the algorithm is exact."""

import itertools

import numpy as np
import pytest

import minicnn
from minicnn import backends, nn, set_conv_precision
from minicnn.backends.native import conv
from minicnn.backends.native.conv import algorithm
from minicnn.core.dispatch import kernels
from minicnn.ops.conv import conv2d, conv_transpose2d
from minicnn.ops.windows import output_sizes

PASSES = ("y", "gx", "gw")
SAME = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}


def convolution(x, w, b, gy, op=conv2d, **attrs):
    """The result and both gradients by the native kernels, or the reference for float64."""
    y, saved = op.run([x, w, b], op.defaults | attrs)
    gx, gw, gb = op.run_backward(gy(y.shape).astype(x.dtype), saved, (True, True, True), op.defaults | attrs)
    return {"y": y, "gx": gx, "gw": gw, "gb": gb}


def integers(rng, shape):
    """Small enough that every sum is exact in float32."""
    return rng.integers(-3, 4, shape).astype(np.float32)


def random_case(rng, *, depthwise=False):
    """Shapes and attributes that fit, with every kind of border and tail."""
    while True:
        groups = int(rng.integers(2, 8)) if depthwise else int(rng.choice([1, 1, 1, 2, 3]))
        channels, outputs = (1, 1) if depthwise else rng.integers(1, 7), rng.choice([1, 3, 8, 13, 20, 40])
        (channels, outputs) = (1, 1) if depthwise else (int(channels), int(outputs))
        height, width = int(rng.integers(1, 24)), int(rng.choice([1, 2, 3, 7, 10, 15, 16, 17, 33, 64]))
        kernel = tuple(int(n) for n in rng.integers(1, 6, 2))
        attrs = {
            "stride": tuple(int(n) for n in rng.choice([1, 1, 2, 3], 2)),
            "padding": tuple(tuple(int(n) for n in rng.integers(0, 4, 2)) for _ in range(2)),
            "dilation": tuple(int(n) for n in rng.choice([1, 1, 2, 3], 2)),
            "groups": groups,
        }
        x_shape = (int(rng.integers(1, 4)), groups * channels, height, width)
        w_shape = (groups * outputs, channels, *kernel)
        size = output_sizes(x_shape, kernel, attrs["stride"], attrs["padding"], attrs["dilation"])
        if min(size) > 0:
            return x_shape, w_shape, attrs


def assert_equal_to_the_reference(rng, x_shape, w_shape, attrs, op=conv2d):
    x, w, b = integers(rng, x_shape), integers(rng, w_shape), None
    b = integers(rng, (w_shape[0] if op is conv2d else w_shape[1] * attrs["groups"],))
    seed = int(rng.integers(2**31))
    got, expected = (
        convolution(*arrays, lambda shape: integers(np.random.default_rng(seed), shape), op, **attrs)
        for arrays in ((x, w, b), [a.astype(np.float64) for a in (x, w, b)])
    )
    for name, array in got.items():
        assert array.dtype == np.float32
        assert np.array_equal(array, expected[name]), f"{name} for x {x_shape}, w {w_shape}, {attrs}"


@pytest.mark.parametrize("seed", range(4))
def test_direct_convolution_is_exact_on_integers(level, seed):
    rng = np.random.default_rng(seed)
    set_conv_precision("highest")
    try:
        for _ in range(40):
            assert_equal_to_the_reference(rng, *random_case(rng))
    finally:
        set_conv_precision("high")


# What the kernels treat apart: images and numbers of channels from which on they sum in another way, rows of
# whole vectors and others, strides that leave pixels without a tap, one image that has to be shared.
APART = (
    ((2, 3, 32, 32), (20, 3, 3, 3), {"padding": ((1, 1), (1, 1))}),
    ((2, 1, 28, 28), (6, 1, 5, 5), {"padding": ((2, 2), (2, 2))}),
    ((1, 16, 23, 27), (13, 16, 2, 3), {"padding": ((1, 0), (0, 2))}),
    ((2, 8, 32, 32), (24, 8, 3, 3), {"stride": (2, 2), "padding": ((1, 1), (1, 1))}),
    ((3, 5, 19, 70), (9, 5, 3, 3), {"stride": (1, 2), "padding": ((1, 1), (1, 1))}),
    ((2, 4, 21, 21), (33, 4, 2, 2), {"stride": (3, 3)}),
    ((1, 64, 8, 8), (100, 64, 3, 3), {"padding": ((1, 1), (1, 1))}),
    ((2, 40, 24, 24), (70, 40, 1, 1), {}),
)


@pytest.mark.parametrize(("x_shape", "w_shape", "attrs"), APART, ids=str)
def test_each_way_to_sum_is_exact_on_integers(level, x_shape, w_shape, attrs, rng):
    set_conv_precision("highest")
    try:
        plain = {**SAME, "padding": ((0, 0), (0, 0))}
        assert_equal_to_the_reference(rng, x_shape, w_shape, {**plain, **attrs})
    finally:
        set_conv_precision("high")


def test_depthwise_convolution_is_exact_on_integers(level, rng):
    for _ in range(60):
        x_shape, w_shape, attrs = random_case(rng, depthwise=True)
        assert algorithm(w_shape, x_shape, attrs) == "depthwise"
        assert_equal_to_the_reference(rng, x_shape, w_shape, attrs)


def usual_depthwise_case(rng):
    """Kernels of 3x3 and 5x5 at stride 1 and 2, with rows that fill vectors and rows that do not."""
    k, stride = int(rng.choice([3, 5])), int(rng.choice([1, 2]))
    channels = int(rng.choice([2, 3, 17]))
    while True:
        shape = tuple(int(rng.choice([*range(1, 20), 28, 31, 32, 33, 50])) for _ in range(2))
        attrs = {
            "stride": (stride, stride),
            "padding": tuple(map(tuple, rng.integers(0, 6, (2, 2)).tolist())),
            "dilation": (1, 1),
            "groups": channels,
        }
        if rng.integers(2):
            attrs["padding"] = ((k // 2, k // 2), (k // 2, k // 2))
        x_shape = (int(rng.integers(1, 4)), channels, *shape)
        if min(output_sizes(x_shape, (k, k), *list(attrs.values())[:3])) > 0:
            return x_shape, (channels, 1, k, k), attrs


def test_depthwise_convolution_with_usual_kernels_is_exact_on_integers(level, rng):
    for _ in range(120):
        assert_equal_to_the_reference(rng, *usual_depthwise_case(rng))


def test_transposed_convolution_is_exact_on_integers(level, rng):
    done = 0
    while done < 30:
        x_shape, w_shape, attrs = random_case(rng)
        size = [
            (n - 1) * s - sum(p) + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                x_shape[2:], attrs["stride"], attrs["padding"], attrs["dilation"], w_shape[2:], strict=True
            )
        ]
        if min(size) > 0:
            outputs = w_shape[0] // attrs["groups"]
            assert_equal_to_the_reference(
                rng, x_shape, (x_shape[1], outputs, *w_shape[2:]), attrs, conv_transpose2d
            )
            done += 1


# -- Winograd --------------------------------------------------------------------------------

# N, C, H, W, K: widths whose tiles are 1, 2, 4, 8, 16 and more in a row, all tails, and 1-pixel images.
WINOGRAD = (
    (3, 8, 1, 1, 8), (5, 16, 4, 4, 16), (2, 17, 7, 9, 9), (3, 8, 8, 8, 33), (2, 9, 14, 14, 20),
    (1, 40, 5, 33, 12), (2, 12, 16, 16, 24), (1, 8, 66, 67, 8), (1, 8, 3, 130, 11), (70, 8, 2, 3, 8),
)  # fmt: skip


# The transforms' matrices: Lavin & Gray 2016, in the notation of kernels/winograd.cpp.
A = np.array([[1, 0, 0, 0], [1, 1, 1, 1], [1, -1, 1, -1], [1, 2, 4, 8], [1, -2, 4, -8], [0, 0, 0, 1]])
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
B = np.array(
    [
        [4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1],
    ]
).T  # fmt: skip


def sums_of_absolute_values(x, w, gy):
    """Winograd's formulas on absolute values: what bounds its rounding errors, for each pass."""
    n, c, h, width = x.shape
    down, across = -(-h // 4), -(-width // 4)

    def tiles(images, size, before):
        after = [(before, 4 * m + size - 4 - before - k) for m, k in ((down, h), (across, width))]
        padded = np.pad(images, ((0, 0), (0, 0), *after))
        view = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (2, 3))
        return view[:, :, ::4, ::4]

    a, g, b = abs(A), abs(G), abs(B)
    patches = np.einsum("fi,gj,ncyxij->ncyxfg", b.T, b.T, tiles(abs(x), 6, 1))
    weights = np.einsum("fi,gj,kcij->kcfg", g, g, abs(w))
    gradients = np.einsum("fi,gj,nkyxij->nkyxfg", a, a, tiles(abs(gy), 4, 0))
    patches_of_gy = np.einsum("fi,gj,nkyxij->nkyxfg", b.T, b.T, tiles(abs(gy), 6, 1))
    turned = np.einsum("fi,gj,kcij->kcfg", g, g, abs(w)[:, :, ::-1, ::-1])

    def images(products):
        y = np.einsum("fi,gj,nkyxfg->nkyixj", a, a, products)
        return y.reshape(*y.shape[:2], 4 * down, 4 * across)[:, :, :h, :width]

    return {
        "y": images(np.einsum("kcfg,ncyxfg->nkyxfg", weights, patches)),
        "gx": images(np.einsum("kcfg,nkyxfg->ncyxfg", turned, patches_of_gy)),
        "gw": np.einsum("fi,gj,nkyxfg,ncyxfg->kcij", g, g, gradients, patches, optimize=True),
    }


@pytest.fixture
def winograd_for_few_tiles(monkeypatch):
    monkeypatch.setattr(conv, "FEW_TILES", 1)


@pytest.mark.parametrize("shape", WINOGRAD, ids=str)
def test_winograd_is_within_its_error_bound(level, shape, rng, winograd_for_few_tiles):
    n, c, h, w, k = shape
    assert algorithm((k, c, 3, 3), (n, c, h, w), SAME) == "winograd"
    x, weight = rng.standard_normal((n, c, h, w)), rng.standard_normal((k, c, 3, 3))
    bias, gy = np.zeros(k), rng.standard_normal((n, k, h, w))
    x, weight, gy = (a.astype(np.float32).astype(np.float64) for a in (x, weight, gy))
    exact = convolution(x, weight, bias, lambda shape: gy, **SAME)
    got = convolution(*(a.astype(np.float32) for a in (x, weight, bias)), lambda shape: gy, **SAME)
    scale = sums_of_absolute_values(x, weight, gy)
    for name in PASSES:
        units = (abs(got[name] - exact[name]) / scale[name]).max() / 2**-24
        assert units < 4, f"{name}: {units:.1f} units in the last place of the sum of absolute values"


@pytest.mark.parametrize("shape", WINOGRAD, ids=str)
def test_winograd_is_exact_where_its_fractions_are(level, shape, rng, winograd_for_few_tiles):
    n, c, h, w, k = shape
    x, weight = integers(rng, (n, c, h, w)).clip(-1, 1), 576 * integers(rng, (k, c, 3, 3)).clip(-1, 1)
    gy = 576 * integers(rng, (n, k, h, w)).clip(-1, 1)
    bias = np.zeros(k, np.float32)
    exact = convolution(*(a.astype(np.float64) for a in (x, weight, bias)), lambda shape: gy, **SAME)
    got = convolution(x, weight, bias, lambda shape: gy, **SAME)
    assert np.array_equal(got["y"], exact["y"])
    assert np.array_equal(np.rint(got["gw"]), exact["gw"])  # sixths of sums are all but exact
    gy //= 576
    exact = convolution(*(a.astype(np.float64) for a in (x, weight, bias)), lambda shape: gy, **SAME)
    assert np.array_equal(convolution(x, weight, bias, lambda shape: gy, **SAME)["gx"], exact["gx"])


def test_the_highest_precision_sums_directly(native):
    set_conv_precision("highest")
    try:
        assert algorithm((32, 32, 3, 3), (1, 32, 32, 32), SAME) == "direct"
    finally:
        set_conv_precision("high")


# -- what holds for all of them --------------------------------------------------------------

KINDS = {
    "winograd": ((9, 16, 12, 12), (24, 16, 3, 3), SAME),
    "direct": ((9, 6, 14, 14), (16, 6, 5, 5), {**SAME, "padding": ((0, 0), (0, 0))}),
    "strided": ((5, 8, 16, 16), (12, 8, 3, 3), {**SAME, "stride": (2, 2)}),
    "depthwise": ((5, 12, 15, 17), (12, 1, 3, 3), {**SAME, "groups": 12}),
    "depthwise, short rows": ((5, 40, 9, 8), (40, 1, 3, 3), {**SAME, "groups": 40}),
    "depthwise, strided": ((5, 40, 16, 16), (40, 1, 3, 3), {**SAME, "stride": (2, 2), "groups": 40}),
    "one image": ((1, 16, 40, 40), (16, 16, 3, 3), SAME),
    "few channels": ((9, 3, 32, 32), (10, 3, 5, 5), {**SAME, "padding": ((2, 2), (2, 2))}),
    "one pixel": ((3, 40, 24, 24), (24, 40, 1, 1), {**SAME, "padding": ((0, 0), (0, 0))}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_the_same_for_any_number_of_threads(native, level, kind, rng):
    x_shape, w_shape, attrs = KINDS[kind]
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, w_shape, w_shape[:1]))
    results = []
    for threads in (1, 2, 3, 4, 8, 8):
        native.set_threads(threads)
        found = convolution(x, w, b, lambda shape: np.random.default_rng(1).standard_normal(shape), **attrs)
        results.append([array.tobytes() for array in found.values()])
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("kind", KINDS)
def test_a_relu_behind_is_a_relu(native, kind, rng):
    x_shape, w_shape, attrs = KINDS[kind]
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, w_shape, w_shape[:1]))
    y = conv2d.run([x, w, b], attrs)[0]
    rectified = np.empty_like(y)
    chosen = algorithm(w_shape, x_shape, attrs)
    native.conv_forward(rectified, x, w, b, algorithm=chosen, with_relu=True, **attrs)
    assert np.array_equal(rectified, np.maximum(y, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_residual_is_added_before_the_relu(native, level, kind, rng):
    x_shape, w_shape, attrs = KINDS[kind]
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, w_shape, w_shape[:1]))
    chosen = algorithm(w_shape, x_shape, attrs)
    y = conv2d.run([x, w, None], attrs)[0]
    residual, summed = rng.standard_normal(y.shape).astype(np.float32), np.empty_like(y)
    if chosen == "depthwise":
        with pytest.raises(ValueError, match="no residual"):
            native.conv_forward(summed, x, w, None, residual, algorithm=chosen, **attrs)
        return
    for with_relu in (False, True):
        native.conv_forward(summed, x, w, None, residual, algorithm=chosen, with_relu=with_relu, **attrs)
        assert np.array_equal(summed, np.maximum(y + residual, 0) if with_relu else y + residual)
        native.conv_forward(summed, x, w, b, residual, algorithm=chosen, with_relu=with_relu, **attrs)
        expected = y + b[:, None, None] + residual
        expected = np.maximum(expected, 0) if with_relu else expected
        np.testing.assert_allclose(summed, expected, rtol=0, atol=1e-5 * abs(expected).max())


def test_shapes_that_do_not_fit_are_refused(native):
    x, w, y = (np.zeros(s, np.float32) for s in ((1, 3, 8, 8), (4, 2, 3, 3), (1, 4, 6, 6)))
    plain = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    with pytest.raises(ValueError, match="channels"):
        native.conv_forward(y, x, w, None, algorithm="direct", **plain)
    with pytest.raises(ValueError, match="winograd does not take"):
        native.conv_forward(y, x, np.zeros((4, 3, 3, 3), np.float32), None, algorithm="winograd", **plain)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf], ids=str)
def test_winograd_spreads_what_is_not_finite_over_the_tiles_that_see_it_and_no_further(level, odd, rng):
    """To all of a tile of 4 x 4 results, and of the gradient to all weights of the two channels that meet."""
    x, w, gy = (
        rng.standard_normal(s).astype(np.float32) for s in ((2, 8, 14, 11), (9, 8, 3, 3), (2, 9, 14, 11))
    )
    tile_of = np.indices((14, 11)) // 4
    for which, (n, c, i, j) in itertools.product(
        range(2), [(0, 3, 0, 0), (1, 2, 5, 7), (1, 7, 13, 10), (0, 0, 8, 4)]
    ):
        arrays = [x, gy]
        arrays[which] = arrays[which].copy()
        arrays[which][n, c, i, j] = odd
        with np.errstate(invalid="ignore"):
            found, right = (
                convolution(images, kernels, None, lambda shape: arrays[1], **SAME)  # noqa: B023
                for images, kernels in ((arrays[0], w), (arrays[0].astype(np.float64), w.astype(np.float64)))
            )
        near = [np.isin(tile_of[k], np.arange(at - 1, at + 2) // 4) for k, at in enumerate((i, j))]
        reached = {name: np.zeros(found[name].shape, bool) for name in PASSES}
        reached["gx" if which else "y"][n] = near[0] & near[1]
        reached["gw"][(c,) if which else (slice(None), c)] = True
        for name in PASSES:
            a, b = found[name], right[name]
            assert not np.isfinite(a[~np.isfinite(b)]).any(), f"{name}: it is lost"
            assert np.isfinite(a[~reached[name]]).all(), f"{name}: it goes too far"
            both = np.isfinite(a) & np.isfinite(b)
            assert np.abs(a[both] - b[both]).max() < 1e-3


@pytest.mark.parametrize(
    ("algorithm", "weights", "changed", "reason"),
    [
        ("winograd", (4, 4, 5, 3), {}, "its kernel is 5 x 3, not 3 x 3"),
        ("winograd", (4, 4, 3, 3), {"stride": (1, 2)}, "its stride is 1 x 2, not 1"),
        ("winograd", (4, 4, 3, 3), {"dilation": (2, 2)}, "its dilation is 2 x 2, not 1"),
        ("winograd", (4, 2, 3, 3), {"groups": 2}, "it has 2 groups, not 1"),
        ("winograd", (4, 4, 3, 3), {"padding": ((0, 0), (0, 0))}, "its padding is 0, 0 x 0, 0, not 1"),
        ("winograd", (4, 4, 3, 3), {"padding": ((1, 2), (1, 0))}, "its padding is 1, 2 x 1, 0, not 1"),
        ("depthwise", (4, 2, 3, 3), {"groups": 2}, "its groups, channels in and channels out are 2, 4, 4"),
    ],
)
def test_an_algorithm_says_why_it_does_not_take_a_convolution(native, algorithm, weights, changed, reason):
    from minicnn.backends.native.conv import conv2d_native

    attrs = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1} | changed
    x, w = np.zeros((1, 4, 8, 8), np.float32), np.zeros(weights, np.float32)
    backends.reset_report()
    declined = conv2d_native.algorithms[algorithm](np, x, w, **attrs)
    assert f"{algorithm} does not take this convolution: {reason}" in declined.reason
    assert not kernels["conv2d"].counts("native").algorithms  # it served nothing


def test_an_algorithm_does_not_decline_a_call_that_is_wrong(native):
    from minicnn.backends.native.conv import conv2d_backward_native

    attrs = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    gy, x, w = (np.zeros(s, np.float32) for s in ((1, 4, 8, 8), (1, 3, 8, 8), (4, 5, 3, 3)))
    with pytest.raises(ValueError, match="channels of images, weights and results do not fit"):
        conv2d_backward_native.algorithms["direct"](np, gy, (x, w), (True, True), **attrs)


@pytest.mark.parametrize(
    ("layer", "algorithm"),
    [
        (nn.Conv2d(16, 16, 3, padding=1), "winograd"),
        (nn.Conv2d(16, 16, 1), "direct"),
        (nn.Conv2d(16, 16, 3, padding=1, groups=16), "depthwise"),
        (nn.ConvTranspose2d(16, 16, 3, padding=1), "winograd"),
    ],
    ids=["winograd", "direct", "depthwise", "transposed"],
)
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "fused"])
def test_the_report_says_which_algorithm_served(layer, algorithm, compiled, rng):
    x = minicnn.tensor(rng.standard_normal((2, 16, 12, 12)).astype(np.float32), requires_grad=True)

    class Block(nn.Module):
        def forward(self, x):
            return nn.functional.relu(layer(x) + x)

    model = minicnn.compile(Block()) if compiled else Block()
    backends.reset_report()
    model(x).sum().backward()
    rows = {name: facts["native"] for name, facts in backends.report().items() if name.startswith("conv")}
    forward, backward = sorted(rows)
    assert backward == f"{forward}.backward"
    assert ("_add_relu" in forward) == (compiled and isinstance(layer, nn.Conv2d))
    assert rows[forward]["algorithms"] == {algorithm: 1}
    assert rows[backward]["algorithms"] == {algorithm: 2}  # of the images, and of the weights
