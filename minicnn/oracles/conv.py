"""Convolution in literal loops: one function per formula, float64, nothing shared with the operations."""

from __future__ import annotations

from itertools import product

import numpy as np

__all__ = [
    "conv2d",
    "conv2d_bias_gradient",
    "conv2d_input_gradient",
    "conv2d_weight_gradient",
    "conv_transpose2d",
    "literal_convolution",
]


def literal_convolution(x, w, b):
    """The article's formula (§3.1), read literally: one channel, and a bias per output row (F1).

        y_ij = Σ_{k=1..K} Σ_{l=1..L} x_{i-k+1, j-l+1} · w_kl + b_i,   i = 1..H, j = 1..W

    Pixels outside the image, which the formula asks for at the top and left, count as zero.

    Parameters
    ----------
    x : (H, W)
    w : (K, L)
    b : (H,)

    Returns
    -------
    y : (H, W)

    Examples
    --------
    >>> literal_convolution(np.array([[1.0, 2.0, 4.0]]), np.array([[1.0, -1.0]]), np.zeros(1))
    array([[1., 1., 2.]])
    """
    height, width = x.shape
    y = np.zeros((height, width))
    for i, j in product(range(1, height + 1), range(1, width + 1)):
        total = 0.0
        for k, l in product(range(1, w.shape[0] + 1), range(1, w.shape[1] + 1)):
            row, column = i - k + 1, j - l + 1
            if row >= 1 and column >= 1:
                total += x[row - 1, column - 1] * w[k - 1, l - 1]
        y[i - 1, j - 1] = total + b[i - 1]
    return y


def conv2d(x, w, b=None, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    """Convolution as frameworks have it: correlation over the channels of a group, a bias per channel.

        y[n,o,i,j] = b[o] + Σ_{c,p,q} w[o,c,p,q] · x[n, c, S·i + D·p - P, S·j + D·q - P]

    Parameters
    ----------
    x : (N, C, H, W)
    w : (O, C/groups, KH, KW)
    b : (O,) or None
    stride, dilation : (int, int)
    padding : ((top, bottom), (left, right))
    groups : int

    Returns
    -------
    y : (N, O, OH, OW)
    """
    outputs, per_group, kernel_h, kernel_w = w.shape
    y = np.zeros((x.shape[0], outputs, *_size(x.shape, w.shape, stride, padding, dilation)))
    for n, o, i, j in np.ndindex(y.shape):
        first_channel = o // (outputs // groups) * per_group
        total = 0.0 if b is None else float(b[o])
        for c, p, q in product(range(per_group), range(kernel_h), range(kernel_w)):
            row = stride[0] * i + dilation[0] * p - padding[0][0]
            column = stride[1] * j + dilation[1] * q - padding[1][0]
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                total += float(w[o, c, p, q]) * float(x[n, first_channel + c, row, column])
        y[n, o, i, j] = total
    return y


def conv2d_input_gradient(gy, x, w, *, stride, padding, dilation, groups):
    """dL/dx: each pixel collects from every window that saw it.

    gx[n,c,r,s] = Σ_{o,i,j,p,q} w[o,c,p,q] · gy[n,o,i,j]   where S·i + D·p - P = r, S·j + D·q - P = s
    """
    outputs, per_group, kernel_h, kernel_w = w.shape
    gx = np.zeros(x.shape)
    for n, o, i, j in np.ndindex(gy.shape):
        first_channel = o // (outputs // groups) * per_group
        for c, p, q in product(range(per_group), range(kernel_h), range(kernel_w)):
            row = stride[0] * i + dilation[0] * p - padding[0][0]
            column = stride[1] * j + dilation[1] * q - padding[1][0]
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                gx[n, first_channel + c, row, column] += float(w[o, c, p, q]) * float(gy[n, o, i, j])
    return gx


def conv2d_weight_gradient(gy, x, w, *, stride, padding, dilation, groups):
    """dL/dw: each weight collects over all positions of its window.

    gw[o,c,p,q] = Σ_{n,i,j} gy[n,o,i,j] · x[n, c, S·i + D·p - P, S·j + D·q - P]
    """
    outputs, per_group = w.shape[:2]
    gw = np.zeros(w.shape)
    for o, c, p, q in np.ndindex(w.shape):
        channel = o // (outputs // groups) * per_group + c
        for n, i, j in product(range(gy.shape[0]), range(gy.shape[2]), range(gy.shape[3])):
            row = stride[0] * i + dilation[0] * p - padding[0][0]
            column = stride[1] * j + dilation[1] * q - padding[1][0]
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                gw[o, c, p, q] += float(gy[n, o, i, j]) * float(x[n, channel, row, column])
    return gw


def conv2d_bias_gradient(gy):
    """dL/db:  gb[o] = Σ_{n,i,j} gy[n,o,i,j]."""
    gb = np.zeros(gy.shape[1])
    for n, o, i, j in np.ndindex(gy.shape):
        gb[o] += float(gy[n, o, i, j])
    return gb


def conv_transpose2d(
    x,
    w,
    b=None,
    *,
    stride=(1, 1),
    padding=((0, 0), (0, 0)),
    output_padding=(0, 0),
    dilation=(1, 1),
    groups=1,
):
    """Transposed convolution: each input pixel paints the kernel, scaled, into the output.

        y[n,o,r,s] = b[o] + Σ_{c,i,j,p,q} w[c,o,p,q] · x[n,c,i,j]   where S·i + D·p - P = r, S·j + D·q - P = s

    Parameters
    ----------
    x : (N, C, H, W)
    w : (C, O/groups, KH, KW)
    b : (O,) or None
    stride, dilation, output_padding : (int, int)
    padding : ((top, bottom), (left, right))
    groups : int

    Returns
    -------
    y : (N, O, OH, OW)
    """
    channels, per_group, kernel_h, kernel_w = w.shape
    height = (
        (x.shape[2] - 1) * stride[0] + dilation[0] * (kernel_h - 1) + 1 - sum(padding[0]) + output_padding[0]
    )
    width = (
        (x.shape[3] - 1) * stride[1] + dilation[1] * (kernel_w - 1) + 1 - sum(padding[1]) + output_padding[1]
    )
    y = np.zeros((x.shape[0], per_group * groups, height, width))
    for n, c, i, j in np.ndindex(x.shape):
        first_output = c // (channels // groups) * per_group
        for o, p, q in product(range(per_group), range(kernel_h), range(kernel_w)):
            row = stride[0] * i + dilation[0] * p - padding[0][0]
            column = stride[1] * j + dilation[1] * q - padding[1][0]
            if 0 <= row < height and 0 <= column < width:
                y[n, first_output + o, row, column] += float(w[c, o, p, q]) * float(x[n, c, i, j])
    if b is not None:
        for n, o, row, column in np.ndindex(y.shape):
            y[n, o, row, column] += float(b[o])
    return y


def _size(x_shape, w_shape, stride, padding, dilation):
    """Count the windows of each dimension by trying one position after the other."""
    counts = []
    for a in (0, 1):
        padded = padding[a][0] + x_shape[2 + a] + padding[a][1]
        count = 0
        while count * stride[a] + dilation[a] * (w_shape[2 + a] - 1) < padded:
            count += 1
        counts.append(count)
    return counts
