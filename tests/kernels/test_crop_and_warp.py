"""Images cropped and warped: pixel by pixel what the formulas say, and what Pillow makes of them."""

import numpy as np
import pytest
from PIL import Image

from minicnn import backends
from minicnn.core.dispatch import Declined
from minicnn.errors import DTypeError, ShapeError
from minicnn.ops.images import crop_images, warp_images
from minicnn.testing.guard import available, guarded

SHAPES = [
    (0, 4, 4, 1),
    (2, 0, 3, 1),
    (2, 3, 0, 3),
    (1, 1, 1, 1),
    (3, 5, 7, 1),
    (2, 9, 4, 3),
    (2, 6, 6, 2),
    (40, 28, 28, 1),
    (5, 40, 30, 4),
]


def maps_for(rng, count):
    """Maps of the plane, the first of which leaves the images where they are."""
    maps = rng.integers(-(1 << 17), 1 << 17, (count, 6))
    maps[:, [2, 5]] *= 40
    maps[:1] = np.array([1, 0, 0, 0, 1, 0]) << 16
    return maps


def warped_by_hand(images, maps, fill):
    warped = np.empty_like(images)
    for n, i, j in np.ndindex(images.shape[:3]):
        m = [int(number) for number in maps[n]]
        x, y = (m[2] + m[0] * j + m[1] * i) // 65536, (m[5] + m[3] * j + m[4] * i) // 65536
        inside = 0 <= y < images.shape[1] and 0 <= x < images.shape[2]
        warped[n, i, j] = images[n, y, x] if inside else fill
    return warped


def cropped_by_pillow(images, corners, fill, size):
    """What Pillow cuts out of each channel of images in a margin of that colour."""
    cropped = np.empty((len(images), *size, images.shape[3]), np.uint8)
    for n, c in np.ndindex(images.shape[0], images.shape[3]):
        canvas = Image.new("L", (200, 200), int(fill[c]))
        if images.size:
            canvas.paste(Image.fromarray(images[n, :, :, c]), (60, 60))
        top, left = (60 + int(np.clip(corner, -40, 40)) for corner in corners[n])
        cropped[n, :, :, c] = np.asarray(canvas.crop((left, top, left + size[1], top + size[0])))
    return cropped


def arguments(rng, shape):
    """Images of a shape, and a colour."""
    return rng.integers(0, 256, shape, np.uint8), rng.integers(0, 256, shape[3], np.uint8)


def native_of(kernel, *arrays, **size):
    return kernel.overlays["native"](np, *arrays, **size)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_are_warped_pixel_by_pixel(shape, level, rng, steady):
    (images, fill), maps = arguments(rng, shape), maps_for(rng, shape[0])
    expected = warped_by_hand(images, maps, fill)
    assert np.array_equal(warp_images.reference(np, images, maps, fill), expected)
    (warped,) = steady(lambda: [native_of(warp_images, images, maps, fill)])
    assert np.array_equal(warped, expected) and warped.dtype == np.uint8
    every_second = np.repeat(images, 2, axis=2)[:, :, ::2]
    assert np.array_equal(warp_images(every_second, maps, fill), expected)


@pytest.mark.parametrize("size", [(1, 1), (4, 6), (5, 7), (30, 33)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rectangles_are_cropped_as_by_pillow(shape, size, level, rng, steady):
    images, fill = arguments(rng, shape)
    for reach in (3, 40):  # mostly inside, partly inside, outside
        corners = rng.integers(-reach, reach + 1, (shape[0], 2))
        expected = cropped_by_pillow(images, corners, fill, size)
        assert np.array_equal(crop_images.reference(np, images, corners, fill, size=size), expected)
        (cropped,) = steady(lambda: [native_of(crop_images, images, corners, fill, size=size)])  # noqa: B023
        assert np.array_equal(cropped, expected) and cropped.dtype == np.uint8
    every_second = np.repeat(images, 2, axis=2)[:, :, ::2]
    assert np.array_equal(crop_images(every_second, corners, fill, size=size), expected)


@pytest.mark.parametrize("pixels", [(4, 3, 3, 1), (4, 3, 3, 3)], ids=str)
def test_what_lies_far_outside_has_one_colour(pixels, level):
    images, fill = np.full(pixels, 9, np.uint8), np.full(pixels[3], 7, np.uint8)
    least, most = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    corners = np.array([[least, 0], [0, most], [most, least], [0, 0]])
    for run in (native_of, lambda kernel, *arrays, **size: kernel.reference(np, *arrays, **size)):
        cropped = run(crop_images, images, corners, fill, size=(2, 3))
        assert [set(image.ravel().tolist()) for image in cropped] == [{7}, {7}, {7}, {9}]


def test_numbers_of_a_map_may_overflow(level, rng):
    images, fill = arguments(rng, (50, 6, 5, 3))
    maps = rng.integers(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (50, 6), endpoint=True)
    maps[:25, [0, 1, 3, 4]] >>= 46
    expected = warp_images.reference(np, images, maps, fill)
    assert np.array_equal(native_of(warp_images, images, maps, fill), expected)


@pytest.mark.skipif(not available(), reason="guards pages by Linux's mprotect")
@pytest.mark.parametrize("end", ["start", "end"])
@pytest.mark.parametrize("shape", SHAPES[3:7], ids=str)
def test_nothing_outside_is_read_or_written(shape, end, native, level, rng):
    images, fill = arguments(rng, shape)
    maps, corners = maps_for(rng, shape[0]), rng.integers(-9, 10, (shape[0], 2))
    x, colour = guarded(images, end), guarded(fill, end)
    y = guarded(np.zeros(shape, np.uint8), end)
    native.warp(y, x, guarded(maps, end), colour)
    assert np.array_equal(y, warped_by_hand(images, maps, fill))
    y = guarded(np.zeros((shape[0], 5, 6, shape[3]), np.uint8), end)
    native.crop(y, x, guarded(corners, end), colour)
    assert np.array_equal(y, cropped_by_pillow(images, corners, fill, (5, 6)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.bool_, np.complex128])
def test_any_numbers_are_taken(dtype, level, rng):
    images, fill = (array.astype(dtype) for array in arguments(rng, (3, 6, 5, 3)))
    corners, maps = rng.integers(-3, 4, (3, 2)).astype(np.int32), maps_for(rng, 3)
    for kernel, places, size in ((crop_images, corners, {"size": (4, 7)}), (warp_images, maps, {})):
        expected = kernel.reference(np, images, places, fill, **size)
        found = native_of(kernel, images, places, fill, **size)
        assert found.dtype == dtype and np.array_equal(found, expected)


BAD = {
    "places of fewer images": (ShapeError, lambda images, places, fill: (images, places[1:], fill)),
    "too few numbers": (ShapeError, lambda images, places, fill: (images, places[:, :1], fill)),
    "a colour of one channel": (ShapeError, lambda images, places, fill: (images, places, fill[:1])),
    "no channels": (ShapeError, lambda images, places, fill: (images[..., 0], places, fill[:1])),
    "a colour of another type": (DTypeError, lambda images, places, fill: (images, places, fill * 1.0)),
    "places between pixels": (DTypeError, lambda images, places, fill: (images, places * 1.0, fill)),
}


@pytest.mark.parametrize("error, change", BAD.values(), ids=BAD)
@pytest.mark.parametrize("backend", ["numpy", "native", "numba"])
def test_what_does_not_belong_together_is_refused_alike(backend, error, change, rng):
    if reason := backends.unavailable(backend):
        pytest.skip(reason)
    backends.load(backend)
    images, fill = arguments(rng, (3, 6, 5, 3))
    with backends.use_backend(backend):
        for kernel, numbers, size in ((crop_images, 2, {"size": (2, 2)}), (warp_images, 6, {})):
            with pytest.raises(error, match=f"{kernel.name}: expected"):
                kernel(*change(images, np.zeros((3, numbers), np.int64), fill), **size)


def test_objects_are_declined(native):
    images = np.full((1, 2, 2, 1), None)
    declined = native_of(crop_images, images, np.zeros((1, 2), np.int64), images[0, 0, 0], size=(1, 1))
    assert isinstance(declined, Declined) and "objects" in declined.reason


@pytest.mark.parametrize("name", ["crop", "warp"])
@pytest.mark.parametrize("bad", ["result", "channels", "places", "fill", "strided", "type", "read-only"])
def test_arrays_that_do_not_fit_are_refused(bad, name, native):
    y, x, fill = np.zeros((2, 3, 4, 3), np.uint8), np.zeros((2, 3, 4, 3), np.uint8), np.zeros(3, np.uint8)
    places = np.zeros((2, 2 if name == "crop" else 6), np.int64)
    getattr(native, name)(y, x, places, fill)
    if bad == "result":
        y = y[1:]
    elif bad == "channels":
        y = y.reshape(2, 3, 6, 2)
    elif bad == "places":
        places = places[:, :1].copy()
    elif bad == "fill":
        fill = fill[:1]
    elif bad == "strided":
        x = np.repeat(x, 2, 2)[:, :, ::2]
    elif bad == "type":
        places = places.astype(np.int32)
    else:
        y.flags.writeable = False
    with pytest.raises(ValueError, match=r"kernel needs|result"):
        getattr(native, name)(y, x, places, fill)
