"""Windows that slide over images: the geometry that convolution and pooling share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.typing import Shape

__all__ = [
    "Padding",
    "Pair",
    "check_fit",
    "check_floats",
    "check_images",
    "check_padding",
    "check_pairs",
    "col2im",
    "crop",
    "im2col",
    "is_whole",
    "output_size",
    "output_sizes",
    "pad",
    "taps",
    "windows",
]

Pair: TypeAlias = tuple[int, int]  # (vertical, horizontal)
Padding: TypeAlias = tuple[Pair, Pair]  # ((top, bottom), (left, right))

_ONE: Pair = (1, 1)
_NONE: Padding = ((0, 0), (0, 0))


def output_size(
    size: int, kernel: int, stride: int, padding: Pair, dilation: int, *, ceil: bool = False
) -> int:
    """How many windows fit along one dimension.

        ⌊(H + P - D·(K - 1) - 1) / S⌋ + 1,   P = before + after

    Parameters
    ----------
    size, kernel, stride, dilation : int
        H, K, S and D, in pixels.
    padding : (int, int)
        Pixels added before and after.
    ceil : bool
        Round up: a last window may reach over the end, if it starts inside the image or the
        padding before it (PyTorch's rule).

    Returns
    -------
    int
        Zero or negative if not even one window fits.

    Examples
    --------
    >>> output_size(28, 5, 1, (2, 2), 1), output_size(5, 2, 2, (0, 0), 1, ceil=True)
    (28, 3)
    """
    room = size + sum(padding) - dilation * (kernel - 1) - 1
    if not ceil:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding[0] else count


def output_sizes(
    x_shape: Shape, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, *, ceil: bool = False
) -> Pair:
    """(OH, OW): :func:`output_size` of both dimensions of images of shape (N, C, H, W)."""
    oh, ow = (
        output_size(*sizes, ceil=ceil)
        for sizes in zip(x_shape[2:], kernel_size, stride, padding, dilation, strict=True)
    )
    return oh, ow


def pad(xp, x, padding, value=0):
    """The images with a border of ``value``; ``x`` itself if there is none to add."""
    (top, bottom), (left, right) = padding
    if not (top or bottom or left or right):
        return x
    n, c, h, w = x.shape
    y = xp.full((n, c, h + top + bottom, w + left + right), value, x.dtype)
    y[:, :, top : top + h, left : left + w] = x
    return y


def crop(xp, x, padding):
    """The images without their border, C-contiguous: the adjoint of :func:`pad`."""
    (top, bottom), (left, right) = padding
    h, w = x.shape[2:]
    return xp.ascontiguousarray(x[:, :, top : h - bottom, left : w - right])


def windows(xp, x, kernel_size, size, stride, dilation):
    """All windows of the images, without copying a number.

        windows[n,c,i,j,p,q] = x[n, c, S·i + D·p, S·j + D·q]

    Parameters
    ----------
    x : (N, C, H, W)
        Images with their border, see :func:`pad`.
    kernel_size, stride, dilation : (int, int)
        In pixels, vertical and horizontal.
    size : (OH, OW)
        How many windows; they must lie inside ``x``, see :func:`output_size`.

    Returns
    -------
    array (N, C, OH, OW, KH, KW)
        A view of ``x``. For a fixed (p, q), its elements do not overlap and may be written.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(9).reshape(1, 1, 3, 3)
    >>> windows(np, x, (2, 2), (2, 2), (1, 1), (1, 1))[0, 0, 1, 0].tolist()
    [[3, 4], [6, 7]]
    """
    sn, sc, sh, sw = x.strides
    strides = (sn, sc, sh * stride[0], sw * stride[1], sh * dilation[0], sw * dilation[1])
    return xp.lib.stride_tricks.as_strided(x, x.shape[:2] + size + kernel_size, strides)


def taps(kernel_size: Pair) -> Iterator[Pair]:
    """All positions (p, q) in a window, in row-major order."""
    return ((p, q) for p in range(kernel_size[0]) for q in range(kernel_size[1]))


def im2col(xp, x, kernel_size, stride=_ONE, dilation=_ONE):
    """The windows of the images as the columns of a matrix.

        cols[(c,p,q), (n,i,j)] = x[n, c, S·i + D·p, S·j + D·q]

    Parameters
    ----------
    xp : module
        ``numpy`` or ``cupy``.
    x : (N, C, H, W)
        Images, with whatever border they need.
    kernel_size, stride, dilation : (int, int)
        KH and KW, S, D, in pixels.

    Returns
    -------
    array (C·KH·KW, N·OH·OW)
        A copy: KH·KW numbers for each pixel at stride 1.

    References
    ----------
    Chellapilla, Puri, Simard, "High performance convolutional neural networks for document
    processing", 2006.

    Examples
    --------
    >>> import numpy as np
    >>> im2col(np, np.arange(9).reshape(1, 1, 3, 3), (2, 2))
    array([[0, 1, 3, 4],
           [1, 2, 4, 5],
           [3, 4, 6, 7],
           [4, 5, 7, 8]])
    """
    size = output_sizes(x.shape, kernel_size, stride, _NONE, dilation)
    view = windows(xp, x, kernel_size, size, stride, dilation)  # (N, C, OH, OW, KH, KW)
    cols = xp.ascontiguousarray(view.transpose(1, 4, 5, 0, 2, 3))
    return cols.reshape(x.shape[1] * kernel_size[0] * kernel_size[1], x.shape[0] * size[0] * size[1])


def col2im(xp, cols, shape, kernel_size, stride=_ONE, dilation=_ONE):
    """Add each column back to the pixels it came from: the adjoint of :func:`im2col`.

        x[n,c,r,s] = Σ cols[(c,p,q), (n,i,j)]   over all p, q, i, j with S·i + D·p = r, S·j + D·q = s

    Parameters
    ----------
    xp : module
        ``numpy`` or ``cupy``.
    cols : (C·KH·KW, N·OH·OW)
    shape : (N, C, H, W)
        That of the images.
    kernel_size, stride, dilation : (int, int)
        As for :func:`im2col`.

    Returns
    -------
    array (N, C, H, W)

    Examples
    --------
    How many windows hold each pixel:

    >>> import numpy as np
    >>> col2im(np, np.ones((4, 4)), (1, 1, 3, 3), (2, 2))[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    n, c = shape[:2]
    size = output_sizes(shape, kernel_size, stride, _NONE, dilation)
    x = xp.zeros(shape, cols.dtype)
    view = windows(xp, x, kernel_size, size, stride, dilation)
    cols = cols.reshape(c, *kernel_size, n, *size)
    for p, q in taps(kernel_size):
        view[..., p, q] += cols[:, p, q].swapaxes(0, 1)
    return x


def check_pairs(least: int, **options: Any) -> None:
    """Refuse options that are not two integers of at least ``least``.

    Raises
    ------
    OptionError
        Naming the option and its value.
    """
    for name, value in options.items():
        if not (isinstance(value, tuple) and len(value) == 2 and all(is_whole(v, least) for v in value)):
            raise OptionError(expected=f"{name} = two integers of at least {least}", got=repr(value))


def check_padding(padding: Any) -> None:
    """Refuse what is not ((top, bottom), (left, right)) in whole pixels.

    Raises
    ------
    OptionError
        With the value.
    """
    if not (isinstance(padding, tuple) and len(padding) == 2):
        raise OptionError(expected="padding = ((top, bottom), (left, right))", got=repr(padding))
    check_pairs(0, **{"padding at top and bottom": padding[0], "padding at left and right": padding[1]})


def is_whole(value: Any, least: int) -> bool:
    """Whether it is an integer of at least ``least``, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_floats(**operands: Any) -> None:
    """Refuse operands that are not all float32 or all float64; None is passed over.

    Raises
    ------
    DTypeError
        With the type of each operand.
    """
    types = {name: operand.dtype for name, operand in operands.items() if operand is not None}
    if len(set(types.values())) != 1 or next(iter(types.values())) not in ("float32", "float64"):
        raise DTypeError(
            expected=f"{', '.join(types)} of type float32 or float64{', all the same' * (len(types) > 1)}",
            got=", ".join(f"{name} {dtype}" for name, dtype in types.items()),
            hint="convert with .float()",
        )


def check_images(x: Any) -> None:
    """Refuse what is not a batch of images.

    Raises
    ------
    ShapeError
        If it has not four dimensions.
    """
    if x.ndim != 4:
        raise ShapeError(
            expected="x of 4 dimensions (N, C, H, W)",
            got=f"x of shape {tuple(x.shape)}",
            hint="one gray image is x.reshape(1, 1, H, W)" if x.ndim == 2 else None,
        )


def check_fit(size: Pair, x_shape: Shape, kernel_size: Pair, padding: Padding, dilation: Pair) -> None:
    """Refuse a window that is larger than the padded image.

    Raises
    ------
    ShapeError
        If one of the output's ``size`` is less than one.
    """
    if min(size) < 1:
        span = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True)]
        padded = [s + sum(p) for s, p in zip(x_shape[2:], padding, strict=True)]
        raise ShapeError(
            expected=f"a window that fits into the padded image of {padded[0]} x {padded[1]} pixels",
            got=f"one that spans {span[0]} x {span[1]}, for x of shape {tuple(x_shape)}",
            hint="use a smaller window or more padding",
        )
