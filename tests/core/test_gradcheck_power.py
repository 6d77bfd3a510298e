"""The power of the gradient check: a catalogue of wrong backward passes, by our rule and by others'.

``python tests/core/test_gradcheck_power.py`` prints the table that the documentation shows.
"""

import numpy as np
import pytest

import minicnn.nn.functional  # noqa: F401 - so that every operation is registered
from minicnn.core.flat import FlatFunction
from minicnn.core.gradcheck import gradcheck
from minicnn.core.op import ops
from minicnn.errors import GradError
from minicnn.testing import op_registry

CONV = {"stride": (2, 1), "padding": ((1, 1), (0, 1)), "dilation": (1, 2), "groups": 1}
POOL = {"kernel_size": (2, 2), "stride": (2, 2), "padding": ((1, 1), (1, 1)), "ceil_mode": False}
AVERAGE = POOL | {"count_include_pad": False, "divisor_override": None}
CATALOGUE = {}  # by name: operation, inputs, attributes, wrong backward


def fault(name, operation, shapes, attrs=None, ties=False):
    """Put the decorated ``wrong(right, gy, saved, needs, **attrs)`` into the catalogue."""

    def add(wrong):
        CATALOGUE[name] = (operation, shapes, attrs or {}, ties, wrong)
        return wrong

    return add


def inputs_of(name):
    """The inputs of an entry: random numbers, or small integers where ties are the point."""
    _, shapes, _, ties, _ = CATALOGUE[name]
    rng = np.random.default_rng(7)
    draw = (lambda s: rng.integers(-1, 2, s).astype(float)) if ties else (lambda s: rng.normal(size=s))
    return [draw(shape) if isinstance(shape, tuple) else shape for shape in shapes]


def scaled(name, operation, shapes, factor, position=0, attrs=None):
    """A wrong factor on one operand's gradient."""

    @fault(name, operation, shapes, attrs)
    def wrong(right, gy, saved, needs, **attrs):
        gradients = list(right(np, gy, saved, needs, **attrs))
        gradients[position] = gradients[position] * factor
        return tuple(gradients)


def conv_by_taps(gy, saved, needs, bug, *, stride, padding, dilation, groups):
    """A convolution's backward tap by tap, with one bug in it."""
    x, w = saved
    (n, c, h, width), (o, per_group, kh, kw) = x.shape, w.shape
    (sh, sw), (dh, dw) = stride, dilation
    if bug == "stride":
        sh = sw = 1
    if bug == "dilation":
        dh = dw = 1
    top, left = padding[0][0] + (bug == "padding"), padding[1][0]
    i, j = np.arange(gy.shape[2]), np.arange(gy.shape[3])
    gx, gw = np.zeros_like(x), np.zeros_like(w)
    kernel = np.roll(w, o // groups, axis=0) if bug == "groups" else w
    g = gy.reshape(n, groups, o // groups, *gy.shape[2:])
    for p, q in np.ndindex(kh, kw):
        rows, columns = sh * i + dh * p - top, sw * j + dw * q - left
        r, s = (0 <= rows) & (rows < h), (0 <= columns) & (columns < width)
        at = np.ix_(range(n), range(c), rows[r], columns[s])
        inside = g[:, :, :, r][..., s]
        tap = kernel[:, :, kh - 1 - p, kw - 1 - q] if bug == "flip" else kernel[:, :, p, q]
        tap = tap.reshape(groups, o // groups, per_group)
        gx[at] += np.einsum("ngohw,goc->ngchw", inside, tap).reshape(n, c, r.sum(), s.sum())
        seen = x[at].reshape(n, groups, per_group, r.sum(), s.sum())
        gw[:, :, p, q] = np.einsum("ngohw,ngchw->goc", inside, seen).reshape(o, per_group)
    gb = {"bias over wrong axes": gy.sum((1, 2, 3)), "bias averaged": gy.mean((0, 2, 3))}.get(
        bug, gy.sum((0, 2, 3))
    )
    return gx, gw.swapaxes(0, 1) if bug == "transposed" else gw, gb


def conv_fault(name, bug, groups=1):
    shapes = (
        [(3, 4, 5, 6), (4, 4 // groups, 3, 2), (4,)]
        if bug != "bias over wrong axes"
        else [(3, 2, 5, 6), (3, 2, 3, 2), (3,)]
    )

    @fault(name, "conv2d", shapes, CONV | {"groups": groups})
    def wrong(right, gy, saved, needs, **attrs):
        return conv_by_taps(gy, saved, needs, bug, **attrs)


conv_fault("conv2d: kernel flipped in dL/dx", "flip")
conv_fault("conv2d: stride ignored", "stride")
conv_fault("conv2d: padding off by one", "padding")
conv_fault("conv2d: dilation ignored", "dilation")
conv_fault("conv2d: groups mixed in dL/dx", "groups", groups=2)
conv_fault("conv2d: dL/dw transposed (C = O)", "transposed")
conv_fault("conv2d: bias summed over the wrong axes (N = O)", "bias over wrong axes")
conv_fault("conv2d: bias averaged instead of summed", "bias averaged")
scaled("conv2d: dL/dw wrong by 0.05 %", "conv2d", [(2, 2, 4, 4), (2, 2, 3, 3), None], 1.0005, 1)
scaled("linear: dL/dx wrong by 0.001 %", "linear", [(3, 4), (2, 4), (2,)], 1.00001)
scaled("mean: 1/N missing", "mean", [(3, 4)], 12.0, attrs={"dim": (0, 1), "keepdim": False})
scaled("sub: sign of the second operand", "sub", [(3, 4), (3, 4)], -1.0, 1)
scaled("sqrt: factor 1/2 missing", "exp", [(3, 4)], 2.0)
scaled("cross_entropy: 1/N missing", "cross_entropy", [(4, 3), np.array([0, 2, 1, 1]), None], 4.0)


@fault("conv2d: buffer not cleared between calls", "conv2d", [(2, 2, 4, 4), (2, 2, 3, 3), None])
def stale(right, gy, saved, needs, buffer=[], **attrs):  # noqa: B006 - the stale buffer is the fault
    gradients = list(right(np, gy, saved, needs, **attrs))
    if buffer and buffer[0].shape == gradients[1].shape:
        gradients[1] = gradients[1] + buffer[0]
    buffer[:] = [gradients[1]]
    return tuple(gradients)


@fault("relu: incoming gradient overwritten", "relu", [(3, 4)])
def overwrites_gradient(right, gy, saved, needs):
    (gx,) = right(np, gy, saved, needs)
    gy[...] = gx
    return (gy,)


@fault("relu: input overwritten in place", "tanh", [(3, 4)])
def overwrites_saved(right, gy, saved, needs):
    (y,) = saved
    gradients = right(np, gy, saved, needs)
    y[...] = 0
    return gradients


def window_fault(name, change):
    @fault(name, "max_pool2d", [(2, 2, 4, 4)], POOL | {"dilation": (1, 1)}, ties=True)
    def wrong(right, gy, saved, needs, **attrs):
        return change(right, gy, saved, needs, attrs)


window_fault(
    "max_pool2d: tie to none",
    lambda right, gy, saved, needs, a: (right(np, gy * (saved[0] > 0), saved, needs, **a)[0],),
)
window_fault(
    "max_pool2d: window off by one",
    lambda right, gy, saved, needs, a: (np.roll(right(np, gy, saved, needs, **a)[0], 1, 3),),
)
window_fault(
    "max_pool2d: gradient of one image for all",
    lambda right, gy, saved, needs, a: (right(np, gy[:1].repeat(2, 0), saved, needs, **a)[0],),
)


@fault("amax: tie to all", "amax", [(3, 5)], {"dim": (1,), "keepdim": True}, ties=True)
def tie_to_all(right, gy, saved, needs, **attrs):
    x = inputs_of("amax: tie to all")[0]
    return (gy * (x == x.max(1, keepdims=True)),)


@fault("maximum: tie to both", "maximum", [(3, 4), (3, 4)], ties=True)
def tie_to_both(right, gy, saved, needs):
    x, y = inputs_of("maximum: tie to both")
    return gy * (x >= y), gy * (y >= x)


@fault("maximum: tie to none", "maximum", [(3, 4), (3, 4)], ties=True)
def tie_to_neither(right, gy, saved, needs):
    x, y = inputs_of("maximum: tie to none")
    return gy * (x > y), gy * (y > x)


@fault("avg_pool2d: padding counted at a border", "avg_pool2d", [(1, 2, 4, 4)], AVERAGE)
def wrong_count(right, gy, saved, needs, **attrs):
    return right(np, gy, saved, needs, **(attrs | {"count_include_pad": True}))


@fault("batch_norm: mean taken as constant", "batch_norm", [(3, 2, 4), (2,), (2,)], {"eps": 1e-5})
def constant_mean(right, gy, saved, needs, *, eps):
    x, mean, var, w = saved
    rstd = 1 / np.sqrt(var + eps)[:, None]
    centred = (x - mean[:, None]) * rstd
    g = gy * w[:, None]
    return (
        rstd * (g - centred * (g * centred).mean((0, 2), keepdims=True)),
        *right(np, gy, saved, needs, eps=eps)[1:],
    )


@fault("batch_norm: variance taken as constant", "batch_norm", [(3, 2, 4), (2,), (2,)], {"eps": 1e-5})
def constant_variance(right, gy, saved, needs, *, eps):
    x, mean, var, w = saved
    g = gy * w[:, None]
    gx = (g - g.mean((0, 2), keepdims=True)) / np.sqrt(var + eps)[:, None]
    return (gx, *right(np, gy, saved, needs, eps=eps)[1:])


@fault("batch_norm: eps left out of the gradient", "batch_norm", [(3, 2, 4), (2,), (2,)], {"eps": 1e-5})
def no_eps(right, gy, saved, needs, *, eps):
    return right(np, gy, saved, needs, eps=0.0)


@fault(
    "layer_norm: 1/(n-1) for 1/n", "layer_norm", [(3, 5), (5,), (5,)], {"normalized_shape": (5,), "eps": 1e-5}
)
def sample_variance(right, gy, saved, needs, **attrs):
    x, mean, var, w = saved
    return right(np, gy, (x, mean, var * 5 / 4, w), needs, **attrs)


@fault("softmax: sum over classes missing", "softmax", [(3, 4)], {"dim": 1})
def softmax_diagonal(right, gy, saved, needs, **attrs):
    (y,) = saved
    return (gy * y * (1 - y),)


@fault(
    "cross_entropy: label smoothing ignored",
    "cross_entropy",
    [(4, 3), np.array([0, 2, 1, 1]), None],
    {"label_smoothing": 0.1},
)
def no_smoothing(right, gy, saved, needs, **attrs):
    return right(np, gy, saved, needs, **(attrs | {"label_smoothing": 0.0}))


@fault("sigmoid: y (1 + y) for y (1 - y)", "sigmoid", [(3, 4)])
def sigmoid_sign(right, gy, saved, needs):
    return (gy * saved[0] * (1 + saved[0]),)


@fault("tanh: 1 - y for 1 - y²", "tanh", [(3, 4)])
def tanh_power(right, gy, saved, needs):
    return (gy * (1 - saved[0]),)


@fault("gelu: slope of the approximation", "gelu", [(3, 4)], {"approximate": "none"})
def gelu_approximation(right, gy, saved, needs, **attrs):
    return right(np, gy, saved, needs, approximate="tanh")


@fault("leaky_relu: slope on the wrong side", "leaky_relu", [(3, 4)], {"negative_slope": 0.1})
def wrong_side(right, gy, saved, needs, *, negative_slope):
    return (gy * np.where(saved[0] < 0, 1.0, negative_slope),)


@fault("clip: gradient outside the bounds", "clip", [(3, 4)], {"min": -0.5, "max": 0.5})
def clip_open(right, gy, saved, needs, **attrs):
    return (gy,)


@fault("add: broadcast averaged instead of summed", "add", [(3, 4), (4,)])
def broadcast_averaged(right, gy, saved, needs):
    return gy, gy.mean(0)


@fault("add: broadcast not reduced", "add", [(3, 4), (4,)])
def broadcast_kept(right, gy, saved, needs):
    return gy, gy


@fault("permute: inverse permutation mistaken", "permute", [(2, 2, 2)], {"dim": (1, 2, 0)})
def permuted_again(right, gy, saved, needs, *, dim):
    return (gy.transpose(dim),)


@fault("getitem: repeated index counted once", "getitem", [(4, 3)], {"index": (np.array([1, 1, 2]),)})
def index_once(right, gy, saved, needs, *, index):
    gx = np.zeros((4, 3))
    gx[index] = gy
    return (gx,)


@fault("dropout: another mask in backward", "dropout", [(3, 4)], {"p": 0.5, "seed": 1, "channelwise": False})
def other_mask(right, gy, saved, needs, **attrs):
    return right(np, gy, (saved[0][::-1],), needs, **attrs)


@fault("var: divisor n for n - 1", "var", [(3, 4)], {"dim": (0, 1), "correction": 1, "keepdim": False})
def population(right, gy, saved, needs, **attrs):
    return right(np, gy, saved, needs, **(attrs | {"correction": 0}))


@fault("abs: sign(0) = 1 (a valid choice on the kink)", "abs", [(3, 4)], ties=True)
def sign_of_zero(right, gy, saved, needs):
    return (gy * np.where(saved[0] >= 0, 1.0, -1.0),)


@fault("matmul: computed in float16", "matmul", [(3, 4), (4, 2)])
def half_precision(right, gy, saved, needs):
    return tuple(g.astype(np.float16).astype(float) for g in right(np, gy, saved, needs))


def ours(function, inputs, attrs):
    return not gradcheck(function, inputs, attrs=attrs, raise_exception=False)


def by_rule(function, inputs, attrs, *, h, atol, rtol, directions):
    """Central differences with a fixed step, by element or along unit directions; the Σ of all results."""
    f = FlatFunction(function, inputs, attrs, None, np.float64)
    x = f.start
    u = np.random.default_rng(3).normal(size=(1, f.value(x).size))
    analytic = f.gradients(x, u)[0]
    for d in directions(x.size):
        numeric = u[0] @ (f.value(x + h * d) - f.value(x - h * d)) / (2 * h)
        if not abs(numeric - analytic @ d) <= atol + rtol * abs(numeric):
            return True
    return False


def one_element(size):
    return np.eye(size)[np.random.default_rng(5).integers(size)][None]


def one_direction(size):
    d = np.random.default_rng(5).normal(size=(1, size))
    return d / np.linalg.norm(d)


RULES = {
    "minicnn": ours,
    "every element, step 1e-6, 1e-5 + 1e-3": lambda *a: by_rule(
        *a, h=1e-6, atol=1e-5, rtol=1e-3, directions=np.eye
    ),
    "one direction, step 1e-4, 1e-5": lambda *a: by_rule(
        *a, h=1e-4, atol=1e-5, rtol=1e-5, directions=one_direction
    ),
    "one element, step 1e-6, 1e-2": lambda *a: by_rule(
        *a, h=1e-6, atol=1e-2, rtol=1e-2, directions=one_element
    ),
}


def is_caught(name, rule):
    """Whether a rule finds the entry's fault; the right backward passes it before."""
    operation, _, attrs, _, wrong = CATALOGUE[name]
    op, inputs = ops[operation], inputs_of(name)
    right = op.backward_kernel.reference
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            op.backward_kernel,
            "reference",
            lambda xp, gy, saved, needs, **a: wrong(right, gy, saved, needs, **a),
        )
        try:
            return bool(rule(op, inputs, attrs))
        except GradError:
            return True


def test_at_least_95_percent_of_the_catalogue_are_caught():
    missed = [name for name in CATALOGUE if not is_caught(name, ours)]
    assert len(CATALOGUE) >= 24
    assert missed == ["abs: sign(0) = 1 (a valid choice on the kink)"]
    assert len(missed) <= 0.05 * len(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_right_backward_of_an_entry_passes(name):
    operation, _, attrs, _, _ = CATALOGUE[name]
    assert gradcheck(ops[operation], inputs_of(name), attrs=attrs)


def test_weaker_rules_miss_more():
    caught = {rule: sum(is_caught(name, function) for name in CATALOGUE) for rule, function in RULES.items()}
    assert max(caught, key=caught.get) == "minicnn"
    assert caught["one element, step 1e-6, 1e-2"] < caught["minicnn"] / 2


def test_no_false_alarm_on_a_thousand_right_configurations():
    configurations, alarms, seed = 0, [], 1
    while configurations < 1000:
        for case in op_registry().values():
            for sample in case.samples(np.random.default_rng(seed)) if case.differentiable else ():
                arrays = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in sample.inputs]
                wrt = [i for i, is_float in enumerate(arrays) if is_float and i not in case.constant]
                if wrt:
                    configurations += 1
                    report = gradcheck(
                        case.function,
                        sample.inputs,
                        attrs=sample.attrs,
                        wrt=wrt,
                        seed=seed,
                        raise_exception=False,
                    )
                    alarms += [] if report.ok else [f"{case.name} {seed}: {report.summary()}"]
        seed += 1
    assert alarms == []


@pytest.mark.parametrize(
    "operation", ["relu", "abs", "maximum", "minimum", "amax", "amin", "clip", "hardtanh", "max_pool2d"]
)
def test_no_false_alarm_on_ties_and_kinks(operation):
    attrs = {
        "amax": {"dim": (1,), "keepdim": False},
        "max_pool2d": POOL | {"dilation": (1, 1)},
        "clip": {"min": -1.0, "max": 1.0},
    }
    attrs["amin"] = attrs["amax"]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        count = 2 if operation in ("maximum", "minimum") else 1
        inputs = [rng.integers(-2, 3, (1, 2, 4, 4)).astype(float) for _ in range(count)]
        assert gradcheck(ops[operation], inputs, attrs=attrs.get(operation), seed=seed)


if __name__ == "__main__":
    print("| wrong backward | " + " | ".join(RULES) + " |\n|---" + "|---" * len(RULES) + "|")
    for entry in CATALOGUE:
        print(
            f"| {entry} | "
            + " | ".join("caught" if is_caught(entry, r) else "**missed**" for r in RULES.values())
            + " |"
        )
