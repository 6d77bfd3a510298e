"""Convolution (F1) and its transpose: three loops, those of ``ops/conv.py``.

With plain loops over i and j the innermost one would have OW turns, too few for small images. So each
image is one run of pixels here, its rows of WS pixels one behind the other, and the innermost loop goes
over t = i·WS + j. Every output pixel t sees through the tap (p, q) of the kernel the pixel at the same
distance from it::

    x[n, c, S·i + D·p - P, S·j + D·q - P] = seen[t],   seen = x[n, c, phase (p, q)] from there on

With a stride of S, every S-th row and column make an image of their own, a phase; the tap chooses which
(:meth:`Runs.to_phases`). At the end of each row of outputs stand WS - OW numbers too many: in results they
are dropped, in gradients they are zero.

Four channels are computed together, so that a number they share is loaded once for four products.
Where fewer are left, the last channel takes the places left over.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from minicnn.backends.numba.arrays import not_one_float_type, one_run
from minicnn.backends.numba.parallel import parallel
from minicnn.core.dispatch import Declined
from minicnn.ops.conv import conv2d, conv_transpose2d
from minicnn.ops.rules import total
from minicnn.ops.windows import output_sizes

__all__ = ["correlate", "spread", "weight_gradient"]

VECTOR = 32  # lengths are rounded up to this, or the compiled loop ends with single numbers

# The zeros at the end of each row times an infinity would be NaN, and reach pixels of the next row.
NOT_FINITE = Declined("a weight is not finite; the kernel that spreads outputs is for finite ones")


# -- the three maps --------------------------------------------------------------------------


@parallel
def correlate(y, x, w, b, dilation, groups, width, length):
    """y[n,o,i,j] = b[o] + Σ_{c,p,q} w[o,c,p,q] · x[n, c, S·i + D·p - P, S·j + D·q - P]."""
    N, O, OH, OW = y.shape
    _, CG, KH, KW = w.shape  # CG and OG: channels and outputs of one group
    SH, SW, OG = x.shape[2], x.shape[3], O // groups
    for n in prange(N):
        z = np.empty((4, length), y.dtype)
        z0, z1, z2, z3 = z[0], z[1], z[2], z[3]
        for g in range(groups):
            last = (g + 1) * OG - 1
            for o in range(g * OG, last + 1, 4):
                o1, o2, o3 = min(o + 1, last), min(o + 2, last), min(o + 3, last)
                for t in range(length):
                    z0[t], z1[t], z2[t], z3[t] = b[o], b[o1], b[o2], b[o3]
                for c in range(CG):
                    for p in range(KH):
                        for q in range(KW):
                            down, right = dilation[0] * p, dilation[1] * q
                            start = down // SH * width + right // SW
                            seen = x[n, g * CG + c, down % SH, right % SW, start:]
                            w0, w1, w2, w3 = w[o, c, p, q], w[o1, c, p, q], w[o2, c, p, q], w[o3, c, p, q]
                            for t in range(length):
                                z0[t] += w0 * seen[t]
                                z1[t] += w1 * seen[t]
                                z2[t] += w2 * seen[t]
                                z3[t] += w3 * seen[t]
                for k in range(min(4, last + 1 - o)):
                    for i in range(OH):
                        for j in range(OW):
                            y[n, o + k, i, j] = z[k, i * width + j]


@parallel
def spread(x, y, w, dilation, groups, width):
    """x[n, c, S·i + D·p - P, S·j + D·q - P] = Σ w[o,c,p,q] · y[n,o,i,j]   over o, p, q, i, j."""
    N, O, length = y.shape
    _, CG, KH, KW = w.shape
    SH, SW, OG = x.shape[2], x.shape[3], O // groups
    for n in prange(N):
        for g in range(groups):
            last = CG - 1
            for c in range(0, CG, 4):
                c1, c2, c3 = min(c + 1, last), min(c + 2, last), min(c + 3, last)
                z = np.zeros((4, SH, SW, x.shape[4]), x.dtype)
                for o in range(g * OG, (g + 1) * OG):
                    gy = y[n, o]
                    for p in range(KH):
                        for q in range(KW):
                            down, right = dilation[0] * p, dilation[1] * q
                            start = down // SH * width + right // SW
                            seen = z[:, down % SH, right % SW, start:]
                            z0, z1, z2, z3 = seen[0], seen[1], seen[2], seen[3]
                            w0, w1, w2, w3 = w[o, c, p, q], w[o, c1, p, q], w[o, c2, p, q], w[o, c3, p, q]
                            for t in range(length):
                                z0[t] += w0 * gy[t]
                                z1[t] += w1 * gy[t]
                                z2[t] += w2 * gy[t]
                                z3[t] += w3 * gy[t]
                for k in range(min(4, CG - c)):
                    for a in range(SH):
                        for b in range(SW):
                            for t in range(x.shape[4]):
                                x[n, g * CG + c + k, a, b, t] = z[k, a, b, t]


@parallel
def weight_gradient(w, y, x, dilation, groups, width, out):
    """w[o,c,p,q] = Σ_{n,i,j} y[n,o,i,j] · x[n, c, S·i + D·p - P, S·j + D·q - P].

    For each t the sum over n, then the sum over t: the other way round no vectors could be made, for a
    sum must keep its order. That sum passes over the numbers at the end of each row: y has no pixel there
    but a 0, and 0 times an infinity of x would be NaN.
    """
    N, O, length = y.shape
    _, CG, KH, KW = w.shape
    SH, SW, OG, zero = x.shape[2], x.shape[3], O // groups, w.dtype.type(0)
    for channel in prange(x.shape[1]):
        g, c = channel // CG, channel % CG
        z = np.empty((4, length), w.dtype)
        z0, z1, z2, z3 = z[0], z[1], z[2], z[3]
        last = (g + 1) * OG - 1
        for o in range(g * OG, last + 1, 4):
            o1, o2, o3 = min(o + 1, last), min(o + 2, last), min(o + 3, last)
            for p in range(KH):
                for q in range(KW):
                    down, right = dilation[0] * p, dilation[1] * q
                    start = down // SH * width + right // SW
                    for t in range(length):
                        z0[t], z1[t], z2[t], z3[t] = zero, zero, zero, zero
                    for n in range(N):
                        seen = x[n, channel, down % SH, right % SW, start:]
                        y0, y1, y2, y3 = y[n, o], y[n, o1], y[n, o2], y[n, o3]
                        for t in range(length):
                            z0[t] += y0[t] * seen[t]
                            z1[t] += y1[t] * seen[t]
                            z2[t] += y2[t] * seen[t]
                            z3[t] += y3[t] * seen[t]
                    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
                    for i in range(out[0]):
                        for t in range(i * width, i * width + out[1]):
                            s0, s1, s2, s3 = s0 + z0[t], s1 + z1[t], s2 + z2[t], s3 + z3[t]
                    w[o, c, p, q], w[o1, c, p, q], w[o2, c, p, q], w[o3, c, p, q] = s0, s1, s2, s3


# -- images as runs of pixels ----------------------------------------------------------------


class Runs:
    """Where the pixels of images (H, W) and of outputs (OH, OW) stand in their runs."""

    def __init__(self, size, out, kernel_size, stride, padding, dilation):
        self.size, self.out, self.stride, self.padding, self.dilation = size, out, stride, padding, dilation
        reach = [d * (k - 1) // s for d, k, s in zip(dilation, kernel_size, stride, strict=True)]
        self.height, self.width = out[0] + reach[0], out[1] + reach[1]  # of a phase
        self.length = -(-out[0] * self.width // VECTOR) * VECTOR
        self.seen = reach[0] * self.width + reach[1] + self.length

    def to_phases(self, x):
        """phases[n, c, a, b, i·WS + j] = x[n, c, S·i + a - P, S·j + b - P], zero outside the image."""
        runs = np.zeros((*x.shape[:2], *self.stride, self.seen), x.dtype)
        for phase, image in self._pairs(runs):
            phase[...] = x[image]
        return runs

    def from_phases(self, runs):
        """The images whose pixels stand in such runs."""
        x = np.zeros((*runs.shape[:2], *self.size), runs.dtype)
        for phase, image in self._pairs(runs):
            x[image] = phase
        return x

    def _pairs(self, runs):
        """For each phase the part of it that lies in the image, and the index of these pixels there."""
        phases = runs[..., : self.height * self.width].reshape(*runs.shape[:4], self.height, self.width)
        for a, (rows, image_rows) in enumerate(self._lines(0, self.height)):
            for b, (columns, image_columns) in enumerate(self._lines(1, self.width)):
                yield phases[:, :, a, b, rows, columns], (..., image_rows, image_columns)

    def _lines(self, axis, count):
        """For each phase: which of its ``count`` lines lie in the image, and which lines these are there."""
        step, before, size = self.stride[axis], self.padding[axis][0], self.size[axis]
        for phase in range(step):
            first = max(0, -((phase - before) // step))
            start = step * first + phase - before
            inside = max(0, min(count - first, -((start - size) // step)))
            yield slice(first, first + inside), slice(start, start + step * inside, step)

    def to_outputs(self, y):
        """Outputs (N, O, OH, OW) as runs, zero where there is none."""
        runs = np.zeros((*y.shape[:2], self.length), y.dtype)
        rows = runs[..., : self.out[0] * self.width].reshape(*y.shape[:3], self.width)
        rows[..., : self.out[1]] = y
        return runs


# -- the operations --------------------------------------------------------------------------


def _correlate(runs, x, w, b, groups):
    """y = W · im2col(x) + b."""
    y = np.empty((len(x), len(w), *runs.out), x.dtype)
    b = np.zeros(len(w), x.dtype) if b is None else one_run(b)
    correlate(y, runs.to_phases(x), one_run(w), b, runs.dilation, groups, runs.width, runs.length)
    return y


def _spread(runs, y, w, groups):
    """x = col2im(Wᵀ · y)."""
    x = np.empty((len(y), w.shape[1] * groups, *runs.stride, runs.seen), y.dtype)
    spread(x, runs.to_outputs(y), one_run(w), runs.dilation, groups, runs.width)
    return runs.from_phases(x)


def _weight_gradient(runs, y, x, shape, groups):
    """w = y · im2col(x)ᵀ."""
    w = np.empty(shape, y.dtype)
    weight_gradient(w, runs.to_outputs(y), runs.to_phases(x), runs.dilation, groups, runs.width, runs.out)
    return w


@conv2d.forward_kernel.overlay("numba")
def conv2d_numba(xp, x, w, b=None, *, stride, padding, dilation, groups):
    declined = not_one_float_type(x, w, b)
    if declined:
        return declined
    out = output_sizes(x.shape, w.shape[2:], stride, padding, dilation)
    runs = Runs(x.shape[2:], out, w.shape[2:], stride, padding, dilation)
    return _correlate(runs, x, w, b, groups), (x, w)


@conv2d.backward_kernel.overlay("numba")
def conv2d_backward_numba(xp, gy, saved, needs, *, stride, padding, dilation, groups):
    x, w = saved
    declined = not_one_float_type(gy, x, w)
    if declined:
        return declined
    if needs[0] and not np.isfinite(w).all():
        return NOT_FINITE
    runs = Runs(x.shape[2:], gy.shape[2:], w.shape[2:], stride, padding, dilation)
    gx = _spread(runs, gy, w, groups) if needs[0] else None
    gw = _weight_gradient(runs, gy, x, w.shape, groups) if needs[1] else None
    gb = total(xp, gy, (0, 2, 3)) if len(needs) > 2 and needs[2] else None
    return (gx, gw, gb)[: len(needs)]


@conv_transpose2d.forward_kernel.overlay("numba")
def conv_transpose2d_numba(xp, x, w, b=None, *, stride, padding, output_padding, dilation, groups):
    declined = not_one_float_type(x, w, b)
    if declined:
        return declined
    if not np.isfinite(w).all():
        return NOT_FINITE
    size = conv_transpose2d.output_shape(
        x,
        w,
        b,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        groups=groups,
    )[2:]
    runs = Runs(size, x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = _spread(runs, x, w, groups)
    if b is not None:
        y += b[:, None, None]
    return y, (x, w)


@conv_transpose2d.backward_kernel.overlay("numba")
def conv_transpose2d_backward_numba(
    xp, gy, saved, needs, *, stride, padding, output_padding, dilation, groups
):
    x, w = saved
    declined = not_one_float_type(gy, x, w)
    if declined:
        return declined
    runs = Runs(gy.shape[2:], x.shape[2:], w.shape[2:], stride, padding, dilation)
    gx = _correlate(runs, gy, w, None, groups) if needs[0] else None
    gw = _weight_gradient(runs, x, gy, w.shape, groups) if needs[1] else None
    gb = total(xp, gy, (0, 2, 3)) if len(needs) > 2 and needs[2] else None
    return (gx, gw, gb)[: len(needs)]
