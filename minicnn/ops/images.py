"""What a data set's bytes become before a model sees them: kernels without a derivative."""

from __future__ import annotations

from minicnn.core.dispatch import kernel
from minicnn.errors import DTypeError, ShapeError
from minicnn.typing import Array, ArrayModule

__all__ = ["check_places", "crop_images", "standardize_bytes", "warp_images"]


@kernel
def standardize_bytes(xp: ArrayModule, planes: Array, mean: Array | None, std: Array | None) -> Array:
    """Bytes as numbers from 0 to 1, less the mean and over the standard deviation of each channel.

        y = (x / 255 - mean) / std

    Parameters
    ----------
    planes : (N, C, H, W) array of uint8
        In any layout; pictures have their channels last in memory.
    mean, std : (C, 1, 1) or (1, 1, 1) array of float32, or None
        Without them y = x / 255.

    Returns
    -------
    (N, C, H, W) array of float32
        In one run of memory.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3)
    >>> half = np.full((1, 1, 1), 0.5, np.float32)
    >>> [round(v, 6) for v in standardize_bytes(x, half, half).ravel().tolist()]
    [-1.0, -0.6, 1.0]
    """
    y = xp.divide(planes, xp.float32(255), order="C")
    if mean is not None:
        y -= mean
    if std is not None:
        y /= std
    return y


@kernel
def crop_images(
    xp: ArrayModule, images: Array, corners: Array, fill: Array, *, size: tuple[int, int]
) -> Array:
    """A rectangle of each image, and a colour where it lies outside of it.

        y[n, i, j] = x[n, top + i, left + j],   top, left = corners[n]

    Parameters
    ----------
    images : (N, H, W, C) array
        Of any numbers.
    corners : (N, 2) array of int64
        Of the rectangles, in pixels; also negative.
    fill : (C,) array
        The colour, of the images' type.
    size : (int, int)
        Height and width of the rectangles.

    Returns
    -------
    (N, height, width, C) array

    Raises
    ------
    ShapeError, DTypeError
        As :func:`check_places`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1, 2, 3], np.uint8).reshape(1, 1, 3, 1)
    >>> crop_images(x, np.array([[0, -1]]), np.array([9], np.uint8), size=(1, 3)).ravel().tolist()
    [9, 1, 2]
    """
    check_places(images, corners, 2, fill, "crop_images")
    rows = (corners[:, :1] + xp.arange(size[0]))[:, :, None]
    columns = (corners[:, 1:] + xp.arange(size[1]))[:, None, :]
    return _pixels(xp, images, rows, columns, fill)


@kernel
def warp_images(xp: ArrayModule, images: Array, maps: Array, fill: Array) -> Array:
    """Images moved by affine maps of the plane: each pixel is the nearest one of where it comes from.

        y[n, i, j] = x[n, (m5 + m3·j + m4·i) >> 16, (m2 + m0·j + m1·i) >> 16],   m = maps[n]

    and the colour ``fill`` where that is outside of the image. These are the whole numbers that Pillow's
    ``Image.transform`` computes with where the axes are turned (m1 and m3 are not both 0) and all corners
    come from less than 32768 pixels away.

    Parameters
    ----------
    images : (N, H, W, C) array
        Of any numbers.
    maps : (N, 6) array of int64
        In units of 1 / 65536 pixel.
    fill : (C,) array
        The colour, of the images' type.

    Returns
    -------
    (N, H, W, C) array

    Raises
    ------
    ShapeError, DTypeError
        As :func:`check_places`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1, 2, 3], np.uint8).reshape(1, 1, 3, 1)
    >>> to_the_right = np.array([[1, 0, -1, 0, 1, 0]]) << 16
    >>> warp_images(x, to_the_right, np.array([9], np.uint8)).ravel().tolist()
    [9, 1, 2]
    """
    check_places(images, maps, 6, fill, "warp_images")
    m0, m1, m2, m3, m4, m5 = (maps[:, k, None, None] for k in range(6))
    i, j = xp.arange(images.shape[1])[:, None], xp.arange(images.shape[2])
    return _pixels(xp, images, (m5 + m4 * i + m3 * j) >> 16, (m2 + m1 * i + m0 * j) >> 16, fill)


def check_places(images: Array, places: Array, numbers: int, fill: Array, op: str) -> None:
    """Refuse what no kernel can take.

    Raises
    ------
    ShapeError
        If there are not so many numbers for each image, or one in the colour for each channel.
    DTypeError
        If they are no integers, or the colour is not of the images' type.
    """
    if images.ndim != 4 or places.shape != (len(images), numbers) or fill.shape != images.shape[3:]:
        raise ShapeError(
            expected=f"images (N, H, W, C), (N, {numbers}) places and a colour (C,)",
            got=f"{images.shape}, {places.shape} and {fill.shape}",
            op=op,
        )
    if places.dtype.kind != "i" or fill.dtype != images.dtype:
        raise DTypeError(
            expected=f"integer places and a colour of {images.dtype}",
            got=f"{places.dtype} and {fill.dtype}",
            op=op,
        )


def _pixels(xp: ArrayModule, images: Array, rows: Array, columns: Array, fill: Array) -> Array:
    """The pixels in these rows and columns of each image, and a colour where it has none."""
    inside = (rows >= 0) & (rows < images.shape[1]) & (columns >= 0) & (columns < images.shape[2])
    if not images.size:
        return xp.broadcast_to(fill, (*inside.shape, images.shape[3])).copy()
    number = xp.arange(len(images))[:, None, None]
    chosen = images[number, xp.where(inside, rows, 0), xp.where(inside, columns, 0)]
    return xp.where(inside[..., None], chosen, fill)
