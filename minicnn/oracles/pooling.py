"""Pooling in literal loops: one function per formula, float64, nothing shared with the operations."""

from __future__ import annotations

from itertools import product

import numpy as np

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "literal_max_pooling",
    "max_pool2d",
    "max_pool2d_gradient",
]


def literal_max_pooling(x, window):
    """The article's formula (§3.2), read literally: no stride, so that the size stays (F2).

        p_ij = max_{k,l} x_{i-k+1, j-l+1},   k = 1..K, l = 1..L

    Pixels outside the image, which the formula asks for at the top and left, are left out.

    Parameters
    ----------
    x : (H, W)
    window : (K, L)

    Returns
    -------
    p : (H, W)

    Examples
    --------
    >>> literal_max_pooling(np.array([[3.0, 1.0, 2.0]]), (1, 2))
    array([[3., 3., 2.]])
    """
    height, width = x.shape
    y = np.zeros((height, width))
    for i, j in product(range(1, height + 1), range(1, width + 1)):
        largest = None
        for k, l in product(range(1, window[0] + 1), range(1, window[1] + 1)):
            row, column = i - k + 1, j - l + 1
            if row >= 1 and column >= 1:
                value = float(x[row - 1, column - 1])
                if largest is None or value > largest:
                    largest = value
        y[i - 1, j - 1] = largest
    return y


def max_pool2d(x, *, kernel_size, stride, padding=((0, 0), (0, 0)), dilation=(1, 1), ceil_mode=False):
    """The largest value of each window; a NaN in the window is the result.

        y[n,c,i,j] = max_{p,q} x[n, c, S·i + D·p - P, S·j + D·q - P],   pixels outside left out

    Parameters
    ----------
    x : (N, C, H, W)
    kernel_size, stride, dilation : (int, int)
    padding : ((top, bottom), (left, right))
    ceil_mode : bool

    Returns
    -------
    y : (N, C, OH, OW)
    """
    y = np.zeros((*x.shape[:2], *_size(x.shape, kernel_size, stride, padding, dilation, ceil_mode)))
    for n, c, i, j in np.ndindex(y.shape):
        row, column = _winner(x[n, c], i, j, kernel_size, stride, padding, dilation)
        y[n, c, i, j] = x[n, c, row, column]
    return y


def max_pool2d_gradient(gy, x, *, kernel_size, stride, padding, dilation, ceil_mode):
    """dL/dx: each window passes its gradient to its largest value; of equal ones, to the first."""
    gx = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(gy.shape):
        row, column = _winner(x[n, c], i, j, kernel_size, stride, padding, dilation)
        gx[n, c, row, column] += float(gy[n, c, i, j])
    return gx


def avg_pool2d(
    x,
    *,
    kernel_size,
    stride,
    padding=((0, 0), (0, 0)),
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The mean of each window.

        y[n,c,i,j] = Σ_{p,q} x[n, c, S·i + p - P, S·j + q - P] / count[i,j],   pixels outside count as zero

    count is the number of positions of the window inside the image or, with ``count_include_pad``,
    inside the image and its padding.

    Parameters
    ----------
    x : (N, C, H, W)
    kernel_size, stride : (int, int)
    padding : ((top, bottom), (left, right))
    ceil_mode, count_include_pad : bool
    divisor_override : int or None
        Another count.

    Returns
    -------
    y : (N, C, OH, OW)
    """
    height, width = x.shape[2:]
    (top, bottom), (left, right) = padding
    y = np.zeros((*x.shape[:2], *_size(x.shape, kernel_size, stride, padding, (1, 1), ceil_mode)))
    for n, c, i, j in np.ndindex(y.shape):
        total, count = 0.0, 0
        for p, q in product(range(kernel_size[0]), range(kernel_size[1])):
            row, column = stride[0] * i + p - top, stride[1] * j + q - left
            if 0 <= row < height and 0 <= column < width:
                total += float(x[n, c, row, column])
                count += 1
            elif count_include_pad and row < height + bottom and column < width + right:
                count += 1
        y[n, c, i, j] = total / (count if divisor_override is None else divisor_override)
    return y


def adaptive_avg_pool2d(x, *, output_size):
    """The mean over  ⌊i·H/OH⌋ ≤ r < ⌈(i+1)·H/OH⌉,  ⌊j·W/OW⌋ ≤ s < ⌈(j+1)·W/OW⌉.

    Parameters
    ----------
    x : (N, C, H, W)
    output_size : (OH, OW)

    Returns
    -------
    y : (N, C, OH, OW)
    """
    y = np.zeros((*x.shape[:2], *output_size))
    for n, c, i, j in np.ndindex(y.shape):
        total, count = 0.0, 0
        for row, column in _cell(x.shape, output_size, i, j):
            total += float(x[n, c, row, column])
            count += 1
        y[n, c, i, j] = total / count
    return y


def adaptive_max_pool2d(x, *, output_size):
    """The largest value over the windows of :func:`adaptive_avg_pool2d`."""
    y = np.zeros((*x.shape[:2], *output_size))
    for n, c, i, j in np.ndindex(y.shape):
        largest = -np.inf
        for row, column in _cell(x.shape, output_size, i, j):
            value = float(x[n, c, row, column])
            if value > largest or value != value:
                largest = value
            if value != value:
                break
        y[n, c, i, j] = largest
    return y


def _winner(image, i, j, kernel_size, stride, padding, dilation):
    """Row and column of the first largest value of window (i, j) of one image; a NaN wins."""
    best = None
    for p, q in product(range(kernel_size[0]), range(kernel_size[1])):
        row = stride[0] * i + dilation[0] * p - padding[0][0]
        column = stride[1] * j + dilation[1] * q - padding[1][0]
        if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
            value = float(image[row, column])
            if value != value:
                return row, column
            if best is None or value > best:
                best, place = value, (row, column)
    return place


def _cell(x_shape, output_size, i, j):
    """The pixels of cell (i, j) of a grid that covers the image."""
    height, width = x_shape[2:]
    for row, column in product(range(height), range(width)):
        # floor(i·H/OH) <= row < ceil((i+1)·H/OH), without division
        in_row = (row + 1) * output_size[0] > i * height and row * output_size[0] < (i + 1) * height
        in_column = (column + 1) * output_size[1] > j * width and column * output_size[1] < (j + 1) * width
        if in_row and in_column:
            yield row, column


def _size(x_shape, kernel_size, stride, padding, dilation, ceil_mode):
    """Count the windows of each dimension by trying one position after the other."""
    counts = []
    for a in (0, 1):
        before, after = padding[a]
        padded = before + x_shape[2 + a] + after
        reach = dilation[a] * (kernel_size[a] - 1)
        count = 0
        while count * stride[a] + reach < padded:
            count += 1
        # A partly filled window, if pixels are left over and it starts before them or on them.
        left_over = (count - 1) * stride[a] + reach < padded - 1
        if ceil_mode and left_over and count * stride[a] < before + x_shape[2 + a]:
            count += 1
        counts.append(count)
    return counts
