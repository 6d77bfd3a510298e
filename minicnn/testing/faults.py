"""Wrong backward passes, as people write them: what a gradient check has to find.

Each entry replaces the backward of an operation by one with a typical mistake in it. The table of
who finds what is made by :mod:`minicnn.testing.power`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minicnn.ops  # noqa: F401 - so that every operation is registered

__all__ = ["CATALOGUE", "Fault"]

Wrong = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True)
class Fault:
    """One wrong backward.

    Attributes
    ----------
    operation : str
        The operation whose backward it replaces.
    shapes : list
        Of the inputs; arrays and None stand for themselves.
    attrs : dict
        Attributes of the call.
    ties : bool
        Whether the inputs are small integers, so that there are ties, and zeros.
    wrong : callable
        ``wrong(right, gy, saved, needs, **attrs)``, with ``right`` the true backward.
    """

    operation: str
    shapes: list[Any]
    attrs: dict[str, Any]
    ties: bool
    wrong: Wrong

    def inputs(self) -> list[Any]:
        """The inputs, always the same."""
        rng = np.random.default_rng(7)
        draw = (
            (lambda s: rng.integers(-1, 2, s).astype(float)) if self.ties else (lambda s: rng.normal(size=s))
        )
        return [draw(shape) if isinstance(shape, tuple) else shape for shape in self.shapes]


CONV = {"stride": (2, 1), "padding": ((1, 1), (0, 1)), "dilation": (1, 2), "groups": 1}
POOL = {"kernel_size": (2, 2), "stride": (2, 2), "padding": ((1, 1), (1, 1)), "ceil_mode": False}
AVERAGE = POOL | {"count_include_pad": False, "divisor_override": None}

CATALOGUE: dict[str, Fault] = {}


def fault(
    name: str, operation: str, shapes: list[Any], attrs: dict[str, Any] | None = None, ties: bool = False
) -> Callable[[Wrong], Wrong]:
    """Put the decorated ``wrong(right, gy, saved, needs, **attrs)`` into the catalogue."""

    def add(wrong: Wrong) -> Wrong:
        CATALOGUE[name] = Fault(operation, shapes, attrs or {}, ties, wrong)
        return wrong

    return add


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
        r, s = (rows >= 0) & (rows < h), (columns >= 0) & (columns < width)
        at = np.ix_(range(n), range(c), rows[r], columns[s])
        inside = g[:, :, :, r][..., s]
        tap = kernel[:, :, kh - 1 - p, kw - 1 - q] if bug == "flip" else kernel[:, :, p, q]
        tap = tap.reshape(groups, o // groups, per_group)
        gx[at] += np.einsum("ngohw,goc->ngchw", inside, tap).reshape(n, c, r.sum(), s.sum())
        seen = x[at].reshape(n, groups, per_group, r.sum(), s.sum())
        gw[:, :, p, q] = np.einsum("ngohw,ngchw->goc", inside, seen).reshape(o, per_group)
    over = (1, 2, 3) if bug == "bias over wrong axes" else (0, 2, 3)
    gb = gy.mean(over) if bug == "bias averaged" else gy.sum(over)
    return gx, gw.swapaxes(0, 1) if bug == "transposed" else gw, gb


def conv_fault(name, bug, groups=1):
    n, c, o = (3, 2, 3) if bug == "bias over wrong axes" else (3, 4, 4)

    @fault(name, "conv2d", [(n, c, 5, 6), (o, c // groups, 3, 2), (o,)], CONV | {"groups": groups})
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
scaled("exp: counted twice", "exp", [(3, 4)], 2.0)
scaled("cross_entropy: 1/N missing", "cross_entropy", [(4, 3), np.array([0, 2, 1, 1]), None], 4.0)


_buffer = np.zeros((2, 2, 3, 3))


@fault("conv2d: buffer not cleared between calls", "conv2d", [(2, 2, 4, 4), (2, 2, 3, 3), None])
def stale(right, gy, saved, needs, **attrs):
    gx, gw, *rest = right(np, gy, saved, needs, **attrs)
    _buffer[...] += gw
    return gx, _buffer.copy(), *rest


@fault("relu: incoming gradient overwritten", "relu", [(3, 4)])
def overwrites_gradient(right, gy, saved, needs):
    (gx,) = right(np, gy, saved, needs)
    gy[...] = gx
    return (gy,)


@fault("tanh: saved result overwritten", "tanh", [(3, 4)])
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
    x = CATALOGUE["amax: tie to all"].inputs()[0]
    return (gy * (x == x.max(1, keepdims=True)),)


@fault("maximum: tie to both", "maximum", [(3, 4), (3, 4)], ties=True)
def tie_to_both(right, gy, saved, needs):
    x, y = CATALOGUE["maximum: tie to both"].inputs()
    return gy * (x >= y), gy * (y >= x)


@fault("maximum: tie to none", "maximum", [(3, 4), (3, 4)], ties=True)
def tie_to_neither(right, gy, saved, needs):
    x, y = CATALOGUE["maximum: tie to none"].inputs()
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


@fault("clip: gradient outside the bounds", "clip", [(3, 4), np.array(-0.5), np.array(0.5)])
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


@fault("pick: repeated index counted once", "pick", [(4, 3)], {"index": (np.array([1, 1, 2]),)})
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
