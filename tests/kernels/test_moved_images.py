"""Images of bytes, cut and moved: pixel by pixel what the formulas say, and what Pillow makes of them."""

import numpy as np
import pytest
from PIL import Image

from minicnn.core.dispatch import Declined
from minicnn.ops.images import cut_bytes, moved_bytes
from minicnn.testing.guard import available, guarded

SHAPES = [
    (0, 4, 4, 1),
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


def moved_by_hand(images, maps, fill):
    moved = np.empty_like(images)
    for n, i, j in np.ndindex(images.shape[:3]):
        m = [int(number) for number in maps[n]]
        x, y = (m[2] + m[0] * j + m[1] * i) // 65536, (m[5] + m[3] * j + m[4] * i) // 65536
        inside = 0 <= y < images.shape[1] and 0 <= x < images.shape[2]
        moved[n, i, j] = images[n, y, x] if inside else fill
    return moved


def cut_by_pillow(images, corners, size, fill):
    """What Pillow cuts out of each channel of images in a margin of that colour."""
    cut = np.empty((len(images), *size, images.shape[3]), np.uint8)
    for n, c in np.ndindex(images.shape[0], images.shape[3]):
        canvas = Image.new("L", (200, 200), int(fill[c]))
        canvas.paste(Image.fromarray(images[n, :, :, c]), (60, 60))
        top, left = (60 + int(np.clip(corner, -40, 40)) for corner in corners[n])
        cut[n, :, :, c] = np.asarray(canvas.crop((left, top, left + size[1], top + size[0])))
    return cut


def arguments(rng, shape):
    """Images of a shape, and a colour."""
    return rng.integers(0, 256, shape, np.uint8), rng.integers(0, 256, shape[3], np.uint8)


def native_of(kernel, *arguments):
    return kernel.overlays["native"](np, *arguments)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_are_moved_pixel_by_pixel(shape, level, rng, steady):
    (images, fill), maps = arguments(rng, shape), maps_for(rng, shape[0])
    expected = moved_by_hand(images, maps, fill)
    assert np.array_equal(moved_bytes.reference(np, images, maps, fill), expected)
    (moved,) = steady(lambda: [native_of(moved_bytes, images, maps, fill)])
    assert np.array_equal(moved, expected) and moved.dtype == np.uint8
    every_second = np.repeat(images, 2, axis=2)[:, :, ::2]
    assert np.array_equal(moved_bytes(every_second, maps, fill), expected)


@pytest.mark.parametrize("size", [(1, 1), (4, 6), (5, 7), (30, 33)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rectangles_are_cut_as_by_pillow(shape, size, level, rng, steady):
    images, fill = arguments(rng, shape)
    for reach in (3, 40):  # mostly inside, partly inside, outside
        corners = rng.integers(-reach, reach + 1, (shape[0], 2))
        expected = cut_by_pillow(images, corners, size, fill)
        assert np.array_equal(cut_bytes.reference(np, images, corners, size, fill), expected)
        (cut,) = steady(lambda: [native_of(cut_bytes, images, corners, size, fill)])  # noqa: B023
        assert np.array_equal(cut, expected) and cut.dtype == np.uint8
    every_second = np.repeat(images, 2, axis=2)[:, :, ::2]
    assert np.array_equal(cut_bytes(every_second, corners, size, fill), expected)


def test_rectangles_far_outside_have_one_colour(level):
    images, fill = np.full((4, 3, 3, 1), 9, np.uint8), np.array([7], np.uint8)
    far = np.iinfo(np.int64)
    corners = np.array([[far.min, 0], [0, far.max], [far.max, far.min], [0, 0]])
    cut = native_of(cut_bytes, images, corners, (2, 3), fill)
    assert [set(image.ravel().tolist()) for image in cut] == [{7}, {7}, {7}, {9}]


@pytest.mark.skipif(not available(), reason="guards pages by Linux's mprotect")
@pytest.mark.parametrize("end", ["start", "end"])
@pytest.mark.parametrize("shape", SHAPES[1:5], ids=str)
def test_nothing_outside_is_read_or_written(shape, end, native, level, rng):
    images, fill = arguments(rng, shape)
    maps, corners = maps_for(rng, shape[0]), rng.integers(-9, 10, (shape[0], 2))
    x, colour = guarded(images, end), guarded(fill, end)
    y = guarded(np.zeros(shape, np.uint8), end)
    native.move(y, x, guarded(maps, end), colour)
    assert np.array_equal(y, moved_by_hand(images, maps, fill))
    y = guarded(np.zeros((shape[0], 5, 6, shape[3]), np.uint8), end)
    native.cut(y, x, guarded(corners, end), colour)
    assert np.array_equal(y, cut_by_pillow(images, corners, (5, 6), fill))


def test_other_numbers_are_for_the_reference(native, rng):
    images, fill = np.arange(9.0).reshape(1, 3, 3, 1), np.array([-1.5])
    corners, maps = np.array([[1, 2]]), np.array([[1, 0, 2, 0, 1, 1]]) << 16
    for found in (cut_bytes(images, corners, (3, 3), fill), moved_bytes(images, maps, fill)):
        assert found[0, ..., 0].tolist() == [[5, -1.5, -1.5], [8, -1.5, -1.5], [-1.5, -1.5, -1.5]]
    assert isinstance(native_of(cut_bytes, images, corners, (3, 3), fill), Declined)
    images, fill = images.astype(np.uint8), fill.astype(np.uint8)
    assert isinstance(native_of(moved_bytes, images, maps.astype(np.int32), fill), Declined)


@pytest.mark.parametrize("name", ["cut", "move"])
@pytest.mark.parametrize("bad", ["result", "channels", "places", "fill", "strided", "type", "read-only"])
def test_arrays_that_do_not_fit_are_refused(bad, name, native):
    y, x, fill = np.zeros((2, 3, 4, 3), np.uint8), np.zeros((2, 3, 4, 3), np.uint8), np.zeros(3, np.uint8)
    places = np.zeros((2, 2 if name == "cut" else 6), np.int64)
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
